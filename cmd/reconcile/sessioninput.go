// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// polledInput reads a file when there is something to read, so that a Read that
// waits can be ended, whatever kind of file it is.
type polledInput struct {
	file         *os.File
	wakeR, wakeW *os.File // closing the one wakes who polls the other
}

func newPolledInput(f *os.File) (*polledInput, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &polledInput{file: f, wakeR: r, wakeW: w}, nil
}

// Read reads. After Close it is an io.EOF.
func (p *polledInput) Read(b []byte) (int, error) {
	for {
		fds := []unix.PollFd{
			{Fd: int32(p.file.Fd()), Events: unix.POLLIN},
			{Fd: int32(p.wakeR.Fd()), Events: unix.POLLIN},
		}
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case fds[1].Revents != 0:
			return 0, io.EOF
		}
		n, err := unix.Read(int(p.file.Fd()), b)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.EIO): // the terminal is gone
			return 0, io.EOF
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Close ends a Read that waits, and those to come.
func (p *polledInput) Close() error { return p.wakeW.Close() }

func (p *polledInput) release() {
	p.wakeW.Close()
	p.wakeR.Close()
}
