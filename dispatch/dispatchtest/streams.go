// SPDX-License-Identifier: Apache-2.0

package dispatchtest

import (
	"io"
	"sync"
)

// attached is the connection to the streams of a process in memory.
type attached struct {
	c *container

	mu             sync.Mutex // held while something is passed on
	stdout, stderr io.Writer
	over           bool
	missing        error         // why some may be
	closed         chan struct{} // closed once nothing more is passed on
}

func (a *attached) Write(p []byte) (int, error) {
	n, err := a.c.input.Write(p)
	return n, err
}

func (a *attached) CloseWrite() error { return a.c.input.Close() }

func (a *attached) Wait() error {
	<-a.closed
	return a.missing
}

func (a *attached) Close() error {
	a.cut(nil)
	return a.c.input.CloseWithError(io.ErrClosedPipe)
}

// cut has nothing passed on any more.
func (a *attached) cut(missing error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.over, a.missing = true, missing
		close(a.closed)
	}
}

func (a *attached) isOver() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.over
}

// stream is what a process writes to.
type stream struct {
	c  *container
	fd int
}

func (s *stream) Write(p []byte) (int, error) {
	select {
	case <-s.c.kill:
		return 0, io.ErrClosedPipe
	default:
	}
	a := s.c.attached
	if a == nil {
		return len(p), nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.over:
		return len(p), nil
	case s.fd == 1:
		return a.stdout.Write(p)
	}
	return a.stderr.Write(p)
}
