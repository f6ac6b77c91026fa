// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"

	"reconcile/podman"
)

// signalled is a session that a signal to this process ended.
type signalled struct{ signal syscall.Signal }

func (s *signalled) Error() string { return s.signal.String() }

// code is what a shell says of a process that the signal ended.
func (s *signalled) code() int { return 128 + int(s.signal) }

// console is what surrounds a session: the terminal, raw for as long as it lasts,
// if there is one on both sides, and the signals to this process.
type console struct {
	in    *os.File                 // nil = no terminal
	out   *os.File                 // whose size counts
	sizes chan podman.TerminalSize // the latest; nil = no terminal
	end   context.CancelCauseFunc

	signals chan os.Signal
	done    chan struct{} // closed to end the watch
	watched chan struct{} // closed when it has ended
	once    sync.Once

	mu    sync.Mutex
	saved *term.State // as the terminal was before; nil = it is so now
}

// openConsole begins to watch; end is called when a signal ends the session. The
// caller closes the console, which leaves the terminal as it was.
func (a *app) openConsole(end context.CancelCauseFunc) (*console, error) {
	c := &console{end: end, signals: make(chan os.Signal, 16), done: make(chan struct{}), watched: make(chan struct{})}
	caught := []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM}
	if isTerminal(a.std.in) && isTerminal(a.std.out) {
		c.in, c.out = a.std.in.(*os.File), a.std.out.(*os.File)
		c.sizes = make(chan podman.TerminalSize, 1)
		caught = append(caught, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT)
	}
	signal.Notify(c.signals, caught...)
	if c.in != nil {
		if err := c.raw(); err != nil {
			signal.Stop(c.signals)
			return nil, fmt.Errorf("take the terminal: %w", err)
		}
		c.measure()
	}
	go c.watch()
	return c, nil
}

func (c *console) watch() {
	defer close(c.watched)
	for {
		select {
		case s := <-c.signals:
			c.heed(s)
		case <-c.done:
			return
		}
	}
}

func (c *console) heed(s os.Signal) {
	switch s {
	case syscall.SIGWINCH:
		c.measure()
	case syscall.SIGTSTP: // from elsewhere: the key goes inside
		c.restore()
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case syscall.SIGCONT:
		// A job in the background that did so would be stopped again.
		_ = c.raw()
		c.measure()
	default:
		c.end(&signalled{s.(syscall.Signal)})
	}
}

// raw hands every key on, also those that mean something to this host.
func (c *console) raw() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saved != nil {
		// Who stopped us may have left it in another state.
		_, err := term.MakeRaw(int(c.in.Fd()))
		return err
	}
	saved, err := term.MakeRaw(int(c.in.Fd()))
	if err == nil {
		c.saved = saved
	}
	return err
}

func (c *console) restore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saved == nil {
		return
	}
	_ = term.Restore(int(c.in.Fd()), c.saved) // a terminal that is gone needs it no more
	c.saved = nil
}

// measure leaves the terminal's size for the session.
func (c *console) measure() {
	columns, rows, err := term.GetSize(int(c.out.Fd()))
	size := podman.TerminalSize{Columns: columns, Rows: rows}
	if err != nil || columns <= 0 || rows <= 0 {
		size = podman.TerminalSize{Columns: 80, Rows: 24}
	}
	for {
		select {
		case c.sizes <- size:
			return
		default:
		}
		select {
		case <-c.sizes: // an older one that nobody took
		default:
		}
	}
}

// close leaves the terminal as it was. It may be called again.
func (c *console) close() {
	c.once.Do(func() {
		signal.Stop(c.signals)
		close(c.done)
		<-c.watched
		if c.in != nil {
			c.restore()
		}
	})
}
