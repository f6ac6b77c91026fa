// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"reconcile/podman"
	"reconcile/reconcile/plan"
)

// TestSession: many sessions at once have their own input, output and end, and
// nothing is left of them on this side.
func TestSession(t *testing.T) {
	b := newHookBed(t, nil)
	id := b.plain(t, "a", shell(t), func(c *plan.ContainerSpec) { c.Main = tool("pause"); c.Helper = true })
	obj := b.start(t, id)
	run := func(n int) error {
		var out, errOut bytes.Buffer
		in := io.NopCloser(strings.NewReader(strings.Repeat("x", n*1000)))
		code, err := b.rt.Session(t.Context(), obj, podman.SessionOptions{
			Command: []string{"sh", "-c", fmt.Sprintf("wc -c; echo $N >&2; exit %d", n)},
			Env:     []string{fmt.Sprintf("N=%d", n)}, Stdin: in, Stdout: &out, Stderr: &errOut,
		})
		if got, want := fmt.Sprintf("%d %s %s %v", code, strings.TrimSpace(out.String()), strings.TrimSpace(errOut.String()), err), fmt.Sprintf("%d %d %d <nil>", n, n*1000, n); got != want {
			return fmt.Errorf("got %s, want %s", got, want)
		}
		return nil
	}
	if err := run(1); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() { errs[i] = run(i) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(20 * time.Second); descriptors(t) > before+len(errs); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, and %d before", descriptors(t), before)
		}
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("nobody looks on")
	time.AfterFunc(500*time.Millisecond, func() { cancel(gone) })
	_, err := b.rt.Session(ctx, obj, podman.SessionOptions{Command: []string{"sleep", "7771"}, Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer)})
	if !errors.Is(err, gone) {
		t.Errorf("a session that is broken off: %v", err)
	}
	var out bytes.Buffer
	if _, err := b.rt.Session(t.Context(), obj, podman.SessionOptions{Command: []string{"ps"}, Stdout: &out, Stderr: &out}); err != nil || strings.Contains(out.String(), "7771") {
		t.Errorf("%v:\n%s", err, out.String())
	}

	b.do(t, on(plan.OpStop, obj))
	if _, err := b.rt.Session(t.Context(), obj, podman.SessionOptions{Command: []string{"ps"}}); err == nil || !strings.Contains(err.Error(), "is not running: it is ") {
		t.Errorf("in a container that has ended: %v", err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
