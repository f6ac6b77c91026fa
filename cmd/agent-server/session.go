// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconcile/helper"
)

const (
	// sessionGrace is what those of a session get between SIGHUP, SIGTERM and
	// SIGKILL each.
	sessionGrace = time.Second
	// leashRounds is how often a leash looks for those who came after it looked.
	leashRounds = 3
	leashPause  = 300 * time.Millisecond
)

// runSession becomes the command of a session, and returns only when that cannot
// be started.
func runSession(s helper.Session, stderr io.Writer) int {
	err := becomeSession(s)
	fmt.Fprintf(stderr, "agent-server: %v\n", err)
	return exitStatus(err)
}

func becomeSession(s helper.Session) error {
	if err := setDefaultPath(); err != nil {
		return err
	}
	path, err := lookUp(s.Command[0])
	if err != nil {
		return err
	}
	// Without it nobody is found who outlives whoever looked on, and nothing else.
	_, _ = sessionMark(s.Name).lend() // for good
	return explainStart(s.Command[0], unix.Exec(path, s.Command, os.Environ()))
}

func sessionMark(name string) mark { return markOf("session " + name) }

// holdOn has this process, a leash, end with its session only.
func holdOn() { signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE) }

// runLeash waits for the end of its input, and ends those of the session unless
// it is told to let go of them.
func runLeash(name string, stdin io.Reader, stderr io.Writer) int {
	told, _ := io.ReadAll(io.LimitReader(stdin, int64(len(helper.LetGo))))
	if string(told) == helper.LetGo {
		return 0
	}
	left := 0
	for range leashRounds {
		left = hangUp(sessionMark(name).bearers)
		time.Sleep(leashPause)
	}
	if left > 0 {
		fmt.Fprintf(stderr, "agent-server: %d processes of a session could not be ended\n", left)
		return exitCannotRun
	}
	return 0
}

// hangUp ends all of c as the end of a terminal does, and those whom that does not
// impress like everybody else. It returns how many are left.
func hangUp(c crowd) int {
	for pid := range c() {
		_ = unix.Kill(pid, unix.SIGHUP)
		_ = unix.Kill(pid, unix.SIGCONT)
	}
	if c.gone(sessionGrace) {
		return 0
	}
	return c.end(sessionGrace)
}
