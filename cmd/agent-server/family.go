// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// family starts processes and reaps all children: those it started and the
// orphans that PID 1 inherits. Nothing else in the process may wait for a
// child, since the reaper takes every status.
type family struct {
	mu      sync.Mutex
	waiting map[int]*process
	trees   uint32 // trees started so far
	changed chan os.Signal
	alone   chan struct{} // there was a moment without children
}

// endPatience is how long killed processes usually take at most.
const endPatience = 10 * time.Millisecond

// process is one started child, the leader of its own process group.
type process struct {
	pid     int
	started time.Time
	done    chan syscall.WaitStatus // yields once
	// tree is the mark of what it starts, of which its process group ends with it;
	// 0 = none.
	tree mark
}

// newFamily starts the reaper, which lives as long as the program.
func newFamily() *family {
	f := &family{
		waiting: map[int]*process{},
		changed: make(chan os.Signal, 1),
		alone:   make(chan struct{}, 1),
	}
	signal.Notify(f.changed, syscall.SIGCHLD)
	go f.reap()
	return f
}

func (f *family) reap() {
	for range f.changed {
		for f.reapOne() {
		}
	}
}

func (f *family) reapOne() bool {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	switch {
	case err == syscall.EINTR:
		return true
	case err != nil: // no children
		select {
		case f.alone <- struct{}{}:
		default:
		}
		return false
	case pid == 0: // none has ended
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.waiting[pid]; ok {
		if p.tree != 0 {
			// The number stays taken for as long as anybody is left in the group, and
			// is not given out again for a whole round of numbers.
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
		p.done <- status
		delete(f.waiting, pid)
	}
	return true
}

// start runs path with argv in a process group of its own, with our
// environment and folder and the given standard files.
func (f *family) start(path string, argv []string, files [3]uintptr) (*process, error) {
	// Held until the child is known: it may end before ForkExec returns.
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fork(path, argv, files)
}

// startTree is start, for a process whose whole process group ends with it, and
// that [family.endTree] can end with all that it has started.
func (f *family) startTree(path string, argv []string, files [3]uintptr) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trees++
	tree := trees | mark(f.trees)
	// Nobody else starts a process meanwhile.
	restore, err := tree.lend()
	if err != nil {
		return nil, err
	}
	defer restore()
	p, err := f.fork(path, argv, files)
	if err == nil {
		p.tree = tree
	}
	return p, err
}

// endTree ends p, its process group and whatever of it is elsewhere. It gives up
// on what withstands that, after seconds.
func (f *family) endTree(p *process) {
	f.mu.Lock()
	if f.waiting[p.pid] == p {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	}
	f.mu.Unlock()
	if c := crowd(p.tree.bearers); !c.gone(endPatience) {
		c.end(0)
	}
}

// fork needs f.mu.
func (f *family) fork(path string, argv []string, files [3]uintptr) (*process, error) {
	defer withUsualSlack()()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: files[:],
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid, started: time.Now(), done: make(chan syscall.WaitStatus, 1)}
	f.waiting[pid] = p
	return p, nil
}

// signal passes sig to the whole process group of p; nil is nobody.
func (p *process) signal(sig syscall.Signal) {
	if p == nil {
		return
	}
	// The group may be gone already: its end is on the way through done.
	_ = syscall.Kill(-p.pid, sig)
}

// end stops everything that is left: SIGTERM, and SIGKILL after grace. As PID 1
// that is every process of the container, else the groups of ps.
func (f *family) end(grace time.Duration, ps ...*process) {
	all := func(sig syscall.Signal) {
		if os.Getpid() == 1 {
			_ = syscall.Kill(-1, sig)
			return
		}
		for _, p := range ps {
			p.signal(sig)
		}
	}
	select {
	case <-f.alone:
	default:
	}
	all(syscall.SIGTERM)
	all(syscall.SIGCONT) // a stopped process could not act on the first
	select {
	case f.changed <- syscall.SIGCHLD: // look now: there may be nobody left to end
	default:
	}
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	select {
	case <-f.alone:
	case <-timeout.C:
		all(syscall.SIGKILL)
	}
}

// adoptOrphans makes orphaned descendants our children, as they are PID 1's
// anyway.
func adoptOrphans() error {
	if os.Getpid() == 1 {
		return nil
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// takeTerminal gives the terminal, when there is one and it is ours, to the
// process group of p, so that it may read from it and gets its Ctrl-C.
func takeTerminal(p *process) {
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err != nil {
		return // no terminal, or not the one that controls us
	}
	if err := unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, p.pid); err != nil {
		return
	}
	p.signal(syscall.SIGCONT) // it may have been stopped for reading too early
}
