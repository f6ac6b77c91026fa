// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"reconcile/reconcile/plan"
)

const (
	// hookLimit bounds what is kept of the output of a hook. The helper cuts it in
	// the middle to that.
	hookLimit = 1 << 20
	// hookFlood is how much is taken at all: what a process writes past the helper.
	hookFlood = 2 * hookLimit
	// quotedLine bounds a line that an error quotes, in bytes.
	quotedLine = 400
)

// hookOutput takes what a hook says: to its log, and the last lines to quote.
// Who writes is somebody else's code, so nothing in it may steer a terminal.
type hookOutput struct {
	log   io.WriteCloser // nil = none
	err   error          // of the log
	taken int
	rest  []byte // the begin of a rune
	begun bool   // a carriage return came last

	line strings.Builder
	last []string // the last complete lines, at most lastLines
}

// openHookOutput opens the log of a run. A log that cannot be had keeps no hook
// from running; that is said.
func (r *Runtime) openHookOutput(s plan.Step, target plan.ID, hook plan.HookName) *hookOutput {
	out := &hookOutput{}
	if r.opt.HookLog == nil {
		return out
	}
	log, err := r.opt.HookLog(target, hook)
	if err != nil {
		r.say(s, "the output of %s is not kept: %v", hook, err)
		return out
	}
	out.log = log
	return out
}

// Write never fails: the hook goes on whatever becomes of its output.
func (o *hookOutput) Write(p []byte) (int, error) {
	n := len(p)
	if o.taken >= hookFlood {
		return n, nil
	}
	p = p[:min(n, hookFlood-o.taken)]
	o.taken += len(p)
	o.put(append(o.rest, p...))
	if o.taken >= hookFlood {
		o.emit("\n(what follows is cut)\n")
	}
	return n, nil
}

func (o *hookOutput) put(b []byte) {
	var clean strings.Builder
	for len(b) > 0 && (utf8.FullRune(b) || len(b) >= utf8.UTFMax) {
		c, size := utf8.DecodeRune(b)
		b = b[size:]
		if o.begun && c != '\n' {
			clean.WriteByte('\n') // what was to be written over stays
		}
		o.begun = c == '\r'
		if !o.begun {
			clean.WriteString(visible(c))
		}
	}
	o.rest = append([]byte(nil), b...)
	o.emit(clean.String())
}

// visible is a character as nobody mistakes it.
func visible(c rune) string {
	if c == '\n' || c == '\t' || unicode.IsPrint(c) || unicode.Is(unicode.Zs, c) {
		return string(c)
	}
	if c < 0x100 {
		return fmt.Sprintf(`\x%02x`, c)
	}
	return fmt.Sprintf(`\u%04x`, c)
}

// clean is text as nobody mistakes it.
func clean(text string) string {
	var b strings.Builder
	for _, c := range text {
		b.WriteString(visible(c))
	}
	return b.String()
}

func (o *hookOutput) emit(text string) {
	if o.log != nil && o.err == nil && text != "" {
		_, o.err = io.WriteString(o.log, text)
	}
	for {
		line, rest, ended := strings.Cut(text, "\n")
		if room := quotedLine - o.line.Len(); room > 0 {
			o.line.WriteString(line[:min(room, len(line))])
		}
		if !ended {
			return
		}
		o.endLine()
		text = rest
	}
}

func (o *hookOutput) endLine() {
	if line := strings.ToValidUTF8(o.line.String(), ""); strings.TrimSpace(line) != "" {
		o.last = append(o.last, line)
		o.last = o.last[max(0, len(o.last)-lastLines):]
	}
	o.line.Reset()
}

// close ends the output and returns its last lines.
func (o *hookOutput) close() (said string, err error) {
	if len(o.rest) > 0 {
		o.emit(string(utf8.RuneError))
	}
	o.endLine()
	if o.log != nil {
		if e := o.log.Close(); o.err == nil {
			o.err = e
		}
	}
	return strings.Join(o.last, "\n"), o.err
}

// ended is how a process of a container ended, in words.
func ended(code int, oom bool) string {
	switch {
	case oom:
		return fmt.Sprintf("exit %d: out of memory", code)
	case code == killed:
		return "exit 137: killed, possibly out of memory"
	}
	return fmt.Sprintf("exit code %d", code)
}

// killed is the exit code of a process that ended by SIGKILL. Older services do
// not tell when the kernel did it for want of memory.
const killed = 137

// hookFailed is the error of a hook that ran and did not succeed.
func hookFailed(hook plan.HookName, code int, oom bool, said string) error {
	text := fmt.Sprintf("%s failed: %s", hook, ended(code, oom))
	if said != "" {
		text += "; it said last:\n" + indent(said)
	}
	return fmt.Errorf("%s", text)
}
