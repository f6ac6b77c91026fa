// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// Report is all that a view shows.
type Report struct {
	Plan        plan.Plan
	Mode        string             // plan.ModeLive, plan.ModeAgainst or plan.ModeObserved
	Against     string             // what the plan was made against: a revision, folder or file; "" live
	Diagnostics schema.Diagnostics // sorted
	// Content returns what is in a file of a container by the digest in its spec;
	// false: that is not known. Nil = nothing is known of any.
	Content func(digest string) ([]byte, bool)
}

// Options say what the reader of a view can take. The zero value is for a file.
type Options struct {
	Color   bool // escape codes for colours, in the text view
	ASCII   bool // nothing but ASCII, in the text and diff views
	Width   int  // of the terminal, in columns; 0 = unknown
	Verbose bool // the text view shows the fields of what is created as well
	// MaxBytes is how large the markdown view may become; 0 = 60,000. Less than
	// 2,000 counts as that.
	MaxBytes int
	// Base is the path of the workspace within the repository that a forge
	// shows, with slashes; "" = its root. It is put before the file names of the
	// views for forges.
	Base string
}

// head names the plan: its workspace, what it was made against, its revision.
func (r Report) head() string {
	head := "Plan for workspace " + r.Plan.Workspace + " (" + r.mode()
	if r.Plan.Revision != "" {
		head += ", revision " + r.Plan.Revision
	}
	return head + ")"
}

// mode says what the plan was made against.
func (r Report) mode() string {
	if r.Against == "" {
		return r.Mode
	}
	return r.Mode + " " + r.Against
}

// errors returns the errors among what is untold.
func (r Report) errors() schema.Diagnostics {
	return slices.DeleteFunc(r.untold(), func(d schema.Diagnostic) bool { return d.Severity != schema.Error })
}

// untold returns the diagnostics but for errors that something held repeats word
// for word.
func (r Report) untold() schema.Diagnostics {
	told := map[string]bool{}
	for _, c := range r.Plan.Held {
		for _, why := range c.Reasons {
			told[why.Origin+"\x00"+why.Text] = true
		}
	}
	var ds schema.Diagnostics
	for _, d := range r.Diagnostics {
		if d.Severity != schema.Error || !told[d.Pos.String()+"\x00"+d.Summary+": "+d.Detail] {
			ds = append(ds, d)
		}
	}
	return ds
}

// Counts says what a plan does, in numbers; it ends every view.
func Counts(p plan.Plan) string {
	sum := p.Summary()
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{
		{sum.Create, "to create"},
		{sum.Run, "to run"},
		{sum.Replace, "to replace"},
		{sum.Update, "to update"},
		{sum.Start, "to start"},
		{sum.Restart, "to restart"},
		{sum.Stop, "to stop"},
		{sum.Delete, "to delete"},
		{sum.Drift, "drifted"},
		{sum.Blocked, "blocked"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	switch {
	case len(parts) > 0:
	case p.Complete:
		parts = []string{"nothing to do"}
	default: // whether there is something to do is not known
		parts = []string{"nothing planned"}
	}
	return strings.Join(parts, ", ") + fmt.Sprintf(" (%d unchanged)", sum.Unchanged)
}

// Count is a number with its noun.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// Diagnostics returns ds in the form that they have in every JSON output.
func Diagnostics(ds schema.Diagnostics) []plan.Diagnostic {
	out := make([]plan.Diagnostic, 0, len(ds))
	for _, d := range ds {
		out = append(out, plan.Diagnostic{
			Severity: string(d.Severity), Summary: d.Summary, Detail: d.Detail,
			File: d.Pos.File, Line: d.Pos.Line, Column: d.Pos.Col, Hint: d.Hint,
		})
	}
	return out
}
