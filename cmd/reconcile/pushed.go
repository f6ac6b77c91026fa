// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pushedRef is a line that git gives to a hook: what became of a reference.
type pushedRef struct{ old, new, ref string }

// gone reports whether the reference is deleted, which git shows by zeros.
func (p pushedRef) gone() bool { return strings.Trim(p.new, "0") == "" }

// readPushed reads what was pushed from a hook's input.
func readPushed(r io.Reader) ([]pushedRef, error) {
	var list []pushedRef
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read what was pushed: %w", err)
		}
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			parts := strings.SplitN(line, " ", 3)
			if len(parts) != 3 {
				return nil, errors.New("receive is started by git, as a hook of a repository that serve-push set up")
			}
			list = append(list, pushedRef{parts[0], parts[1], parts[2]})
		}
		if err != nil {
			return list, nil
		}
	}
}

// pusherWait is how long the pusher's terminal may take nothing before it gets
// nothing more.
const pusherWait = 10 * time.Second

// pusher is the terminal of whoever pushes. It may go away, or take nothing any
// more, without that being an error: what is under way goes on.
type pusher struct {
	mu   sync.Mutex
	f    *os.File
	wait time.Duration
	gone bool
}

func newPusher(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok || isTerminal(f) {
		return w
	}
	// Only a file that never blocks has deadlines. It is one of its own: two files
	// with one descriptor would each close it.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil && unix.SetNonblock(fd, true) == nil {
		f = os.NewFile(uintptr(fd), f.Name())
	}
	return &pusher{f: f, wait: pusherWait}
}

func (p *pusher) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return len(b), nil
	}
	_ = p.f.SetWriteDeadline(time.Now().Add(p.wait)) // a plain file has none, and takes everything
	if _, err := p.f.Write(b); err != nil {
		p.gone = true
	}
	return len(b), nil
}

// leavePusher makes the process go on when the pusher's connection or terminal
// ends.
func leavePusher() {
	_, _ = syscall.Setsid() // fails for the leader of a group, which has its own
}
