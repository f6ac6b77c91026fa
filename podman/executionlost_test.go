// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/podman"
	"reconcile/podman/podmantest"
)

// lossy is a stage with a service of its own, which can be killed and be there again.
type lossy struct {
	*stage
	socket  string
	service *service
}

func newLossy(t *testing.T) *lossy {
	t.Helper()
	l := &lossy{socket: freeSocket(t)}
	l.serve(t)
	l.stage = newStage(t, nil)
	l.Executions = open(t, func(o *podman.Options) { o.URL = l.socket }).Executions(podman.ExecutionOptions{Workspace: l.d.Workspace, Root: l.d.Root})
	return l
}

// serve has a service there.
func (l *lossy) serve(t *testing.T) {
	t.Helper()
	l.service = serve(t, l.socket)
}

// outputLost runs a script that says something and ends with 5 later, and takes the
// service away in between, until away returns. The exit status is known, and it is
// said that some of the output is missing.
func (l *lossy) outputLost(t *testing.T, script string, away func(handle string)) {
	t.Helper()
	var out said
	handle, a := l.attached(t, script, &out, &out)
	must(t, l.Start(t.Context(), handle))
	for out.String() == "" {
		time.Sleep(5 * time.Millisecond)
	}
	l.service.kill()
	away(handle)
	l.serve(t)
	code, err := l.Wait(t.Context(), handle)
	if code != 5 || err != nil {
		t.Errorf("it ended with %d, %v", code, err)
	}
	if err := a.Wait(); err == nil || !strings.Contains(err.Error(), "was lost") {
		t.Errorf("the output: %q, %v", &out, err)
	}
	must(t, l.Executions.Remove(t.Context(), handle))
}

// TestExecutionServiceLost: output that cannot be whole is said to be missing, and
// the end of the process is known when the service is back.
func TestExecutionServiceLost(t *testing.T) {
	newLossy(t).outputLost(t, "echo one; cat >/dev/null; sleep 7; echo two; exit 5", func(string) {})
}

// TestExecutionServiceLostBefore: a process that nobody would hear is not started.
func TestExecutionServiceLostBefore(t *testing.T) {
	s := newLossy(t)
	handle, a := s.attached(t, "true", io.Discard, io.Discard)
	s.service.kill()
	s.serve(t)
	if err := a.Wait(); err == nil || !strings.Contains(err.Error(), "was lost") {
		t.Errorf("what is attached: %v", err)
	}
	if err := s.Start(t.Context(), handle); !errors.Is(err, net.ErrClosed) {
		t.Errorf("its start: %v", err)
	}
	c, err := containers.Inspect(podmantest.Conn(t), handle, nil)
	must(t, err)
	if !c.State.StartedAt.IsZero() {
		t.Errorf("it was started at %v", c.State.StartedAt)
	}
	must(t, s.Executions.Remove(t.Context(), handle))
}

// TestExecutionEndsUnheard: what a process writes while the service is away is missing,
// also when it has ended by the time that one is back.
func TestExecutionEndsUnheard(t *testing.T) {
	newLossy(t).outputLost(t, "echo one; sleep 1; echo two; exit 5", func(handle string) {
		for monitored(t, handle) {
			time.Sleep(20 * time.Millisecond)
		}
	})
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
	s := newLossy(t)
	var handles []string
	for range 3 {
		handle, _, err := s.Create(t.Context(), s.launch("true"))
		must(t, err)
		handles = append(handles, handle)
	}
	s.service.kill()
	for _, handle := range handles[:2] {
		if err := s.Executions.Remove(t.Context(), handle); err == nil {
			t.Error("it was removed without a service")
		}
	}
	s.serve(t)
	must(t, s.Executions.Remove(t.Context(), handles[2]))
	for _, handle := range handles {
		if there, err := containers.Exists(podmantest.Conn(t), handle, nil); err != nil || there {
			t.Errorf("%s is there: %t, %v", handle[:12], there, err)
		}
	}
}
