// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// maxLog bounds what is kept of each stream of an execution, in bytes.
const maxLog = 1 << 20

// maxLine bounds one entry of a log, in bytes.
const maxLine = 16 << 10

// logSink makes a log of what a process writes. Until it is bound, it holds the
// log back; its writers never fail.
type logSink struct {
	mu     sync.Mutex
	to     io.Writer // nil = not bound
	held   []byte    // whole entries
	failed error
	ended  bool
}

// bind passes on what was held back, and what comes. A nil writer drops it all.
func (s *logSink) bind(to io.Writer) {
	if to == nil {
		to = io.Discard
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
	s.flush()
}

// end has what comes dropped, and returns what the log lacks.
func (s *logSink) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.failed
}

// flush passes on what is held, once somebody takes it. The mutex is held.
func (s *logSink) flush() {
	if s.to == nil || len(s.held) == 0 {
		return
	}
	if !s.ended && s.failed == nil {
		_, s.failed = s.to.Write(s.held)
	}
	s.held = nil
}

// stream is the writer of one stream.
func (s *logSink) stream(name string) *logStream { return &logStream{sink: s, name: name} }

// logStream cuts what is written to it into entries.
type logStream struct {
	sink *logSink
	name string
	part []byte // of a line that has not ended
	size int    // of all that came
}

// Write is for one goroutine.
func (l *logStream) Write(p []byte) (int, error) {
	all := len(p)
	if l.size >= maxLog {
		return all, nil
	}
	cut := len(p) > maxLog-l.size
	p = p[:min(len(p), maxLog-l.size)]
	l.size += len(p)
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(l.part); len(line) > room {
			line, rest, whole = p[:room], p[room:], false
		}
		p = rest
		switch {
		case whole:
			l.entry("F", line)
		case len(l.part)+len(line) == maxLine:
			l.entry("P", line)
		default:
			l.part = append(l.part, line...)
		}
	}
	if cut || l.size >= maxLog {
		l.entry("F", nil)
		l.entry("F", fmt.Appendf(nil, "(what comes after %d MiB is not kept)", maxLog>>20))
	}
	l.sink.flush()
	return all, nil
}

// entry makes one of what there is of a line, and of more. The mutex is held.
func (l *logStream) entry(tag string, more []byte) {
	out := slices.Grow(l.sink.held, len(time.RFC3339Nano)+len(l.name)+len(tag)+len(l.part)+len(more)+4)
	out = append(time.Now().AppendFormat(out, time.RFC3339Nano), ' ')
	out = append(append(out, l.name...), ' ')
	out = append(append(out, tag...), ' ')
	out = append(append(append(out, l.part...), more...), '\n')
	l.sink.held, l.part = out, l.part[:0]
}

// close passes on a line that has no end.
func (l *logStream) close() {
	if len(l.part) == 0 {
		return
	}
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	l.entry("F", nil)
	l.sink.flush()
}
