// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// page collects the lines of a view for people.
type page struct {
	b       strings.Builder
	o       Options
	symbols symbols
}

// symbols are the signs of the views for people.
type symbols struct{ create, change, remove, start, drift, attention, arrow string }

func newPage(o Options) *page {
	p := &page{o: o}
	p.symbols = symbols{"+", "~", "-", p.ascii("↻"), p.ascii("≠"), "!", p.ascii("→")}
	return p
}

func (p *page) writeTo(w io.Writer) error {
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *page) raw(text string)  { p.b.WriteString(text) }
func (p *page) line(text string) { p.b.WriteString(text + "\n") }

// esc makes a text from elsewhere fit for the page.
func (p *page) esc(s string) string { return p.ascii(Escape(s)) }

// ascii leaves nothing but ASCII, where that is asked for.
func (p *page) ascii(s string) string {
	if !p.o.ASCII {
		return s
	}
	return ASCII(s)
}

// origin is the place at the end of a line.
func (p *page) origin(at string) string {
	if at == "" {
		return ""
	}
	return "  " + p.dim(p.esc(at))
}

// actions returns the symbol of what happens, painted, and its words.
func (p *page) actions(as []plan.Action) (symbol, words string) {
	names := make([]string, 0, len(as))
	for _, a := range as {
		names = append(names, string(a))
	}
	return p.symbol(as), strings.Join(names, ", ")
}

func (p *page) symbol(as []plan.Action) string {
	if len(as) == 0 {
		return p.dim(p.symbols.change)
	}
	switch as[0] {
	case plan.ActionCreate, plan.ActionRun:
		return p.green(p.symbols.create)
	case plan.ActionDelete, plan.ActionStop:
		return p.red(p.symbols.remove)
	case plan.ActionStart, plan.ActionRestart:
		return p.yellow(p.symbols.start)
	}
	return p.yellow(p.symbols.change)
}

// Symbol is the sign of what happens, in its colour.
func Symbol(as []plan.Action, o Options) string { return newPage(o).symbol(as) }

// change writes what happens to one resource and why, a line a reason.
func (p *page) change(c plan.Change, indent string) {
	symbol, words := p.actions(c.Actions)
	for i, r := range c.Reasons {
		if i > 0 {
			p.line(indent + "    because " + p.esc(r.Text) + p.origin(r.Origin))
			continue
		}
		p.line(indent + symbol + " " + p.esc(c.ID.String()) + " " + words + ": " + p.esc(r.Text) + p.origin(r.Origin))
	}
}

// attention writes what is wrong, refused, not known or held, a line each.
func (p *page) attention(r Report, indent string) {
	for _, d := range r.errors() {
		p.line(indent + p.red(p.symbols.attention) + " error: " + p.esc(oneLine(d)) + p.origin(placeOf(d)))
	}
	p.stops(r.Plan, indent)
}

// stops writes what is refused, not known and held.
func (p *page) stops(pl plan.Plan, indent string) {
	for _, r := range pl.Refused {
		p.line(indent + p.red(p.symbols.attention) + " refused: " + p.esc(r.Text) + p.origin(r.Origin))
	}
	for _, r := range pl.Incomplete {
		p.line(indent + p.red(p.symbols.attention) + " not known: " + p.esc(r.Text) + p.origin(r.Origin))
	}
	for _, c := range pl.Held {
		paint, word := p.red, "blocked"
		if c.Benign {
			paint, word = p.dim, "held"
		}
		for _, r := range c.Reasons {
			p.line(fmt.Sprintf("%s%s %s %s: %s%s", indent, paint(p.symbols.attention), p.esc(c.ID.String()), word, p.esc(r.Text), p.origin(r.Origin)))
		}
		p.hooks(hookRuns(pl, c, true), indent)
	}
}

// placeOf is the place of a diagnostic; "" = it has none.
func placeOf(d schema.Diagnostic) string {
	if d.Pos.File == "" {
		return ""
	}
	return d.Pos.String()
}

// forgotten reports whether something is replaced of which it is not known what
// it was made from, so that there is nothing to compare.
func forgotten(c plan.Change) bool {
	return plan.SpecTree(c.Before) == nil && plan.SpecTree(c.After) != nil && slices.Contains(c.Actions, plan.ActionReplace)
}

const forgottenText = "what it was made from is no longer known here"

// oneLine is a diagnostic in a line.
func oneLine(d schema.Diagnostic) string {
	detail, rest, more := strings.Cut(d.Detail, "\n")
	if d.Detail == "" {
		return d.Summary
	}
	if more && strings.TrimSpace(rest) != "" {
		detail += " …"
	}
	return d.Summary + ": " + detail
}

// authority writes what agents may do that they could not before.
func (p *page) authority(r Report, indent string) {
	for _, g := range r.Plan.Authority {
		paint, word := p.yellow, "not approved"
		if g.Approved {
			paint, word = p.dim, "approved"
		}
		p.line(fmt.Sprintf("%s%s %s %s (%s)%s", indent, paint(p.symbols.create), p.esc(g.ID.String()), p.esc(g.Text), word, p.origin(g.Origin)))
	}
}

// drift writes what departed from what it was made as.
func (p *page) drift(r Report, indent string) {
	for _, c := range r.Plan.Drift {
		for _, why := range c.Reasons {
			p.line(indent + p.yellow(p.symbols.drift) + " " + p.esc(c.ID.String()) + " " + p.esc(why.Text) + p.origin(why.Origin))
		}
	}
}

// driftHeading says whether the drift is repaired by the plan.
func driftHeading(p plan.Plan) string {
	for _, d := range p.Drift {
		if !slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.ID == d.ID }) {
			return "Drift (not as it was made)"
		}
	}
	return "Drift (not as it was made; repaired above)"
}

func (p *page) paint(code, text string) string {
	if !p.o.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *page) bold(t string) string   { return p.paint("1", t) }
func (p *page) dim(t string) string    { return p.paint("2", t) }
func (p *page) red(t string) string    { return p.paint("31", t) }
func (p *page) green(t string) string  { return p.paint("32", t) }
func (p *page) yellow(t string) string { return p.paint("33", t) }
