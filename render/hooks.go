// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"reconcile/reconcile/plan"
)

// hookRun is a hook that a change runs, or that is held.
type hookRun struct {
	head  string // what runs, and where
	at    string // origin
	lines []HookLine
}

// HookLine is a line of the text of a hook: Sign is '+' or '-' where it differs
// from what was approved, else '|'. A line has to be shown with its sign in front,
// since CI runners obey some texts at the begin of a line.
type HookLine struct {
	Sign byte
	Text string
}

// same is the sign of a line that does not differ.
const same = '|'

// HookLines is the text of a hook as lines, beside the text that was approved
// before; nil = there is none that is known.
func HookLines(before, now []string) []HookLine {
	now = textLines(now)
	if before == nil {
		return plainLines(now)
	}
	before = textLines(before)
	if slices.Equal(before, now) {
		return plainLines(now)
	}
	b, n := join(before), join(now)
	diff, err := udiff.ToUnified("a", "b", b, udiff.Lines(b, n), max(len(before), len(now)))
	if err != nil { // the edits are those of b
		return plainLines(now)
	}
	var out []HookLine
	_, body, _ := strings.Cut(diff, "\n@@")
	_, body, _ = strings.Cut(body, "\n")
	for line := range strings.Lines(body) {
		sign := line[0]
		if sign == ' ' {
			sign = same
		}
		out = append(out, HookLine{sign, strings.TrimSuffix(line[1:], "\n")})
	}
	return out
}

// textLines are the lines of texts, some of which have more than one.
func textLines(texts []string) []string {
	var lines []string
	for _, s := range texts {
		lines = append(lines, strings.Split(strings.TrimRight(s, "\n"), "\n")...)
	}
	return lines
}

func plainLines(lines []string) []HookLine {
	out := make([]HookLine, len(lines))
	for i, s := range lines {
		out[i] = HookLine{same, s}
	}
	return out
}

// hookRuns are the hooks that a change runs, in their order; of one that is held,
// the hook on the host that keeps it so.
func hookRuns(p plan.Plan, c plan.Change, held bool) []hookRun {
	var runs []hookRun
	if h := c.Hook; h != nil && (held || h.Host()) {
		head, before := string(h.Name)+" runs on this host", h.Before
		switch {
		case held && before != nil:
			head = string(h.Name) + " would run on this host, beside what was approved"
		case held:
			head = string(h.Name) + " would run on this host"
		default:
			before = nil
		}
		runs = append(runs, hookRun{head, h.Origin, HookLines(before, h.Text())})
	}
	if held {
		return runs
	}
	if commands := installed(c); commands != nil {
		runs = append(runs, hookRun{"install runs in a container, which becomes the image", "", HookLines(nil, commands)})
	}
	for _, s := range p.Steps {
		if s.Op == plan.OpExec && s.Hook != nil && s.Target == c.ID {
			runs = append(runs, hookRun{string(s.Hook.Name) + " runs in the container", s.Hook.Origin, HookLines(nil, s.Hook.Text())})
		}
	}
	return runs
}

// installed are the commands that make an image; nil = c makes none.
func installed(c plan.Change) []string {
	if !slices.Contains(c.Actions, plan.ActionCreate) && !slices.Contains(c.Actions, plan.ActionReplace) {
		return nil
	}
	var spec struct {
		Image *struct{ Commands []string }
	}
	if json.Unmarshal(c.After, &spec) != nil || spec.Image == nil {
		return nil
	}
	return spec.Image.Commands
}

// hooks writes what a change runs, a line a line.
func (p *page) hooks(runs []hookRun, indent string) {
	for _, run := range runs {
		p.line(indent + "    " + p.esc(run.head) + ":" + p.origin(run.at))
		for _, l := range run.lines {
			p.line(strings.TrimRight(indent+"      "+p.sign(l.Sign)+" "+p.esc(l.Text), " "))
		}
	}
}

func (p *page) sign(sign byte) string {
	switch sign {
	case '+':
		return p.green("+")
	case '-':
		return p.red("-")
	}
	return p.dim(string(sign))
}

// fencedHooks are the hooks as Markdown, below an item of a list.
func fencedHooks(runs []hookRun) string {
	var b strings.Builder
	for _, run := range runs {
		b.WriteString("\n" + code(run.head) + ":\n\n")
		var text strings.Builder
		for _, l := range run.lines {
			text.WriteString(strings.TrimRight(string(l.Sign)+" "+Escape(l.Text), " ") + "\n")
		}
		fence := fenceFor(text.String())
		b.WriteString(fence + "diff\n" + text.String() + fence + "\n")
	}
	return b.String()
}
