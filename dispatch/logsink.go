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
	held   []byte
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
	s.write(s.held)
	s.held = nil
}

// end has what comes dropped, and returns what the log lacks.
func (s *logSink) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.failed
}

func (s *logSink) write(entry []byte) {
	switch {
	case s.ended || s.failed != nil || len(entry) == 0:
	case s.to == nil:
		s.held = append(s.held, entry...)
	default:
		_, s.failed = s.to.Write(entry)
	}
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
	var out []byte
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(l.part); len(line) > room {
			line, rest, whole = p[:room], p[room:], false
		}
		l.part = append(l.part, line...)
		p = rest
		switch {
		case whole:
			out = l.entry(out, "F")
		case len(l.part) == maxLine:
			out = l.entry(out, "P")
		}
	}
	if cut || l.size >= maxLog {
		out = l.entry(out, "F")
		l.part = fmt.Appendf(nil, "(what comes after %d MiB is not kept)", maxLog>>20)
		out = l.entry(out, "F")
	}
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	l.sink.write(out)
	return all, nil
}

// entry appends what there is of a line to out.
func (l *logStream) entry(out []byte, tag string) []byte {
	out = slices.Grow(out, len(time.RFC3339Nano)+len(l.name)+len(tag)+len(l.part)+4)
	out = append(time.Now().AppendFormat(out, time.RFC3339Nano), ' ')
	out = append(append(out, l.name...), ' ')
	out = append(append(out, tag...), ' ')
	out = append(append(out, l.part...), '\n')
	l.part = l.part[:0]
	return out
}

// close passes on a line that has no end.
func (l *logStream) close() {
	if len(l.part) == 0 {
		return
	}
	out := l.entry(nil, "F")
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	l.sink.write(out)
}
