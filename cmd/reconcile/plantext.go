// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
)

// symbols of the plan's text view.
var actionSymbols = map[plan.Action]string{
	plan.ActionCreate:  "+",
	plan.ActionRun:     "+",
	plan.ActionReplace: "~",
	plan.ActionUpdate:  "~",
	plan.ActionDelete:  "-",
	plan.ActionStop:    "-",
	plan.ActionStart:   "↻",
	plan.ActionRestart: "↻",
}

// writePlan prints a plan for people: first what needs attention, then the
// changes, then drift, and the counts last.
func writePlan(w io.Writer, s style, p plan.Plan, mode string) {
	revision := ""
	if p.Revision != "" {
		revision = ", revision " + escape(p.Revision)
	}
	fmt.Fprintf(w, "%s (%s%s)\n", s.bold("Plan for workspace "+escape(p.Workspace)), mode, revision)

	if len(p.Refused)+len(p.Held) > 0 {
		fmt.Fprintf(w, "\n%s\n", s.bold("Needs attention"))
		writeAttention(w, s, p, "  ")
	}
	if len(p.Changes) > 0 {
		fmt.Fprintf(w, "\n%s\n", s.bold("Changes"))
		for _, c := range p.Changes {
			writeChange(w, s, c)
		}
	}
	if len(p.Drift) > 0 {
		fmt.Fprintf(w, "\n%s\n", s.bold(driftHeading(p)))
		for _, c := range p.Drift {
			for _, r := range c.Reasons {
				fmt.Fprintf(w, "  %s %s %s%s\n", s.yellow("≠"), escape(c.ID.String()), escape(r.Text), origin(s, r.Origin))
			}
		}
	}
	fmt.Fprintf(w, "\n%s\n", planCounts(p))
}

// writeAttention prints what is refused and what is held back, a line a reason.
func writeAttention(w io.Writer, s style, p plan.Plan, indent string) {
	for _, r := range p.Refused {
		fmt.Fprintf(w, "%s%s refused: %s%s\n", indent, s.red("!"), escape(r.Text), origin(s, r.Origin))
	}
	for _, c := range p.Held {
		paint, word := s.red, "blocked"
		if c.Benign {
			paint, word = s.dim, "held"
		}
		for _, r := range c.Reasons {
			fmt.Fprintf(w, "%s%s %s %s: %s%s\n", indent, paint("!"), escape(c.ID.String()), word, escape(r.Text), origin(s, r.Origin))
		}
	}
}

func driftHeading(p plan.Plan) string {
	for _, d := range p.Drift {
		if !slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.ID == d.ID }) {
			return "Drift (not as it was made)"
		}
	}
	return "Drift (not as it was made; repaired above)"
}

func writeChange(w io.Writer, s style, c plan.Change) {
	var words []string
	for _, a := range c.Actions {
		words = append(words, string(a))
	}
	symbol := "~"
	if len(c.Actions) > 0 {
		symbol = actionSymbols[c.Actions[0]]
	}
	for i, r := range c.Reasons {
		if i > 0 {
			fmt.Fprintf(w, "      because %s%s\n", escape(r.Text), origin(s, r.Origin))
			continue
		}
		fmt.Fprintf(w, "  %s %s %s: %s%s\n", paintAction(s, c.Actions)(symbol), escape(c.ID.String()),
			strings.Join(words, ", "), escape(r.Text), origin(s, r.Origin))
	}
	if !slices.Contains(c.Actions, plan.ActionReplace) {
		return
	}
	for _, path := range c.ReplacePaths {
		b, a := plan.ValueAt(c.Before, path), plan.ValueAt(c.After, path)
		if mount, ok := strings.CutSuffix(path, ".treeHash"); ok {
			path = "files of " + strings.TrimPrefix(mount, "mounts.")
			b, a = shortHash(b), shortHash(a)
		}
		line := "      " + escape(path)
		if b != "" || a != "" {
			line += ": " + orNone(b) + " → " + orNone(a)
		}
		fmt.Fprintf(w, "%s %s\n", line, s.dim("(forces replacement)"))
	}
}

// shortHash is what tells two hashes apart on one screen.
func shortHash(quoted string) string {
	hash := strings.Trim(quoted, `"`)
	return hash[:min(12, len(hash))]
}

func paintAction(s style, actions []plan.Action) func(string) string {
	if len(actions) == 0 {
		return s.dim
	}
	switch actions[0] {
	case plan.ActionCreate, plan.ActionRun:
		return s.green
	case plan.ActionDelete, plan.ActionStop:
		return s.red
	}
	return s.yellow
}

func origin(s style, at string) string {
	if at == "" {
		return ""
	}
	return "  " + s.dim(escape(at))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return escape(s)
}

// planCounts is the last line of every view.
func planCounts(p plan.Plan) string {
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
	if len(parts) == 0 {
		parts = []string{"nothing to do"}
	}
	return strings.Join(parts, ", ") + fmt.Sprintf(" (%d unchanged)", sum.Unchanged)
}
