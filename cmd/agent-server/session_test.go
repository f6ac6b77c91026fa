// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconcile/helper"
)

// TestLeash: what a session started ends with whoever looked on, also when it
// takes no hints, and goes on when the leash is told to let go.
func TestLeash(t *testing.T) {
	begin := func(name string) (ended <-chan struct{}) {
		cmd := exec.Command("sh", "-c", "trap '' HUP TERM; sleep 60; sleep 60")
		restore, err := sessionMark(name).lend()
		if err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err = cmd.Start()
		restore()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = cmd.Wait()
		}()
		t.Cleanup(func() {
			select {
			case <-done:
			default:
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
				<-done
			}
		})
		return done
	}

	ownEnd, otherEnd := begin("leash-test-own"), begin("leash-test-other")
	var said bytes.Buffer
	if code := runLeash("leash-test-own", strings.NewReader(helper.LetGo), &said); code != 0 {
		t.Errorf("let go: %d %s", code, said.String())
	}
	select {
	case <-ownEnd:
		t.Fatal("what was let go of has ended")
	default:
	}
	if code := runLeash("leash-test-own", strings.NewReader("let"), &said); code != 0 {
		t.Errorf("pulled: %d %s", code, said.String())
	}
	select {
	case <-ownEnd:
	case <-time.After(20 * time.Second):
		t.Error("the session goes on")
	}
	select {
	case <-otherEnd:
		t.Error("another session has ended")
	default:
	}
}
