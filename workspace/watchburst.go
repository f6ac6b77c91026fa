// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"math/rand/v2"
	"time"
)

// burst is what has happened since Changed was called last. The zero value is
// that nothing has.
type burst struct {
	first, last time.Time // of what happened
	sure        bool      // something has changed
	rebuild     bool      // what is watched is no longer right
	dirty       map[string]bool
	before      map[string]*folder // those that came or went, as they were; nil = there was none
	calm        chan struct{}      // is closed after the burst; nil = there is none
}

// note adds something that happened in the folder dir; "" = somewhere. What is
// not sure counts if the folder's digest has changed.
func (b *burst) note(now time.Time, dir string, sure bool) {
	if b.calm == nil {
		b.calm, b.first = make(chan struct{}), now
	}
	b.last = now
	b.sure = b.sure || sure
	if dir == "" {
		return
	}
	if b.dirty == nil {
		b.dirty = map[string]bool{}
	}
	b.dirty[dir] = true
}

// replace adds that the folder was, if any, is gone from dir or is another one.
func (b *burst) replace(dir string, was *folder) {
	if _, known := b.before[dir]; known {
		return
	}
	if b.before == nil {
		b.before = map[string]*folder{}
	}
	b.before[dir] = was
}

// due is when the burst is to be looked at; zero = there is none.
func (b *burst) due(o WatchOptions) time.Time {
	if b.calm == nil {
		return time.Time{}
	}
	quiet, ceiling := b.last.Add(o.Quiet), b.first.Add(o.Ceiling)
	if quiet.Before(ceiling) {
		return quiet
	}
	return ceiling
}

// take ends the burst and returns the channel to close.
func (b *burst) take() chan struct{} {
	calm := b.calm
	*b = burst{}
	return calm
}

// settled reports whether the burst is over. Documents that somebody is still
// writing prolong it up to its ceiling; from then on they are followed.
func (w *Watcher) settled(now time.Time) bool {
	if w.burst.rebuild {
		w.burst.rebuild = false
		w.mark(w.rebuild())
	}
	var open []string
	for dir := range w.burst.dirty {
		f := w.view.folders[dir]
		if f == nil {
			continue // its parent has changed
		}
		was := f.sum
		open = append(open, openDocuments(dir, w.reader().fill(dir, f))...)
		w.burst.sure = w.burst.sure || f.sum != was
	}
	for dir, was := range w.burst.before {
		f := w.view.folders[dir]
		w.burst.sure = w.burst.sure || (f == nil) != (was == nil) || f != nil && (f.id != was.id || f.sum != was.sum)
	}
	w.publish()
	if len(open) > 0 && now.Before(w.burst.first.Add(w.opt.Ceiling)) {
		w.burst.last = now
		return false
	}
	for _, path := range open {
		if w.written == nil {
			w.written = map[string]bool{}
		}
		w.written[path] = true
		w.followAt = now.Add(followEvery)
	}
	return true
}

// mark adds folders that have changed to a burst.
func (w *Watcher) mark(dirs []string) {
	for _, dir := range dirs {
		w.burst.note(w.burst.last, dir, true)
	}
}

// followEvery is between two looks at documents that are being written: that
// they are closed is not notified.
const followEvery = 250 * time.Millisecond

// follow counts documents that have been closed as changed.
func (w *Watcher) follow(now time.Time) {
	for path := range w.written {
		if !openForWriting(path) {
			delete(w.written, path)
			w.burst.note(now, "", true)
		}
	}
	w.followAt = now.Add(followEvery)
}

// look compares everything with what is known, for what notifications missed or
// in place of them.
func (w *Watcher) look(now time.Time) {
	var changed []string
	if w.reason != "" && !now.Before(w.retryAt) {
		changed = w.rebuild()
	} else if fresh := w.reader().viewOf(w.roots); w.notes != nil && !fresh.sameFolders(w.view) {
		changed = w.rebuild()
	} else {
		changed = fresh.differs(w.view)
		w.view = fresh
		w.publish()
	}
	for _, dir := range changed {
		w.burst.note(now, dir, true)
	}
	w.planLook(time.Now(), time.Since(now))
}

// planLook sets the time of the next look, given how long one takes.
func (w *Watcher) planLook(now time.Time, took time.Duration) {
	if w.reason == "" {
		w.lookAt = now.Add(jittered(w.opt.Rescan))
		return
	}
	w.lookAt = now.Add(max(w.opt.Poll, 10*took))
}

// jittered is d, give or take a tenth.
func jittered(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }
