// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

func newHistoryCommand(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "history [NAME]",
		Short: "Show the last passes: commit, cause, what changed, result",
		Long: `Shows the last passes, the newest first. A pass is remembered when it did or
tried something, or when its result differs from the one before. With NAME:
those that changed it, started a run of it or saw one end.`,
		Example: `  reconcile history explorer`,
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check("text", "json"); err != nil {
				return err
			}
			if limit < 0 {
				return fmt.Errorf("-n: %d is negative", limit)
			}
			return a.history(cmd.Context(), strings.Join(args, ""), limit)
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many passes; 0: all that are remembered")
	return cmd
}

func (a *app) history(ctx context.Context, name string, limit int) error {
	src, store, err := a.loadToLook(ctx)
	if err != nil {
		return err
	}
	passes, err := store.History(0)
	if err != nil {
		return err
	}
	if name != "" {
		if passes, err = passesOf(name, desiredIDs(src.Desired), passes); err != nil {
			return err
		}
	}
	if limit > 0 {
		passes = passes[:min(limit, len(passes))]
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{
			"format_version": plan.FormatVersion,
			"workspace":      src.name,
			"passes":         append([]reconcile.PassRecord{}, passes...),
		})
	}
	a.printHistory(passes)
	return nil
}

// passesOf keeps the passes that changed what is called name, and of these what
// is about it. What is desired may have been changed by none.
func passesOf(name string, desired []plan.ID, passes []reconcile.PassRecord) ([]reconcile.PassRecord, error) {
	ids := slices.Clone(desired)
	var runs []runHere
	for _, p := range passes {
		for _, c := range p.Changes {
			ids = append(ids, c.ID)
		}
		for _, r := range p.Runs {
			ids = append(ids, r.ID)
			if run := (runHere{id: r.ID, state: plan.RunState{Key: r.Run, Name: r.Name}}); !slices.ContainsFunc(runs, run.same) {
				runs = append(runs, run)
			}
		}
	}
	id, key, err := findRun(name, ids, runs)
	if err != nil {
		return nil, err
	}
	var out []reconcile.PassRecord
	for _, p := range passes {
		p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c reconcile.PassChange) bool { return c.ID != id })
		p.Runs = slices.DeleteFunc(slices.Clone(p.Runs), func(r reconcile.PassRun) bool { return r.ID != id || key != "" && r.Run != key })
		if len(p.Runs) > 0 || len(p.Changes) > 0 && key == "" {
			out = append(out, p)
		}
	}
	return out, nil
}

func (a *app) printHistory(passes []reconcile.PassRecord) {
	if len(passes) == 0 {
		fmt.Fprintln(a.std.out, "no pass is remembered")
		return
	}
	s := a.styleFor(a.std.out)
	var rows [][]string
	for _, p := range passes {
		rows = append(rows, []string{
			strconv.Itoa(p.Number), p.Began.Local().Format(time.DateTime), took(p), escape(orDash(shortRevision(p.Revision))),
			causes(p), string(p.Result), escape(whatChanged(p)),
		})
	}
	table(a.std.out, []string{"PASS", "BEGAN", "TOOK", "REVISION", "CAUSE", "RESULT", "WHAT"}, rows, func(col int, cell string) string {
		if col != 5 {
			return cell
		}
		switch reconcile.Result(cell) {
		case reconcile.ResultConverged, reconcile.ResultUnchanged:
			return s.green(cell)
		case reconcile.ResultFailed, reconcile.ResultRefused:
			return s.red(cell)
		}
		return s.yellow(cell)
	})
}

func took(p reconcile.PassRecord) string {
	d := p.Ended.Sub(p.Began)
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func causes(p reconcile.PassRecord) string {
	var words []string
	for _, c := range p.Causes {
		words = append(words, string(c))
	}
	return orDash(strings.Join(words, ","))
}

// shortRevision is a revision whose commit is short, "+dirty" kept.
func shortRevision(revision string) string {
	commit, dirty, marked := strings.Cut(revision, "+")
	commit = commit[:min(12, len(commit))]
	if marked {
		return commit + "+" + dirty
	}
	return commit
}

// whatChanged says the first changes, and what went wrong first.
func whatChanged(p reconcile.PassRecord) string {
	const most = 2
	var parts []string
	for _, c := range p.Changes[:min(most, len(p.Changes))] {
		if !c.Done {
			parts = append(parts, fmt.Sprintf("%s of %s not done", c.Action, c.ID))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s", pastTense[c.Action], c.ID))
	}
	if more := len(p.Changes) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	ended := endedRuns(p)
	parts = append(parts, ended[:min(most, len(ended))]...)
	if more := len(ended) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more ended", more))
	}
	if len(p.Errors) > 0 {
		parts = append(parts, p.Errors[0])
	}
	return strings.Join(parts, "; ")
}

// endedRuns says how the runs ended that a pass found ended.
func endedRuns(p reconcile.PassRecord) []string {
	var out []string
	for _, r := range p.Runs {
		if r.Phase == plan.RunRunning {
			continue
		}
		text := runHere{id: r.ID, state: plan.RunState{Name: r.Name}}.ref().String() + " " + string(r.Phase)
		if why := failure(r.Phase, r.Reason, r.ExitCode); why != "" {
			text += " (" + why + ")"
		}
		out = append(out, text)
	}
	return out
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
