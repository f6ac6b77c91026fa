// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"reconcile/podman"
)

// TestFollowLog: what is written while somebody follows is passed on as it comes,
// a line as a whole.
func TestFollowLog(t *testing.T) {
	dir := t.TempDir()
	const key = "aa00000000000000"
	at := "2026-01-01T12:00:00.5Z "
	var ended atomic.Bool
	follow := func(opt podman.LogOptions) (lines chan string, done chan error) {
		lines, done = make(chan string, 16), make(chan error, 1)
		go func() {
			done <- podman.FollowLog(t.Context(), dir, key, opt, ended.Load, lineWriter{lines, "out "}, lineWriter{lines, "err "})
		}()
		return lines, done
	}
	expect := func(lines chan string, want string) {
		t.Helper()
		if got := <-lines; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	lines, done := follow(podman.LogOptions{})
	must(t, os.Mkdir(filepath.Join(dir, key), 0o700)) // there was none yet
	f, err := os.Create(filepath.Join(dir, key, "log"))
	must(t, err)
	defer f.Close()
	write := func(text string) {
		t.Helper()
		_, err := f.WriteString(text)
		must(t, err)
	}
	write(at + "stdout F one\n" + at + "stderr P hal")
	expect(lines, "out one\n")
	write("f\n" + at + "stdout F two\n")
	expect(lines, "out two\n")
	write(at + "stderr F way\n")
	expect(lines, "err halfway\n")
	write(at + "stdout P begun\n")
	ended.Store(true)
	expect(lines, "out begun\n")
	must(t, <-done)

	ended.Store(false)
	lines, done = follow(podman.LogOptions{Tail: 2, Timestamps: true})
	expect(lines, "err 2026-01-01T12:00:00.500000000Z halfway\n")
	ended.Store(true)
	expect(lines, "out 2026-01-01T12:00:00.500000000Z begun\n")
	must(t, <-done)

	ended.Store(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	must(t, podman.FollowLog(ctx, dir, key, podman.LogOptions{}, ended.Load, &out, &out))
	must(t, podman.FollowLog(ctx, dir, "bb00000000000000", podman.LogOptions{}, ended.Load, &out, &out))
	ended.Store(true)
	must(t, podman.FollowLog(t.Context(), dir, "bb00000000000000", podman.LogOptions{}, ended.Load, &out, &out))
	if err := podman.FollowLog(t.Context(), dir, "../x", podman.LogOptions{}, ended.Load, &out, &out); err == nil {
		t.Error("what is no key was taken for one")
	}
}

// lineWriter passes on each write as it comes.
type lineWriter struct {
	to     chan string
	prefix string
}

func (w lineWriter) Write(p []byte) (int, error) {
	w.to <- w.prefix + string(p)
	return len(p), nil
}
