// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestTakeLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "workspaces", "acme")
	self := Holder{PID: 4711, Command: "reconcile watch .", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	l, err := TakeLock(dir, "acme", self)
	if err != nil {
		t.Fatal(err)
	}
	_, err = TakeLock(dir, "acme", Holder{PID: 1})
	want := "workspace acme is being reconciled by pid 4711 (reconcile watch .) since 2026-01-02T03:04:05Z"
	if err == nil || err.Error() != want {
		t.Errorf("second lock: %v, want %s", err, want)
	}
	if locked := (*LockedError)(nil); !errors.As(err, &locked) || locked.Holder != self {
		t.Errorf("second lock: %#v, want a LockedError of the holder", err)
	}

	t.Run("holder that has not said who it is", func(t *testing.T) {
		if err := os.Truncate(filepath.Join(dir, "lock"), 0); err != nil {
			t.Fatal(err)
		}
		_, err := TakeLock(dir, "acme", Holder{PID: 1})
		if want := "workspace acme is being reconciled by another process"; err == nil || err.Error() != want {
			t.Errorf("lock: %v, want %s", err, want)
		}
	})

	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	l, err = TakeLock(dir, "acme", self)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestLookHolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "workspaces", "acme")
	look := func(when string, want Holder, held bool) {
		t.Helper()
		if got, ok := LookHolder(dir); ok != held || held && got != want {
			t.Errorf("%s: %v %v, want %v %v", when, got, ok, want, held)
		}
	}
	look("no folder", Holder{}, false)
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking has made the folder")
	}
	self := Holder{PID: os.Getpid(), Command: "reconcile invoke", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	l, err := TakeLock(dir, "acme", self)
	if err != nil {
		t.Fatal(err)
	}
	look("held", self, true)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	look("released", Holder{}, false)
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := TakeLock(dir, "acme", Holder{PID: gone.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	look("held by the dead", Holder{}, false)
}
