// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/podman"
	"reconcile/podman/podmantest"
)

// TestExecutionEndsUnheard: what a process writes while the service is away is missing,
// also when it has ended by the time that one is back.
func TestExecutionEndsUnheard(t *testing.T) {
	socket := freeSocket(t)
	first := serve(t, socket)
	s := newStage(t, nil)
	s.Executions = open(t, func(o *podman.Options) { o.URL = socket }).Executions(podman.ExecutionOptions{Workspace: s.d.Workspace, Root: s.d.Root})
	handle, _, err := s.Create(t.Context(), s.launch("echo one; sleep 1; echo two; exit 5"))
	must(t, err)
	var out said
	a, err := s.Attach(t.Context(), handle, &out, &out)
	must(t, err)
	must(t, s.Start(t.Context(), handle))
	for out.String() == "" {
		time.Sleep(5 * time.Millisecond)
	}
	must(t, first.cmd.Process.Signal(syscall.SIGKILL))
	_ = first.cmd.Wait()
	for monitored(t, handle) {
		time.Sleep(20 * time.Millisecond)
	}
	serve(t, socket)
	code, err := s.Wait(t.Context(), handle)
	if code != 5 || err != nil {
		t.Errorf("it ended with %d, %v", code, err)
	}
	if err := a.Wait(); err == nil || !strings.Contains(err.Error(), "was lost") {
		t.Errorf("the output: %q, %v", &out, err)
	}
	must(t, s.Executions.Remove(t.Context(), handle))
}

// monitored reports whether the monitor of a container goes on.
func monitored(t *testing.T, handle string) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, name := range lines {
		line, err := os.ReadFile(name)
		if err == nil && bytes.Contains(line, []byte("conmon")) && bytes.Contains(line, []byte(handle)) {
			return true
		}
	}
	return false
}

// TestExecutionRemovedLater: what could not be removed while the service was away is
// removed with the next container.
func TestExecutionRemovedLater(t *testing.T) {
	socket := freeSocket(t)
	first := serve(t, socket)
	s := newStage(t, nil)
	s.Executions = open(t, func(o *podman.Options) { o.URL = socket }).Executions(podman.ExecutionOptions{Workspace: s.d.Workspace, Root: s.d.Root})
	var handles []string
	for range 3 {
		handle, _, err := s.Create(t.Context(), s.launch("true"))
		must(t, err)
		handles = append(handles, handle)
	}
	must(t, first.cmd.Process.Signal(syscall.SIGKILL))
	_ = first.cmd.Wait()
	for _, handle := range handles[:2] {
		if err := s.Executions.Remove(t.Context(), handle); err == nil {
			t.Error("it was removed without a service")
		}
	}
	serve(t, socket)
	must(t, s.Executions.Remove(t.Context(), handles[2]))
	for _, handle := range handles {
		if there, err := containers.Exists(podmantest.Conn(t), handle, nil); err != nil || there {
			t.Errorf("%s is there: %t, %v", handle[:12], there, err)
		}
	}
}
