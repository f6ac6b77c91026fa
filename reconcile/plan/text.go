// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// String returns the whole plan, steps included, in a stable plain form for
// tests and logs. Times are left out.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "workspace %s\n", p.Workspace)
	if p.Revision != "" {
		fmt.Fprintf(&b, "revision %s\n", p.Revision)
	}
	if !p.Complete {
		b.WriteString("incomplete\n")
	}
	writeReasons(&b, "\nrefused\n", "  ", p.Refused)
	writeReasons(&b, "\nnot known\n", "  ", p.Incomplete)
	writeChanges(&b, "changes", p.Changes)
	writeChanges(&b, "drift", p.Drift)
	writeChanges(&b, "held", p.Held)
	if len(p.Authority) > 0 {
		b.WriteString("\nauthority\n")
	}
	for _, g := range p.Authority {
		g.write(&b)
	}
	if len(p.Steps) > 0 {
		b.WriteString("\nsteps\n")
	}
	for _, s := range p.Steps {
		s.write(&b)
	}
	fmt.Fprintf(&b, "\n%s\n", p.Summary())
	if !p.Wake.IsZero() {
		fmt.Fprintf(&b, "wake %s\n", p.Wake.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return b.String()
}

// String returns the counts that are not zero, as in "1 create, 3 unchanged".
func (s Summary) String() string {
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{s.Create, "create"},
		{s.Replace, "replace"},
		{s.Update, "update"},
		{s.Start, "start"},
		{s.Restart, "restart"},
		{s.Stop, "stop"},
		{s.Delete, "delete"},
		{s.Run, "run"},
		{s.Drift, "drift"},
		{s.Unchanged, "unchanged"},
		{s.Blocked, "blocked"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func writeChanges(b *strings.Builder, heading string, cs []Change) {
	if len(cs) > 0 {
		fmt.Fprintf(b, "\n%s\n", heading)
	}
	for _, c := range cs {
		fmt.Fprintf(b, "  %s", c.ID)
		for _, a := range c.Actions {
			fmt.Fprintf(b, " %s", a)
		}
		if c.Policy {
			b.WriteString(" (policy)")
		}
		if c.Benign {
			b.WriteString(" (as wished)")
		}
		b.WriteString("\n")
		writeReasons(b, "", "    ", c.Reasons)
		for _, path := range c.ReplacePaths {
			fmt.Fprintf(b, "    differs %s\n", path)
		}
	}
}

func writeReasons(b *strings.Builder, heading, indent string, rs []Reason) {
	if len(rs) > 0 {
		b.WriteString(heading)
	}
	for _, r := range rs {
		fmt.Fprintf(b, "%s%s: %s (%s)\n", indent, r.Code, r.Text, r.Origin)
	}
}

func (g Grant) write(b *strings.Builder) {
	approved := ""
	if g.Approved {
		approved = ", approved"
	}
	fmt.Fprintf(b, "  %s %s: it %s (%s%s)\n", g.ID, g.Kind, g.Text, g.Origin, approved)
}

func (s Step) write(b *strings.Builder) {
	fmt.Fprintf(b, "  %s", s.ID)
	if s.Name != "" {
		fmt.Fprintf(b, " as %s", s.Name)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Bound)) {
		fmt.Fprintf(b, " %s=%s", k, short(s.Bound[k]))
	}
	for _, p := range s.Ports {
		fmt.Fprintf(b, " %s:%d→%d/%s", p.HostIP, p.HostPort, p.Container, p.Protocol)
	}
	if s.Hook != nil {
		fmt.Fprintf(b, " runs %q", s.Hook.Commands)
	}
	if s.Record != nil {
		for _, k := range slices.Sorted(maps.Keys(s.Record.Data)) {
			if s.Record.Kind == RecordRevision && k == revisionSpec {
				continue // its digest says it
			}
			fmt.Fprintf(b, " %s=%s", k, short(s.Record.Data[k]))
		}
	}
	fmt.Fprintf(b, " [%s %s]\n", s.Reason.Code, s.Reason.Origin)
	for _, a := range s.After {
		fmt.Fprintf(b, "      after %s\n", a)
	}
}
