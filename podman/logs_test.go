// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"reconcile/podman"
	"reconcile/reconcile/plan"
)

func TestLogs(t *testing.T) {
	b := newBed(t, nil)
	long := strings.Repeat("x", 20000)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("seq", "echo", "one", "--", "warn", "two", "--", "echo", long, "--", "echo", "last")})
	b.run(t, id)
	handle := b.object(t, id).Handle
	read := func(opt podman.LogOptions) (out, errOut string) {
		t.Helper()
		var o, e strings.Builder
		must(t, b.rt.Logs(t.Context(), handle, opt, &o, &e))
		return o.String(), e.String()
	}
	if out, errOut := read(podman.LogOptions{}); out != "one\n"+long+"\nlast\n" || errOut != "two\n" {
		t.Errorf("stdout of %d bytes %.20q, stderr %q", len(out), out, errOut)
	}
	if out, _ := read(podman.LogOptions{Tail: 1}); out != "last\n" {
		t.Errorf("last line %q", out)
	}
	if out, _ := read(podman.LogOptions{Tail: 1, Timestamps: true}); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ last\n$`).MatchString(out) {
		t.Errorf("with a timestamp: %q", out)
	}
	if out, errOut := read(podman.LogOptions{Since: time.Now().Add(time.Hour)}); out+errOut != "" {
		t.Errorf("since the future: %q", out+errOut)
	}
	err := b.rt.Logs(t.Context(), "nowhere", podman.LogOptions{}, &strings.Builder{}, &strings.Builder{})
	if err == nil || err.Error() != "logs: no container nowhere" {
		t.Errorf("no such container: %v", err)
	}
}

// lines passes on what is written, and fails after some.
type lines struct {
	ch  chan string
	err error
}

func (l lines) Write(p []byte) (int, error) {
	l.ch <- string(p)
	return len(p), l.err
}

func TestFollow(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("tick", "10ms")})
	handle := b.start(t, id).Handle
	follow := func(w lines) (context.CancelFunc, chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.rt.Logs(ctx, handle, podman.LogOptions{Follow: true}, w, w) }()
		return cancel, done
	}
	for range 3 { // each on a connection of its own
		w := lines{ch: make(chan string)}
		cancel, done := follow(w)
		for _, want := range []string{"0\n", "1\n", "2\n"} {
			if got := <-w.ch; got != want {
				t.Errorf("line %q, want %q", got, want)
			}
		}
		cancel()
		drain(t, w, done, nil)
	}

	full := errors.New("disk full")
	w := lines{ch: make(chan string), err: full}
	cancel, done := follow(w)
	defer cancel()
	drain(t, w, done, full)

	w = lines{ch: make(chan string)}
	cancel, done = follow(w)
	defer cancel()
	<-w.ch
	go b.rt.Do(context.Background(), on(plan.OpStop, b.object(t, id)), b.d)
	drain(t, w, done, nil)
}

// drain reads on until Logs returns.
func drain(t *testing.T, w lines, done chan error, want error) {
	t.Helper()
	for {
		select {
		case <-w.ch:
		case err := <-done:
			if !errors.Is(err, want) {
				t.Errorf("follow ended with %v, want %v", err, want)
			}
			return
		}
	}
}
