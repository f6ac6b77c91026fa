// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"reconcile/reconcile/plan"
)

// LogFile is where the output of the last run of a hook is: a file below dir for
// each hook of each resource.
func LogFile(dir string, target plan.ID, hook plan.HookName) string {
	return filepath.Join(dir, strings.ReplaceAll(target.String(), "/", "_"), string(hook)+".log")
}

// CreateLog begins the file anew, and makes its folder.
func CreateLog(dir string, target plan.ID, hook plan.HookName) (io.WriteCloser, error) {
	return createLog(LogFile(dir, target, hook))
}

func createLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("keep the output of a hook: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the output of a hook: %w", err)
	}
	return f, nil
}

// capped keeps the first and the last of what is written to it, half of the
// limit each. The first is passed on at once, the last at the end.
type capped struct {
	to    io.Writer
	head  int64 // bytes that may still be passed on
	tail  ring
	total int64 // bytes of the tail, those that were forgotten included
	err   error // of to; what comes after it is lost
}

func newCapped(to io.Writer, limit int64) *capped {
	return &capped{to: to, head: limit - limit/2, tail: ring{most: int(limit / 2)}}
}

// Write never fails: a hook does not end for want of space for what it says.
func (c *capped) Write(b []byte) (int, error) {
	n := len(b)
	if c.head > 0 && c.err == nil {
		first := b[:min(int64(n), c.head)]
		_, c.err = c.to.Write(first)
		c.head -= int64(len(first))
		b = b[len(first):]
	}
	c.total += int64(len(b))
	c.tail.write(b)
	return n, nil
}

// close passes on the end, and says what of all the output is lost.
func (c *capped) close() error {
	end := c.tail.bytes()
	if lost := c.total - int64(len(end)); lost > 0 && c.err == nil {
		_, c.err = fmt.Fprintf(c.to, "\n[%d bytes are left out]\n", lost)
	}
	if c.err == nil {
		_, c.err = c.to.Write(end)
	}
	return c.err
}

// ring keeps the last bytes that were written to it.
type ring struct {
	most int
	buf  []byte // at most twice as long as it must be
}

func (r *ring) write(b []byte) {
	if len(b) >= r.most {
		r.buf = append(r.buf[:0], b[len(b)-r.most:]...)
		return
	}
	if len(r.buf)+len(b) > 2*r.most {
		r.buf = append(r.buf[:0], r.bytes()...)
	}
	r.buf = append(r.buf, b...)
}

func (r *ring) bytes() []byte { return r.buf[max(0, len(r.buf)-r.most):] }

// The most of the end of the output that an error quotes.
const (
	quoteLines = 5
	quoteBytes = 2 << 10
)

// lastLines is the end of an output, in lines without their ends.
func lastLines(end []byte) string {
	text := strings.ToValidUTF8(strings.TrimSpace(string(end)), "�")
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-quoteLines):]
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, "\r")
	}
	return strings.Join(lines, "\n")
}

// both writes to two writers, of which the second never fails.
type both struct {
	file *capped
	end  *ring
}

func (b both) Write(p []byte) (int, error) {
	b.end.write(p)
	return b.file.Write(p)
}

// closeAll closes in order, and joins what goes wrong.
func closeAll(closers ...func() error) error {
	var errs []error
	for _, c := range closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
