// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
)

// scripted is a notifier whose notifications a test sends.
type scripted struct {
	events   chan fsnotify.Event
	troubles chan error
}

func newScripted() *scripted {
	return &scripted{make(chan fsnotify.Event), make(chan error)}
}

func (s *scripted) Add(string) error             { return nil }
func (s *scripted) Remove(string) error          { return nil }
func (s *scripted) Notes() <-chan fsnotify.Event { return s.events }
func (s *scripted) Troubles() <-chan error       { return s.troubles }
func (s *scripted) Close() error                 { return nil }
func (s *scripted) open() (notifier, error)      { return s, nil }
func (s *scripted) write(path string, times int) { s.send(path, fsnotify.Write, times, 0) }
func (s *scripted) send(path string, op fsnotify.Op, times int, every time.Duration) {
	for range times {
		s.events <- fsnotify.Event{Name: path, Op: op}
		time.Sleep(every)
	}
}

// inBubble runs f in virtual time with a watcher of a folder, which holds the
// file it is given. told returns when Changed was called, since the beginning.
func inBubble(t *testing.T, o WatchOptions, f func(t *testing.T, w *Watcher, s *scripted, file string, told func() []time.Duration)) {
	t.Helper()
	file := filepath.Join(realDir(t, t.TempDir()), "file.yaml")
	write(t, file, "x")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		var calls []time.Duration
		o.Changed = func() {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, time.Since(began))
		}
		w, err := NewWatcher(o)
		must(t, err)
		s := newScripted()
		w.open = s.open
		must(t, w.Watch([]string{filepath.Dir(file)}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		f(t, w, s, file, func() []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(calls)
		})
		cancel()
		must(t, <-done)
	})
}

