// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"io"
	"path"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// levels of annotations.
const (
	levelError   = "error"
	levelWarning = "warning"
	levelNotice  = "notice"
)

// GitHub writes the report as workflow commands, which GitHub (and Gitea and
// Forgejo) show at the lines of the files: an annotation for each diagnostic,
// refusal, change, and for whatever is held or drifted. The first one counts: of
// notices, warnings and errors, GitHub shows no more than the first ten each.
func GitHub(w io.Writer, r Report, o Options) error {
	var b strings.Builder
	g := annotations{&b, o}
	g.add(levelNotice, "", r.head(), Counts(r.Plan))
	g.diagnostics(r.untold())
	for _, x := range r.Plan.Refused {
		g.add(levelError, x.Origin, "refused", x.Text)
	}
	for _, x := range r.Plan.Incomplete {
		g.add(levelError, x.Origin, "not known", x.Text)
	}
	for _, c := range r.Plan.Held {
		level, word := levelError, "blocked"
		if c.Benign {
			level, word = levelNotice, "held"
		}
		g.add(level, firstOrigin(c), c.ID.String()+" "+word, reasons(c))
	}
	for _, x := range r.Plan.Authority {
		level, word := levelWarning, "not approved"
		if x.Approved {
			level, word = levelNotice, "approved"
		}
		g.add(level, x.Origin, x.ID.String()+" authority, "+word, x.Text)
	}
	for _, c := range r.Plan.Drift {
		g.add(levelWarning, firstOrigin(c), c.ID.String()+" drifted", reasons(c))
	}
	for _, c := range r.Plan.Changes {
		g.add(levelNotice, firstOrigin(c), c.ID.String()+" "+actionWords(c.Actions), reasons(c)+r.fileLines(c))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// GitHubDiagnostics writes diagnostics alone as workflow commands.
func GitHubDiagnostics(w io.Writer, ds schema.Diagnostics, o Options) error {
	var b strings.Builder
	annotations{&b, o}.diagnostics(ds)
	_, err := io.WriteString(w, b.String())
	return err
}

type annotations struct {
	b *strings.Builder
	o Options
}

func (g annotations) diagnostics(ds schema.Diagnostics) {
	for _, d := range ds {
		text := d.Detail
		if d.Hint != "" {
			text = strings.TrimPrefix(text+"\nhint: "+d.Hint, "\n")
		}
		if text == "" {
			text = d.Summary
		}
		level := levelError
		if d.Severity == schema.Warning {
			level = levelWarning
		}
		g.add(level, d.Pos.String(), d.Summary, text)
	}
}

// add writes one workflow command. at is file:line:col; "" or "-" = no place.
func (g annotations) add(level, at, title, text string) {
	var props []string
	if pos := schema.ParsePos(at); at != "" && at != "-" {
		props = append(props, "file="+property(g.o.based(pos.File)))
		if pos.Line > 0 {
			props = append(props, fmt.Sprintf("line=%d", pos.Line))
		}
		if pos.Col > 0 {
			props = append(props, fmt.Sprintf("col=%d", pos.Col))
		}
	}
	props = append(props, "title="+property(title))
	fmt.Fprintf(g.b, "::%s %s::%s\n", level, strings.Join(props, ","), message(text))
}

// based returns the name of a file in the repository that a forge shows.
func (o Options) based(file string) string {
	if path.IsAbs(file) {
		return file
	}
	return path.Join(o.Base, file)
}

// message is a text as the data of a workflow command; lines stay lines.
func message(s string) string {
	s = strings.ReplaceAll(EscapeLines(s), "%", "%25")
	return strings.ReplaceAll(s, "\n", "%0A")
}

// property is a text as a property of a workflow command.
func property(s string) string {
	return strings.NewReplacer("%", "%25", ":", "%3A", ",", "%2C").Replace(Escape(s))
}

func firstOrigin(c plan.Change) string {
	if len(c.Reasons) == 0 {
		return ""
	}
	return c.Reasons[0].Origin
}

// reasons are the reasons of a change, a line each.
func reasons(c plan.Change) string {
	lines := make([]string, 0, len(c.Reasons))
	for i, r := range c.Reasons {
		line := strings.ReplaceAll(r.Text, "\n", " ")
		if i > 0 && r.Origin != c.Reasons[0].Origin && r.Origin != "" {
			line += " (" + r.Origin + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func actionWords(as []plan.Action) string {
	names := make([]string, 0, len(as))
	for _, a := range as {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}
