// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// spoolMemory is how much of a spool is in memory, in bytes; the rest is in a file.
const spoolMemory = 1 << 20

// spool is what a process has written and nobody has read yet. Its writer never
// waits for its reader, of which there is one.
type spool struct {
	dir   string // of the file; "" = the system's for temporary ones
	limit int64  // bytes that may wait
	over  func() // called once there are more

	mu      sync.Mutex
	memory  []byte
	file    *os.File // what memory has no room for; it has no name
	size    int64    // of what was written, in memory and file
	read    int64    // of that
	total   int64    // bytes that ever came
	err     error    // why something is missing
	ended   bool
	changed chan struct{} // closed at the next change; nil = nobody waits
}

// errTooMuch goes before how much could be held.
var errTooMuch = errors.New("it is more than")

// Write never fails: what cannot be kept makes the reader fail.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	first := s.err == nil
	if first && !s.ended {
		s.err = s.keep(p)
	}
	s.wake()
	failed := first && s.err != nil
	s.mu.Unlock()
	if failed && s.over != nil {
		s.over()
	}
	return len(p), nil
}

func (s *spool) keep(p []byte) error {
	s.total += int64(len(p))
	if s.size-s.read+int64(len(p)) > s.limit {
		return fmt.Errorf("%w %d MiB", errTooMuch, s.limit>>20)
	}
	if room := spoolMemory - len(s.memory); room > 0 && s.file == nil {
		n := min(room, len(p))
		s.memory = append(s.memory, p[:n]...)
		s.size += int64(n)
		p = p[n:]
	}
	if len(p) == 0 {
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "reply-*")
		if err != nil {
			return err
		}
		if err := os.Remove(f.Name()); err != nil {
			return errors.Join(err, f.Close())
		}
		s.file = f
	}
	n, err := s.file.WriteAt(p, s.size-int64(len(s.memory)))
	s.size += int64(n)
	return err
}

func (s *spool) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// end says that nothing more is written. An error says that something is missing.
func (s *spool) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	s.err = errors.Join(s.err, err)
	s.wake()
}

// failed is why something is missing of what was written.
func (s *spool) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// written is how many bytes ever came.
func (s *spool) written() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// discard drops everything. What is written afterwards is dropped as well.
func (s *spool) discard() {
	s.end(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory, s.size, s.read = nil, 0, 0
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// drain copies to w what is written, until that ends. Flush is called, if it is
// not nil, whenever everything was copied.
func (s *spool) drain(ctx context.Context, w io.Writer, flush func()) error {
	var buf []byte
	for {
		if want := max(512, min(s.waiting(), bufferSize)); len(buf) < want {
			buf = make([]byte, want)
		}
		n, changed, err := s.next(buf)
		switch {
		case n > 0:
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case changed == nil:
			return nil
		}
		if flush != nil {
			flush()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waiting is how many bytes nobody has read.
func (s *spool) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.size - s.read)
}

// next fills buf. Where there is nothing, the channel is closed when there is; it
// is nil once nothing can come.
func (s *spool) next(buf []byte) (int, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read < s.size {
		n, err := s.copyTo(buf)
		s.read += int64(n)
		s.rewind()
		return n, nil, err
	}
	switch {
	case s.err != nil:
		return 0, nil, s.err
	case s.ended:
		return 0, nil, nil
	case s.changed == nil:
		s.changed = make(chan struct{})
	}
	return 0, s.changed, nil
}

func (s *spool) copyTo(buf []byte) (int, error) {
	if s.read < int64(len(s.memory)) {
		return copy(buf, s.memory[s.read:]), nil
	}
	n := int(min(int64(len(buf)), s.size-s.read))
	return s.file.ReadAt(buf[:n], s.read-int64(len(s.memory)))
}

// rewind makes room once everything was read.
func (s *spool) rewind() {
	if s.read < s.size {
		return
	}
	s.memory, s.size, s.read = s.memory[:0], 0, 0
	if s.file != nil {
		if err := s.file.Truncate(0); err != nil && s.err == nil {
			s.err = err
		}
	}
}

// all is everything that was written and nobody has read, up to limit bytes.
func (s *spool) all(limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size-s.read > limit {
		return nil, fmt.Errorf("%w %d MiB", errTooMuch, limit>>20)
	}
	out := make([]byte, 0, s.size-s.read)
	for s.read < s.size {
		n, err := s.copyTo(out[len(out):cap(out)])
		if err != nil {
			return nil, err
		}
		out = out[:len(out)+n]
		s.read += int64(n)
	}
	return out, nil
}