func TestDebounce(t *testing.T) {
	ms := func(ns ...int) (ds []time.Duration) {
		for _, n := range ns {
			ds = append(ds, time.Duration(n)*time.Millisecond)
		}
		return ds
	}
	for _, tc := range []struct {
		name string
		do   func(s *scripted, file string)
		want []time.Duration
	}{
		{"nothing", func(*scripted, string) {}, nil},
		{"one write", func(s *scripted, file string) { s.write(file, 1) }, ms(120)},
		{"a thousand at once", func(s *scripted, file string) { s.write(file, 1000) }, ms(120)},
		{"a thousand within a second", func(s *scripted, file string) { s.send(file, fsnotify.Write, 1000, time.Millisecond) }, ms(999 + 120)},
		{"two that are apart", func(s *scripted, file string) {
			s.send(file, fsnotify.Write, 1, time.Second)
			s.write(file, 1)
		}, ms(120, 1120)},
		{"one every 119 ms", func(s *scripted, file string) { s.send(file, fsnotify.Write, 10, 119*time.Millisecond) }, ms(9*119 + 120)},
		{"never quiet", func(s *scripted, file string) { s.send(file, fsnotify.Write, 500, 10*time.Millisecond) }, ms(2000, 4000, 4990+120)},
		{"nothing that counts", func(s *scripted, file string) { s.send(file, fsnotify.Chmod, 100, 10*time.Millisecond) }, nil},
		{"an overflow", func(s *scripted, _ string) { s.troubles <- fsnotify.ErrEventOverflow }, ms(120)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, WatchOptions{Rescan: 24 * time.Hour}, func(t *testing.T, _ *Watcher, s *scripted, file string, told func() []time.Duration) {
				tc.do(s, file)
				time.Sleep(time.Minute)
				got := told()
				for i := range got {
					got[i] = got[i].Round(time.Millisecond)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("told at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What no notification tells of is found by looking.
func TestRescanFindsWhatWasMissed(t *testing.T) {
	inBubble(t, WatchOptions{}, func(t *testing.T, _ *Watcher, _ *scripted, file string, told func() []time.Duration) {
		time.Sleep(time.Hour)
		if got := told(); len(got) != 0 {
			t.Fatalf("told at %v although nothing happened", got)
		}
		appendTo(t, file, "x")
		time.Sleep(time.Hour)
		got := told()
		if len(got) != 1 || got[0] > time.Hour+2*time.Minute+12*time.Second+120*time.Millisecond {
			t.Errorf("told at %v, want once and within one period", got)
		}
	})
}

// A folder that was replaced may have the inode of the one before it.
func TestWatchReplacedFolder(t *testing.T) {
	for _, edited := range []bool{false, true} {
		t.Run(fmt.Sprintf("edited=%v", edited), func(t *testing.T) {
			inBubble(t, WatchOptions{Rescan: 24 * time.Hour}, func(t *testing.T, w *Watcher, s *scripted, file string, told func() []time.Duration) {
				dir := filepath.Dir(file)
				root := filepath.Dir(dir)
				must(t, w.Watch([]string{root}))
				time.Sleep(time.Second)
				before := len(told())
				s.send(dir, fsnotify.Remove, 1, 0)
				if edited {
					appendTo(t, file, "x")
				}
				s.send(dir, fsnotify.Create, 1, time.Minute)
				if got := len(told()) > before; got != edited {
					t.Errorf("told of a change: %v, want %v", got, edited)
				}
			})
		})
	}
}

// Whoever reads waits until a burst is over.
func TestSettle(t *testing.T) {
	inBubble(t, WatchOptions{}, func(t *testing.T, w *Watcher, s *scripted, file string, told func() []time.Duration) {
		began := time.Now()
		must(t, w.Settle(t.Context()))
		if got := time.Since(began); got != 0 {
			t.Errorf("waited %v although nothing happened", got)
		}
		s.write(file, 1)
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := w.Settle(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("settled in the middle of a burst: %v", err)
		}
		must(t, w.Settle(t.Context()))
		if got := told(); len(got) != 1 {
			t.Errorf("settled, and Changed was called %d times", len(got))
		}
	})
}

// A document that is open for writing prolongs a burst, and its end is told.
func TestWatchDocumentThatIsBeingWritten(t *testing.T) {
	inBubble(t, WatchOptions{Rescan: 24 * time.Hour}, func(t *testing.T, _ *Watcher, s *scripted, file string, told func() []time.Duration) {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
		must(t, err)
		s.write(file, 1)
		time.Sleep(time.Second)
		if got := told(); len(got) != 0 {
			t.Errorf("told at %v of a file that is open", got)
		}
		time.Sleep(time.Minute)
		if got := told(); len(got) != 1 || got[0] != 2*time.Second {
			t.Errorf("told at %v, want at the ceiling", got)
		}
		must(t, f.Close())
		time.Sleep(time.Minute)
		if got := told(); len(got) != 2 || got[1] > 62*time.Second {
			t.Errorf("told at %v, want a second time when the file is closed", got)
		}
		time.Sleep(time.Hour)
		if got := told(); len(got) != 2 {
			t.Errorf("told at %v, want twice", got)
		}
	})
}

func TestWatchDocumentClosedInTime(t *testing.T) {
	inBubble(t, WatchOptions{Rescan: 24 * time.Hour}, func(t *testing.T, _ *Watcher, s *scripted, file string, told func() []time.Duration) {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		must(t, err)
		s.write(file, 1)
		time.Sleep(time.Second)
		must(t, f.Close())
		time.Sleep(time.Hour)
		if got := told(); len(got) != 1 || got[0] < time.Second || got[0] > 1200*time.Millisecond {
			t.Errorf("told at %v, want once and soon after the file is closed", got)
		}
	})
}

// limited is the system's notifier with a limit.
type limited struct {
	notifier
	left int
}

func (l *limited) Add(dir string) error {
	if l.left--; l.left < 0 {
		return fmt.Errorf("add %s: %w", dir, syscall.ENOSPC)
	}
	return l.notifier.Add(dir)
}

// Where the system allows no more, folders are read again and again, until it
// does.
func TestWatchLimits(t *testing.T) {
	full := func(err error) func() (notifier, error) { return func() (notifier, error) { return nil, err } }
	room := func(n int) func() (notifier, error) {
		return func() (notifier, error) {
			real, err := openNotifier()
			return &limited{real, n}, err
		}
	}
	for _, tc := range []struct {
		name, reason string
		open         func() (notifier, error)
		later        bool // the limit is not reached at once
	}{
		{"no watch is left", "max_user_watches", room(5), false},
		{"a new folder is too much", "max_user_watches", room(20), true},
		{"no instance is left", "max_user_instances", full(syscall.EMFILE), false},
		{"there is no inotify", "function not implemented", full(syscall.ENOSYS), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := realDir(t, t.TempDir())
			write(t, filepath.Join(dir, "ws/a/b/c/file"), "x")
			var mu sync.Mutex
			open := tc.open
			w := watching(t, WatchOptions{Quiet: 10 * time.Millisecond, Poll: 20 * time.Millisecond, Rescan: 300 * time.Millisecond}, func(w *Watcher) {
				w.open = func() (notifier, error) {
					mu.Lock()
					defer mu.Unlock()
					return open()
				}
			}, filepath.Join(dir, "ws"))
			if tc.later {
				if got := w.State(); got.Polling {
					t.Fatalf("state: %+v", got)
				}
				for i := range 20 {
					write(t, filepath.Join(dir, "ws/new", fmt.Sprint(i), "file"), "x")
				}
				for !w.State().Polling {
					w.wait(t, "new folders")
				}
			}
			w.drain(t)
			if got := w.State(); !got.Polling || !strings.Contains(got.Reason, tc.reason) {
				t.Fatalf("state: %+v, want polling because of %s", got, tc.reason)
			}
			appendTo(t, filepath.Join(dir, "ws/a/b/c/file"), "x")
			w.wait(t, "a file, by looking")
			write(t, filepath.Join(dir, "ws/x/y/file"), "x")
			w.wait(t, "new folders, by looking")

			mu.Lock()
			open = openNotifier
			mu.Unlock()
			for deadline := time.Now().Add(patience); w.State().Polling; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("still %+v", w.State())
				}
			}
			appendTo(t, filepath.Join(dir, "ws/x/y/file"), "x")
			w.wait(t, "a file, by notification")
			said := w.log.String()
			if n := strings.Count(said, "cannot watch folders"); n != 1 {
				t.Errorf("it was said %d times, want once:\n%s", n, said)
			}
			if n := strings.Count(said, "watched again"); n != 1 {
				t.Errorf("the end was said %d times, want once:\n%s", n, said)
			}
		})
	}
}
