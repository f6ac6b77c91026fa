// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// middle passes the begin and the end of what is written to it on to another
// writer, max bytes together, and says on a line between them how many bytes it
// left out. The end comes with Close.
type middle struct {
	to      io.Writer
	max     int64 // 0 = all
	passed  int64
	last    byte // of what was passed on
	tail    []byte
	dropped int64 // before tail
}

// Write never fails: who cannot be told anything any more must not stop who
// still has to say something.
func (m *middle) Write(b []byte) (int, error) {
	n := len(b)
	if m.max == 0 {
		m.pass(b)
		return n, nil
	}
	head := min(max(m.max/2-m.passed, 0), int64(len(b)))
	m.pass(b[:head])
	b = b[head:]
	keep := int(m.max - m.max/2)
	if len(b) > keep {
		m.dropped += int64(len(m.tail) + len(b) - keep)
		m.tail = append(m.tail[:0], b[len(b)-keep:]...)
		return n, nil
	}
	m.tail = append(m.tail, b...)
	if len(m.tail) > 2*keep { // rarely, since it moves what is kept
		m.cut(len(m.tail) - keep)
	}
	return n, nil
}

// Close passes on the end.
func (m *middle) Close() {
	if over := len(m.tail) - int(m.max-m.max/2); over > 0 {
		m.cut(over)
	}
	if m.dropped > 0 {
		for len(m.tail) > 0 && !utf8.RuneStart(m.tail[0]) {
			m.cut(1)
		}
		line := fmt.Sprintf("[%d bytes left out]\n", m.dropped)
		if m.last != '\n' && m.passed > 0 {
			line = "\n" + line
		}
		m.pass([]byte(line))
	}
	m.pass(m.tail)
	m.tail = nil
}

func (m *middle) cut(n int) {
	m.dropped += int64(n)
	m.tail = append(m.tail[:0], m.tail[n:]...)
}

func (m *middle) pass(b []byte) {
	if len(b) == 0 {
		return
	}
	m.passed += int64(len(b))
	m.last = b[len(b)-1]
	_, _ = m.to.Write(b)
}
