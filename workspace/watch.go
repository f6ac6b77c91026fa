// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions say what a Watcher looks at and how patient it is. Changed is
// required.
type WatchOptions struct {
	// Quiet is how long nothing must happen before Changed is called; 0 = 120 ms.
	Quiet time.Duration
	// Ceiling bounds how long a change waits for that; 0 = 2 s.
	Ceiling time.Duration
	// Rescan is between two looks for what notifications have missed, give or
	// take a tenth; 0 = 2 minutes.
	Rescan time.Duration
	// Poll is between two looks where there are no notifications; 0 = 1 s.
	Poll time.Duration
	// Changed is called by Run, once for each burst of changes. It must not wait
	// for long.
	Changed func()
	// Ignored reports further paths, absolute and without links, that do not
	// matter. What lies in an ignored folder does not either. nil = none.
	Ignored func(path string, dir bool) bool
	// Log is told when folders cannot be watched; nil = nobody.
	Log *slog.Logger
}

// WatchState is how a Watcher is doing.
type WatchState struct {
	Folders int    `json:"folders"` // that are looked at
	Polling bool   `json:"polling"` // they are read again and again, since they cannot be watched
	Reason  string `json:"reason,omitempty"`
}

// Watcher tells when something below a set of folders has changed. It watches
// folders only, through one inotify instance, and knows each folder by a digest
// of its entries, so that what was undone at once is no change. Where the system
// allows no more watches it reads the folders every Poll instead, says so, and
// goes back to watching when it can.
//
// What .git holds, what editors leave beside a file that they save, and what a
// .reconcileignore names does not count; the commit that is checked out does.
type Watcher struct {
	opt   WatchOptions
	open  func() (notifier, error) // replaced by tests
	state atomic.Pointer[WatchState]
	seed  maphash.Seed
	kick  chan struct{} // the fields below are no longer what Run waits for

	mu       sync.Mutex
	running  bool
	ended    bool
	asked    bool     // Watch was called
	roots    []string // absolute, clean, sorted
	view     view
	notes    notifier // nil = nothing is watched
	reason   string   // why folders are read and not watched; "" = they are watched
	burst    burst
	written  map[string]bool // documents that were not closed yet when Changed was called
	followAt time.Time       // to look at them again
	lookAt   time.Time       // at everything
	retryAt  time.Time       // to watch instead of polling
}

// NewWatcher returns a watcher that looks at nothing yet.
func NewWatcher(o WatchOptions) (*Watcher, error) {
	if o.Changed == nil {
		return nil, errors.New("watch folders: nobody to tell of changes")
	}
	o.Quiet = orDefault(o.Quiet, 120*time.Millisecond)
	o.Ceiling = max(orDefault(o.Ceiling, 2*time.Second), o.Quiet)
	o.Rescan = orDefault(o.Rescan, 2*time.Minute)
	o.Poll = orDefault(o.Poll, time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{opt: o, open: openNotifier, kick: make(chan struct{}, 1), seed: maphash.MakeSeed()}
	w.state.Store(&WatchState{})
	w.lookAt = time.Now().Add(jittered(o.Rescan))
	return w, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Watch replaces the set of folders, which are absolute paths and need not exist
// yet. When it returns they are watched; nothing happens when they were already.
// Read the first set after the call. Every other set counts as a change, since
// its folders may have changed between being read and being watched. Once Run has
// returned nothing is watched any more.
func (w *Watcher) Watch(dirs []string) error {
	roots := make([]string, len(dirs))
	for i, dir := range dirs {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("watch %q: the path is not absolute", dir)
		}
		roots[i] = filepath.Clean(dir)
	}
	slices.Sort(roots)
	roots = slices.Compact(roots)

	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil
	}
	if w.asked && slices.Equal(roots, w.roots) {
		return nil
	}
	w.roots = roots
	w.rebuild()
	if !w.asked {
		w.asked = true
		return nil
	}
	w.burst.note(time.Now(), "", true)
	select {
	case w.kick <- struct{}{}:
	default: // Run will see
	}
	return nil
}

// State returns how the watcher is doing; it never waits.
func (w *Watcher) State() WatchState { return *w.state.Load() }

// Settle waits until no change is waiting for Changed to be called, so that
// files are not read in the middle of a burst. It waits little longer than a
// Ceiling, and not at all before Run.
func (w *Watcher) Settle(ctx context.Context) error {
	w.mu.Lock()
	calm := w.burst.calm
	if !w.running {
		calm = nil
	}
	w.mu.Unlock()
	if calm == nil {
		return nil
	}
	select {
	case <-calm:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run calls Changed until ctx ends, and then stops watching for good. It must be
// called once, if need be with a ctx that has ended: Watch opens what only Run
// closes.
func (w *Watcher) Run(ctx context.Context) error {
	if err := w.begin(); err != nil {
		return err
	}
	defer w.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		due, events, errs := w.waits()
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
		case <-w.kick:
		case ev, ok := <-events:
			w.event(ev, ok)
		case err, ok := <-errs:
			w.trouble(err, ok)
		case <-timer.C:
			w.tick()
		}
	}
	return nil
}

func (w *Watcher) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running || w.ended {
		return errors.New("watch folders: the watcher runs or ran already")
	}
	w.running = true
	return nil
}

func (w *Watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeNotes()
	if calm := w.burst.take(); calm != nil {
		close(calm)
	}
	w.running, w.ended = false, true
}

// waits returns what Run waits for: a time, notifications and their errors.
func (w *Watcher) waits() (time.Time, <-chan fsnotify.Event, <-chan error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := w.lookAt
	if at := w.burst.due(w.opt); !at.IsZero() && at.Before(due) {
		due = at
	}
	if len(w.written) > 0 && w.followAt.Before(due) {
		due = w.followAt
	}
	if w.notes == nil {
		return due, nil, nil
	}
	return due, w.notes.Notes(), w.notes.Troubles()
}

// tick does what is due.
func (w *Watcher) tick() {
	changed, calm := w.tickLocked(time.Now())
	if changed {
		w.opt.Changed()
	}
	if calm != nil {
		close(calm)
	}
}

// tickLocked reports whether there is a change to tell of, and returns the
// channel to close then if a burst has ended.
func (w *Watcher) tickLocked(now time.Time) (bool, chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !now.Before(w.lookAt) {
		w.look(now)
	}
	if len(w.written) > 0 && !now.Before(w.followAt) {
		w.follow(now)
	}
	if at := w.burst.due(w.opt); at.IsZero() || now.Before(at) || !w.settled(now) {
		return false, nil
	}
	changed := w.burst.sure
	return changed, w.burst.take()
}
