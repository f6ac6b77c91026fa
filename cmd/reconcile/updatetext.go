// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/schema"
	"reconcile/workspace"
)

// maxLog is how many commits of one repo are listed.
const maxLog = 50

// logJSON is one commit of a changelog.
type logJSON struct {
	Commit  string    `json:"commit"`
	Subject string    `json:"subject"`
	Author  string    `json:"author"`
	Time    time.Time `json:"time"`
}

// tell finds the commits between the old and the new one. That they cannot be
// had, such as those of a branch that was rewritten, is no reason not to update.
func (u *updating) tell(ctx context.Context, c *change) {
	if c.Kind == changeImage || c.Old == "" || c.New == "" || c.Old == c.New {
		return
	}
	log, more, err := u.store.Log(ctx, c.src, c.Old, c.New, maxLog)
	if err != nil {
		fmt.Fprintf(u.a.std.err, "warning: %s: the commits between are not known: %s\n", escape(c.label()), escapeLines(err.Error()))
		return
	}
	c.Commits, c.More = logForm(log), more
	if log, _, err = u.store.Log(ctx, c.src, c.New, c.Old, maxLog); err == nil {
		c.Dropped = logForm(log)
	}
}

func logForm(log []repos.LogEntry) []logJSON {
	var out []logJSON
	for _, e := range log {
		out = append(out, logJSON{e.Commit, e.Subject, e.Author, e.Time.UTC()})
	}
	return out
}

func refOf(ref string) string { return cmp.Or(ref, "the default branch") }

func (u *updating) print(list []change) {
	w, s := u.a.std.out, u.a.styleFor(u.a.std.out)
	for _, c := range list {
		fmt.Fprintf(w, "%s  %s%s\n", s.bold(escape(c.label())), c.text(), c.note())
		for _, e := range c.Commits {
			fmt.Fprintf(w, "  %s %s %s\n", s.green(abbreviated(e.Commit)), escape(e.Subject), s.dim(e.by()))
		}
		if c.More {
			fmt.Fprintln(w, "  …")
		}
		for _, e := range c.Dropped {
			fmt.Fprintf(w, "  %s %s %s\n", s.red("-"+abbreviated(e.Commit)), escape(e.Subject), s.dim(e.by()))
		}
	}
	if u.a.dryRun {
		for _, id := range u.agents {
			fmt.Fprintf(w, "%s  its update hook would run\n", s.bold(escape(id.String())))
		}
	}
	switch {
	case len(list) == 0 && len(u.agents) == 0:
		fmt.Fprintln(w, "nothing to update")
	case len(list) == 0:
	case u.a.dryRun:
		fmt.Fprintf(u.a.std.err, "%s is not written\n", schema.LockFile)
	case len(u.agents) > 0:
		fmt.Fprintf(u.a.std.err, "%s is written\n", schema.LockFile)
	default:
		fmt.Fprintf(u.a.std.err, "%s is written; `reconcile` acts on it\n", schema.LockFile)
	}
}

func (e logJSON) by() string {
	return fmt.Sprintf("(%s, %s)", escape(e.Author), e.Time.Format(time.DateOnly))
}

// label is the name, with what it is the name of where that is no repo or image.
func (c change) label() string {
	if c.Kind == changeContext {
		return workspace.ContextKind + c.Name
	}
	return c.Name
}

// text is from what to what.
func (c change) text() string {
	switch {
	case c.New == "":
		return abbreviated(c.Old) + " removed"
	case c.Old == "":
		return "locked at " + abbreviated(c.New)
	case c.Old == c.New:
		return abbreviated(c.New)
	}
	return abbreviated(c.Old) + " → " + abbreviated(c.New)
}

// note is what else there is to know.
func (c change) note() string {
	var notes []string
	if c.New == "" {
		notes = append(notes, "nothing uses it")
	}
	if c.OldURL != "" {
		notes = append(notes, fmt.Sprintf("from %s to %s", c.OldURL, c.URL))
	}
	if c.OldRef != nil {
		notes = append(notes, fmt.Sprintf("from %s to %s", refOf(*c.OldRef), refOf(c.Ref)))
	}
	if n := len(c.Commits); n > 0 {
		text := count(n, "commit")
		if c.More {
			text = "more than " + text
		}
		notes = append(notes, text)
	}
	if n := len(c.Dropped); n > 0 {
		notes = append(notes, fmt.Sprintf("%d taken back", n))
	}
	if len(notes) == 0 {
		return ""
	}
	return "  (" + escape(strings.Join(notes, ", ")) + ")"
}

// abbreviated is the beginning of a commit's hash or an image's digest.
func abbreviated(hash string) string {
	if rest, ok := strings.CutPrefix(hash, "sha256:"); ok {
		return "sha256:" + rest[:min(12, len(rest))]
	}
	return hash[:min(12, len(hash))]
}

func (u *updating) printJSON(list []change, written bool) error {
	return u.a.printJSON(map[string]any{
		"format_version": plan.FormatVersion,
		"workspace":      u.after.name,
		"file":           u.path(),
		"written":        written,
		"changes":        append([]change{}, list...),
		"hooks":          append([]plan.ID{}, u.agents...),
		"diagnostics":    diagnosticsJSON(u.after.Diagnostics),
	})
}
