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
	waiting map[int]chan<- syscall.WaitStatus
	changed chan os.Signal
	alone   chan struct{} // there was a moment without children
}

// process is one started child, the leader of its own process group.
type process struct {
	pid     int
	started time.Time
	done    <-chan syscall.WaitStatus // yields once
}

// newFamily starts the reaper, which lives as long as the program.
func newFamily() *family {
	f := &family{
		waiting: map[int]chan<- syscall.WaitStatus{},
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
	if ch, ok := f.waiting[pid]; ok {
		ch <- status
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
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: files[:],
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	done := make(chan syscall.WaitStatus, 1)
	f.waiting[pid] = done
	return &process{pid: pid, started: time.Now(), done: done}, nil
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
