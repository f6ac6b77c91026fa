// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const (
	// markdownBytes is less than what GitHub takes for a comment.
	markdownBytes    = 60_000
	markdownMinBytes = 2_000
	// markdownText is how many bytes of a text a short line has, and
	// markdownHead those of a name in the head, which must fit into the smallest
	// document.
	markdownText = 300
	markdownHead = 100
	// leftOut is room for the heading of a section and for the line that counts
	// what is not shown of it.
	leftOut = 130
)

// Marker is the first line of the markdown view: it does not show, and tells the
// comment of one workspace from those of others, so that it can be updated.
func Marker(workspace string) string {
	var b strings.Builder
	for _, c := range []byte(clip(workspace, markdownHead)) {
		if c == '.' || c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return "<!-- reconcile:" + b.String() + " -->"
}

// Markdown writes the report for a comment at a forge: the counts as heading,
// what needs attention, then an item a change that unfolds to its difference.
// What does not fit into [Options.MaxBytes] is counted.
//
// Every text from elsewhere stands in code, where forges look for no
// mentions, issues or links.
func Markdown(w io.Writer, r Report, o Options) error {
	m := &document{limit: max(markdownMinBytes, cmp.Or(o.MaxBytes, markdownBytes))}
	m.b.WriteString(Marker(r.Plan.Workspace) + "\n\n### " + Counts(r.Plan) + "\n\nPlan for workspace " + code(clip(r.Plan.Workspace, markdownHead)) + " (" + code(clip(r.mode(), markdownHead)))
	if r.Plan.Revision != "" {
		m.b.WriteString(", revision " + code(clip(r.Plan.Revision, markdownHead)))
	}
	m.b.WriteString(")\n")
	sections := r.sections()
	m.rest = len(sections) * leftOut
	for _, s := range sections {
		m.section(s)
	}
	_, err := io.WriteString(w, m.b.String())
	return err
}

// section is a list with a heading. Each of its items ends with a line break.
type section struct {
	heading string
	noun    string // of an item, in the singular
	items   []item
}

// item is something that is shown whole, shorter, or only counted.
type item struct{ full, short string }

// document is Markdown of a limited size.
type document struct {
	b     strings.Builder
	limit int
	rest  int // what is kept for what is no item
}

func (r Report) sections() []section {
	return []section{
		{"Needs attention", "problem", r.problems()},
		{"Authority: what agents may do that they could not before", "grant", r.grants()},
		{"Changes", "change", r.changes()},
		{"Drift (not as it was made)", "drift", r.drifted()},
		{"Warnings", "warning", r.warnings()},
	}
}

// section adds the items that fit, under the heading, and counts the others.
func (m *document) section(s section) {
	if len(s.items) == 0 {
		return
	}
	m.b.WriteString("\n#### " + s.heading + "\n\n")
	left := 0
	for _, it := range s.items {
		switch room := m.limit - m.b.Len() - m.rest; {
		case len(it.full) <= room:
			m.b.WriteString(it.full)
		case len(it.short) <= room:
			m.b.WriteString(it.short)
		default:
			left++
		}
	}
	if left > 0 {
		fmt.Fprintf(&m.b, "\n_%d more not shown: %s_\n", left, Count(left, s.noun))
	}
}

func (r Report) problems() []item {
	var out []item
	for _, d := range r.errors() {
		out = append(out, diagnosticItem(d))
	}
	for _, x := range r.Plan.Refused {
		out = append(out, bullet("**refused**", x.Text, x.Origin))
	}
	for _, x := range r.Plan.Incomplete {
		out = append(out, bullet("**not known**", x.Text, x.Origin))
	}
	for _, c := range r.Plan.Held {
		word := "**blocked**"
		if c.Benign {
			word = "held"
		}
		it := findings(c, word)
		it.full += fencedHooks(hookRuns(r.Plan, c, true))
		out = append(out, it)
	}
	return out
}

func (r Report) warnings() []item {
	var out []item
	for _, d := range r.Diagnostics {
		if d.Severity == schema.Warning {
			out = append(out, diagnosticItem(d))
		}
	}
	return out
}

func (r Report) drifted() []item {
	var out []item
	for _, c := range r.Plan.Drift {
		out = append(out, findings(c, "drifted"))
	}
	return out
}

func (r Report) grants() []item {
	var out []item
	for _, g := range r.Plan.Authority {
		word := "**not approved**"
		if g.Approved {
			word = "approved"
		}
		out = append(out, bullet(code(g.ID.String())+" "+word, g.Text, g.Origin))
	}
	return out
}

func (r Report) changes() []item {
	var out []item
	for _, c := range r.Plan.Changes {
		out = append(out, r.changeItem(c, hookRuns(r.Plan, c, false)))
	}
	return out
}

func diagnosticItem(d schema.Diagnostic) item {
	text := d.Summary
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	if d.Hint != "" {
		text += "; hint: " + d.Hint
	}
	return bullet(string(d.Severity), text, d.Pos.String())
}

// findings is an item with a line a reason.
func findings(c plan.Change, word string) item {
	var all item
	for _, r := range c.Reasons {
		one := bullet(code(c.ID.String())+" "+word, r.Text, r.Origin)
		all.full += one.full
		all.short += one.short
	}
	return all
}

// bullet is one line of a list; head is Markdown already.
func bullet(head, text, at string) item {
	text = strings.ReplaceAll(text, "\n", " ")
	place := func(at string) string {
		if at == "" || at == "-" {
			return ""
		}
		return " at " + code(at)
	}
	return item{
		full:  "- " + head + ": " + code(text) + place(at) + "\n",
		short: "- " + head + ": " + code(clip(text, markdownText)) + place(clip(at, markdownText)) + "\n",
	}
}

// changeItem folds what a change does below what and why.
func (r Report) changeItem(c plan.Change, hooks []hookRun) item {
	summary := htmlCode(clip(c.ID.String(), markdownText)) + " " + actionWords(c.Actions)
	if len(c.Reasons) > 0 {
		summary += ": " + htmlCode(clip(c.Reasons[0].Text, markdownText))
	}
	head := "<details><summary>" + summary + "</summary>\n\n"
	const end = "\n</details>\n"
	var why strings.Builder
	for _, r := range c.Reasons {
		why.WriteString(bullet("because", r.Text, r.Origin).full)
	}
	if forgotten(c) {
		why.WriteString("- " + forgottenText + "; this is what it will be made from\n")
	}
	for _, f := range r.filesIn(c) {
		why.WriteString(bullet("file "+code(f.one().name), r.fileWords(f), "").full)
	}
	why.WriteString(fencedHooks(hooks))
	diff := r.unified(c) + r.contentDiffs(c)
	if diff == "" {
		return item{full: head + why.String() + end, short: head + end}
	}
	fence := fenceFor(diff)
	return item{
		full:  head + why.String() + "\n" + fence + "diff\n" + diff + fence + "\n" + end,
		short: head + "_its difference is not shown: " + Count(len(diff), "byte") + "_\n" + end,
	}
}

// clip cuts a text to limit bytes in the form that is shown.
func clip(s string, limit int) string { return clipEscaped(Escape(s), limit) }

// clipEscaped is [clip] for a text that is escaped already.
func clipEscaped(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// code is a text as a code span: nothing in it means anything.
func code(s string) string {
	s = Escape(s)
	if strings.Trim(s, " ") == "" {
		s = `""`
	}
	fence := strings.Repeat("`", longestRun(s)+1)
	if fence != "`" || strings.HasPrefix(s, " ") && strings.HasSuffix(s, " ") {
		s = " " + s + " " // both spaces are no part of it
	}
	return fence + s + fence
}

// htmlCode is a text as code where Markdown does not count but HTML does.
func htmlCode(s string) string {
	return "<code>" + strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "`", "&#96;").Replace(Escape(s)) + "</code>"
}

// fenceFor is longer than any fence in the text.
func fenceFor(text string) string {
	return strings.Repeat("`", max(3, longestRun(text)+1))
}

// longestRun is the length of the longest run of backticks.
func longestRun(s string) int {
	longest, run := 0, 0
	for _, c := range []byte(s) {
		if c != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
