// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// notifier watches folders one by one.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Notes() <-chan fsnotify.Event
	Troubles() <-chan error
	Close() error
}

type inotify struct{ *fsnotify.Watcher }

func (n inotify) Notes() <-chan fsnotify.Event { return n.Events }
func (n inotify) Troubles() <-chan error       { return n.Errors }

func openNotifier() (notifier, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return inotify{n}, nil
}

// isLimit reports whether the system allows no more watches.
func isLimit(err error) bool {
	for _, limit := range []error{syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, limit) {
			return true
		}
	}
	return false
}

// reasonOf says why folders cannot be watched.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "the limit of inotify watches is reached (fs.inotify.max_user_watches)"
	case errors.Is(err, syscall.EMFILE):
		return "the limit of inotify instances or of open files is reached (fs.inotify.max_user_instances)"
	}
	return err.Error()
}

func (w *Watcher) reader() *viewer {
	return &viewer{seed: w.seed, ignored: w.opt.Ignored, view: w.view}
}

// rebuild watches everything afresh and returns the folders that are not as they
// were known to be. Nothing is missed meanwhile, since it is seen in the digests.
func (w *Watcher) rebuild() []string {
	was := w.view
	w.closeNotes()
	if len(w.roots) == 0 {
		w.view = view{}
		w.setReason("")
		return w.view.differs(was)
	}
	notes, err := w.open()
	if err == nil {
		r := w.reader()
		r.add = notes.Add
		w.view = r.viewOf(w.roots)
		if err = r.err; err == nil {
			w.notes = notes
			w.setReason("")
			return w.view.differs(was)
		}
		notes.Close() //nolint:errcheck // of what is not used
	}
	w.view = w.reader().viewOf(w.roots)
	w.setReason(reasonOf(err))
	return w.view.differs(was)
}

func (w *Watcher) closeNotes() {
	if w.notes != nil {
		w.notes.Close() //nolint:errcheck // there is nothing to be done about it
		w.notes = nil
	}
}

// setReason makes public how folders are looked at from now on, and tells the
// log when that changes. reason says why they are not watched.
func (w *Watcher) setReason(reason string) {
	now := time.Now()
	switch {
	case reason != "" && w.reason == "":
		w.opt.Log.Warn("cannot watch folders; they are read again and again instead", "reason", reason, "folders", w.view.count(), "every", w.opt.Poll)
		w.lookAt = now.Add(w.opt.Poll)
	case reason == "" && w.reason != "":
		w.opt.Log.Info("folders are watched again", "folders", w.view.count())
		w.lookAt = now.Add(jittered(w.opt.Rescan))
	}
	w.reason, w.retryAt = reason, now.Add(jittered(w.opt.Rescan))
	w.publish()
}

func (w *Watcher) publish() {
	w.state.Store(&WatchState{Folders: w.view.count(), Polling: w.reason != "", Reason: w.reason})
}

// trouble deals with an error of the notifications: some were lost.
func (w *Watcher) trouble(err error, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ok {
		return
	}
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		w.opt.Log.Warn("notifications about folders were lost; all are read again", "reason", err)
	}
	w.burst.note(time.Now(), "", true)
	w.burst.rebuild = true
}

// event deals with one notification. It may be late: what it speaks of may
// be gone, or something else by now.
func (w *Watcher) event(ev fsnotify.Event, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := filepath.Clean(ev.Name)
	dir, name := filepath.Dir(path), filepath.Base(path)
	f := w.view.folders[dir]
	if !ok || f == nil {
		return
	}
	now, itself := time.Now(), w.view.folders[path]
	moved := ev.Has(fsnotify.Create | fsnotify.Remove | fsnotify.Rename)
	switch {
	case moved && (w.view.gates[dir][name] || name == ".git" && f.only == nil),
		ev.Has(fsnotify.Chmod) && itself != nil && itself.blind:
		w.burst.rebuild = true
	case !w.reader().matters(dir, f, name, itself != nil):
		return
	case name == ignoreFile && f.only == nil, name == gitLogs && f.only != nil,
		ev.Has(fsnotify.Rename) && itself != nil: // its watches go by names of folders
		w.burst.rebuild = true
	case ev.Has(fsnotify.Remove):
		w.forget(path) // what it held went before
	case ev.Has(fsnotify.Create):
		w.arrive(path, f)
	}
	w.burst.note(now, dir, ev.Has(fsnotify.Write))
}

// arrive deals with an entry that has come to the folder parent.
func (w *Watcher) arrive(path string, parent *folder) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || parent.only != nil || w.notes == nil {
		return
	}
	r := w.reader()
	if !r.matters(filepath.Dir(path), parent, filepath.Base(path), true) {
		return
	}
	w.forget(path) // another one of its name
	r.add = w.notes.Add
	r.tree(path, &folder{rules: parent.rules, root: parent.root})
	for _, dir := range r.added {
		w.burst.replace(dir, nil)
		w.burst.note(time.Now(), dir, false)
	}
	if r.err != nil {
		w.closeNotes()
		w.setReason(reasonOf(r.err))
	}
}

func (w *Watcher) forget(dir string) {
	if f := w.view.folders[dir]; f != nil {
		w.burst.replace(dir, f)
		delete(w.view.folders, dir)
	}
}
