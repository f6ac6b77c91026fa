// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"fmt"
	"io"
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
	held   bytes.Buffer
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
	s.write(s.held.Bytes())
	s.held = bytes.Buffer{}
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
		s.held.Write(entry)
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
	var out bytes.Buffer
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(l.part); len(line) > room {
			line, rest, whole = p[:room], p[room:], false
		}
		l.part = append(l.part, line...)
		p = rest
		switch {
		case whole:
			l.entry(&out, "F")
		case len(l.part) == maxLine:
			l.entry(&out, "P")
		}
	}
	if cut || l.size >= maxLog {
		l.entry(&out, "F")
		l.part = fmt.Appendf(nil, "(what comes after %d MiB is not kept)", maxLog>>20)
		l.entry(&out, "F")
	}
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	l.sink.write(out.Bytes())
	return all, nil
}

func (l *logStream) entry(out *bytes.Buffer, tag string) {
	fmt.Fprintf(out, "%s %s %s %s\n", time.Now().Format(time.RFC3339Nano), l.name, tag, l.part)
	l.part = l.part[:0]
}

// close passes on a line that has no end.
func (l *logStream) close() {
	if len(l.part) == 0 {
		return
	}
	var out bytes.Buffer
	l.entry(&out, "F")
	l.sink.mu.Lock()
	defer l.sink.mu.Unlock()
	l.sink.write(out.Bytes())
}
