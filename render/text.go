// SPDX-License-Identifier: Apache-2.0

package render

import (
	"io"

	"reconcile/reconcile/plan"
)

// Text writes the report for people: first what needs attention, then the
// changes with their causes and fields, then drift, and the counts last.
func Text(w io.Writer, r Report, o Options) error {
	p := newPage(o)
	p.line(p.bold("Plan for workspace "+p.esc(r.Plan.Workspace)) + p.esc(r.head()[len("Plan for workspace "+r.Plan.Workspace):]))
	if len(r.errors())+len(r.Plan.Refused)+len(r.Plan.Incomplete)+len(r.Plan.Held) > 0 {
		p.heading("Needs attention")
		p.attention(r, "  ")
	}
	if len(r.Plan.Authority) > 0 {
		p.heading("Authority (what agents may do that they could not before)")
		p.authority(r, "  ")
	}
	if len(r.Plan.Changes) > 0 {
		p.heading("Changes")
		for _, c := range r.Plan.Changes {
			p.change(c, "  ")
			p.fields(r, c)
			p.hooks(hookRuns(r.Plan, c, false), "  ")
		}
	}
	if len(r.Plan.Drift) > 0 {
		p.heading(driftHeading(r.Plan))
		p.drift(r, "  ")
	}
	p.line("\n" + Counts(r.Plan))
	return p.writeTo(w)
}

// Stops writes what a plan refuses, does not know and holds back, a line each.
func Stops(w io.Writer, pl plan.Plan, o Options) error {
	p := newPage(o)
	p.stops(pl, "")
	return p.writeTo(w)
}

func (p *page) heading(text string) { p.line("\n" + p.bold(text)) }

// fields writes what a change changes, a line each.
func (p *page) fields(r Report, c plan.Change) {
	fs := r.fieldsOf(c)
	if len(fs) == 0 && p.o.Verbose {
		fs = r.fieldsMade(c)
	}
	if forgotten(c) {
		p.line("      " + forgottenText)
	}
	for _, f := range fs {
		p.field(f)
	}
}

func (p *page) field(f field) {
	path, before, after := f.words(p.valueWidth())
	text := "      " + p.esc(path)
	switch {
	case f.note != "":
		text += p.ascii(f.note)
	case f.made:
		text += ": " + p.esc(after)
	default:
		text += ": " + p.esc(before) + " " + p.symbols.arrow + " " + p.esc(after)
	}
	if f.forces {
		text += " " + p.dim("(forces replacement)")
	}
	p.line(text)
}

// valueWidth is how many characters of a value are shown, so that both sides
// have room in a line.
func (p *page) valueWidth() int {
	if p.o.Width == 0 {
		return 60
	}
	return max(24, (p.o.Width-40)/2)
}
