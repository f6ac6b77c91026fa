// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"reconcile/helper"
)

// probeOutput keeps the end of what a run of a probe says, without secrets.
type probeOutput struct {
	tail     tail
	redactor *helper.Redactor // into tail; nil = there are no secrets
	buf      []byte           // to read with
}

func newProbeOutput(secrets []string) *probeOutput {
	o := &probeOutput{}
	if len(secrets) > 0 {
		o.redactor = helper.NewRedactor(&o.tail, secretValues(secrets))
	}
	return o
}

func (o *probeOutput) reset() {
	o.flush()
	o.tail.b = o.tail.b[:0]
}

// flush takes in what the redactor holds back. It can be written to afterwards.
func (o *probeOutput) flush() {
	if o.redactor != nil {
		_ = o.redactor.Close() // tail takes everything
	}
}

// read takes in what there is in the pipe r, within limits, and returns how
// many bytes that were.
func (o *probeOutput) read(r int) int {
	if o.buf == nil {
		o.buf = make([]byte, helper.MaxOutput)
	}
	var to io.Writer = &o.tail
	if o.redactor != nil {
		to = o.redactor
	}
	total := 0
	for total < maxLook {
		n, err := unix.Read(r, o.buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			break
		}
		total += n
		_, _ = to.Write(o.buf[:n])
	}
	return total
}

// end is the output with a last line of ours, within [helper.MaxOutput].
func (o *probeOutput) end(line string) string {
	o.flush()
	said := strings.TrimRight(strings.ToValidUTF8(string(o.tail.b), "\uFFFD"), "\n")
	if said != "" {
		said = lastBytes(said, helper.MaxOutput-len(line)-1) + "\n"
	}
	return lastBytes(said+line, helper.MaxOutput)
}

// endIfSilent is the output, and our line only when there is none.
func (o *probeOutput) endIfSilent(line string) string {
	o.flush()
	said := strings.ToValidUTF8(string(o.tail.b), "\uFFFD")
	if strings.TrimSpace(said) == "" {
		return line
	}
	return lastBytes(said, helper.MaxOutput)
}

// lastBytes is the end of valid s, no longer than n bytes and valid as well.
func lastBytes(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for s != "" && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

// tail keeps about the last [helper.MaxOutput] bytes: no fewer, and at most
// twice as many.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	b = b[max(len(b)-helper.MaxOutput, 0):]
	if over := len(t.b) + len(b) - 2*helper.MaxOutput; over > 0 {
		keep := max(helper.MaxOutput-len(b), 0)
		t.b = append(t.b[:0], t.b[len(t.b)-keep:]...)
	}
	t.b = append(t.b, b...)
	return n, nil
}
