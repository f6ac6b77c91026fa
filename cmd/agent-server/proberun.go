// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A run that is not over after firstLook is looked at for what it says, twice
	// as late each time up to lastLook, and soon while it says a lot. Between two
	// looks it can say what a pipe holds: one that floods waits.
	firstLook = 20 * time.Millisecond
	floodLook = 5 * time.Millisecond
	lastLook  = 200 * time.Millisecond
	// maxLook bounds what is read at one look, in bytes: more than a pipe holds.
	maxLook = 128 << 10
)

// once runs the probe and returns what to say of a failure, "" for success. It
// is not ok when it was told to stop.
func (p *prober) once(stop <-chan struct{}) (failure string, ok bool) {
	if !p.quiet(stop) {
		return "", false
	}
	p.out.reset()
	argv, err := p.command()
	if err != nil {
		return p.out.end(err.Error()), true
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return p.out.end(fmt.Sprintf("cannot run %s: %v", p.probe.Script, err)), true
	}
	r := fds[0]
	defer unix.Close(r)
	proc, err := p.start(argv, fds[1])
	unix.Close(fds[1])
	if err == nil {
		err = unix.SetNonblock(r, true)
	}
	if err != nil {
		return p.out.end(err.Error()), true
	}
	p.last = proc
	status, over := p.wait(proc, r, stop)
	switch over {
	case runStopped:
		return "", false
	case runTimeout:
		return p.out.end(fmt.Sprintf("no result after %s", p.probe.Timeout)), true
	}
	switch {
	case status == 0:
		return "", true
	case status.Signaled():
		return p.out.end("ended by a signal: " + describe(status)), true
	}
	return p.out.endIfSilent(describe(status)), true
}

// runEnd is how a run came to its end.
type runEnd int

const (
	runExit runEnd = iota
	runTimeout
	runStopped
)

// wait waits for the end of a run, or brings it about.
func (p *prober) wait(proc *process, r int, stop <-chan struct{}) (syscall.WaitStatus, runEnd) {
	deadline := proc.started.Add(p.probe.Timeout)
	for look := firstLook; ; {
		p.timer.Reset(min(look, max(time.Until(deadline), 0)))
		select {
		case status := <-proc.done:
			p.last = nil
			p.out.read(r)
			return status, runExit
		case <-stop:
			p.family.endTree(proc)
			return 0, runStopped
		case <-p.timer.C:
		}
		if !time.Now().Before(deadline) {
			p.out.read(r)
			p.family.endTree(proc)
			return 0, runTimeout
		}
		look = min(2*look, lastLook)
		if p.out.read(r) > maxLook/4 {
			look = floodLook
		}
	}
}

// quiet waits until the last run is over also when it could not be ended in
// time. It returns false when it was told to stop.
func (p *prober) quiet(stop <-chan struct{}) bool {
	if p.last == nil {
		return true
	}
	select {
	case <-p.last.done:
		p.last = nil
		return true
	case <-stop:
		return false
	}
}

// command is what runs the script: the shell, or the script itself where there
// is none.
func (p *prober) command() ([]string, error) {
	path := "./" + p.probe.Script
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return nil, fmt.Errorf("cannot run %s in %s: %w", p.probe.Script, here(), err)
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return nil, fmt.Errorf("cannot run %s in %s: it is a folder", p.probe.Script, here())
	default:
		return nil, fmt.Errorf("cannot run %s in %s: it is not a file", p.probe.Script, here())
	}
	shell, err := lookUp("sh")
	if err != nil {
		return []string{path}, nil
	}
	return []string{shell, path}, nil
}

// start starts the script with nothing to read and w to write to.
func (p *prober) start(argv []string, w int) (*process, error) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	path := argv[0]
	if len(argv) > 1 {
		argv = []string{"sh", argv[1]}
	}
	proc, err := p.family.startTree(path, argv, [3]uintptr{uintptr(null), uintptr(w), uintptr(w)})
	if err != nil {
		return nil, explainStart(path, err)
	}
	return proc, nil
}

// here is the current folder, for people.
func here() string {
	if dir, err := os.Getwd(); err == nil {
		return dir
	}
	return "."
}
