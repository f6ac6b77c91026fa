// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show desired and actual side by side",
		Long: `Shows desired and actual side by side, the daemon if one runs, and for each git
repository which commit is used and since when it could not be asked. Of a Task it
says how far it is, of a CronTask its schedule, and with NAME all its runs. The exit
code is 3 while a newer commit is refused.

With -o snapshot it prints the observed host as JSON, without any secret, for
reconcile --dry-run --observed FILE on another machine.`,
		Example: `  reconcile status
  reconcile status explorer -o json`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check("text", "json", "snapshot"); err != nil {
				return err
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			if name != "" && a.output == "snapshot" {
				return errors.New("a snapshot is of the whole workspace: leave out NAME")
			}
			return a.status(cmd.Context(), statusOf{name: name})
		},
	}
}

// statusOf says what is to be shown.
type statusOf struct {
	name  string // "" = everything
	tasks bool   // the name is that of a Task, a CronTask or a run
}

// status shows what runs even when the workspace has mistakes: then nothing is
// known of what should.
func (a *app) status(ctx context.Context, of statusOf) error {
	name := of.name
	src, store, err := a.loadToLook(ctx)
	if err != nil {
		return err
	}
	d := src.Desired
	if src.Fatal {
		d = plan.Desired{
			Workspace: src.name, Root: src.root,
			Partial: []plan.Reason{{Code: plan.CodePartial, Text: "the workspace has mistakes", Origin: src.Desired.Source}},
		}
	}
	reader, closeReader, err := a.openReader(ctx, src.name, store)
	if err != nil {
		return err
	}
	defer closeReader()
	daemon := a.askDaemon(ctx, src.root)
	sources := sourcesOf(src, daemon)
	opt := a.planOptions()
	opt.Supervise = daemon != nil
	facts := factsOf(daemon)
	if daemon == nil {
		facts.Backoff = store.Failures()
	}
	reader = reconcile.WithFacts(reader, facts)
	p, o, err := reconcile.DryRun(ctx, reader, store, d, opt)
	if err != nil {
		return err
	}
	all := reconcile.Summarize(d, o, p)
	if all == nil {
		all = []reconcile.Status{} // a list in JSON too
	}
	if name != "" {
		if all, err = pickStatus(of, all); err != nil {
			return a.noStatus(src, name, err)
		}
	}
	look := a.lookAtAgents(ctx, src, daemon, d, o.Records)
	details := func() []statusJSON {
		return withDetails(all, d, o, func(id plan.ID) *dispatch.AgentStatus { return look.work(ctx, id) })
	}
	ds := append(src.Diagnostics, factWarnings(d, o, p)...).Sort()
	if a.output == "snapshot" {
		a.printDiagnostics(ds)
		err = a.printSnapshot(src, store, o, opt)
	} else if a.output == "json" {
		err = a.printJSON(map[string]any{
			"format_version": plan.FormatVersion,
			"workspace":      src.name,
			"revision":       src.Desired.Revision,
			"daemon":         daemonJSON(daemon),
			"sources":        sources,
			"status":         details(),
			"diagnostics":    diagnosticsJSON(ds),
		})
	} else {
		a.printDiagnostics(ds)
		if name == "" {
			a.printDaemon(daemon, sources)
		}
		empty := "nothing is desired and nothing runs"
		if src.Fatal {
			empty = "nothing runs; what is desired cannot be told"
		}
		a.printStatus(details(), statusView{detail: name != "", daemon: daemon != nil, empty: empty})
	}
	switch {
	case err != nil:
		return err
	case src.Fatal:
		return exitWith(plan.ExitFault)
	case anyRefused(sources):
		return exitWith(plan.ExitRefused)
	}
	return nil
}

// noStatus is why there is nothing to say of what is called name: of what stands in
// a workspace with mistakes, that it is these.
func (a *app) noStatus(src source, name string, err error) error {
	if !src.Fatal {
		return err
	}
	a.printDiagnostics(src.Diagnostics)
	if id, idErr := findID(name, desiredIDs(src.Desired)); idErr == nil {
		return fmt.Errorf("%s: nothing of it runs, and what is desired cannot be told", id)
	}
	return err
}

// pickStatus keeps what is named, and of its runs, when it is one that is named,
// that one.
func pickStatus(of statusOf, all []reconcile.Status) ([]reconcile.Status, error) {
	var ids []plan.ID
	var runs []runHere
	for _, st := range all {
		if of.tasks && !isTask(st.ID) {
			continue
		}
		ids = append(ids, st.ID)
		for _, run := range st.Runs {
			runs = append(runs, runHere{id: st.ID, state: plan.RunState{Key: run.Run, Name: run.Name}})
		}
	}
	id, key, err := findRun(of.name, ids, runs)
	if err != nil {
		for _, st := range all {
			if of.tasks && names(st.ID, of.name) {
				return nil, errNoTask(st.ID)
			}
		}
		return nil, err
	}
	var picked []reconcile.Status
	for _, st := range all {
		if st.ID.Compare(id) != 0 {
			continue
		}
		if key != "" {
			st.Runs = slices.DeleteFunc(slices.Clone(st.Runs), func(r reconcile.RunStatus) bool { return r.Run != key })
		}
		picked = append(picked, st)
	}
	return picked, nil
}

// statusView says how much is shown of a status.
type statusView struct {
	detail bool
	daemon bool   // one runs
	empty  string // what is said of no resource
}

// printStatus prints a line a resource.
func (a *app) printStatus(all []statusJSON, v statusView) {
	s := a.styleFor(a.std.out)
	if len(all) == 0 {
		fmt.Fprintln(a.std.out, v.empty)
		return
	}
	var rows [][]string
	for _, st := range all {
		rows = append(rows, []string{
			escape(st.ID.String()), escape(cmp.Or(st.Schedule, st.Desired)), string(st.State), age(st.since()), strconv.Itoa(st.Restarts),
			ports(st.Ports), short(st.Digest), escape(reasonOf(st)),
		})
	}
	table(a.std.out, []string{"NAME", "DESIRED", "ACTUAL", "AGE", "RESTARTS", "PORTS", "DIGEST", "REASON"}, rows, func(col int, cell string) string {
		if col != 2 {
			return cell
		}
		return s.word(cell)
	})
	if !v.detail {
		return
	}
	for _, st := range all {
		fmt.Fprintln(a.std.out)
		for _, line := range [][2]string{
			{"container", containerName(st)},
			{"handle", st.Handle},
			{"image", st.Image},
			{"image id", st.ImageID},
			{"digest", st.Digest},
			{"revision", st.Revision},
			{"origin", st.Origin},
		} {
			if line[1] != "" {
				fmt.Fprintf(a.std.out, "%-10s %s\n", line[0], escape(line[1]))
			}
		}
		printLimits(a.std.out, st.Limits)
		printTrials(a.std.out, st)
		for _, r := range st.Reasons {
			fmt.Fprintf(a.std.out, "%-10s %s%s\n", r.Code, escape(r.Text), origin(s, r.Origin))
		}
		a.printRuns(st)
		a.printAgent(st, v.daemon)
	}
}

// containerName is the name of the container of a resource; "" = it has none of its
// own.
func containerName(st statusJSON) string {
	switch st.ID.Kind {
	case plan.Network, plan.Volume, plan.TaskAgent:
		return ""
	}
	return st.Name
}

// word paints the word for a state.
func (s style) word(word string) string {
	switch reconcile.Word(word) {
	case reconcile.WordRunning, reconcile.WordPresent, reconcile.Word(plan.RunCompleted):
		return s.green(word)
	case reconcile.WordBlocked, reconcile.WordRemoved, reconcile.WordBroken, reconcile.Word(plan.RunFailed):
		return s.red(word)
	}
	return s.yellow(word)
}

func firstReason(st reconcile.Status) string {
	if len(st.Reasons) == 0 {
		return ""
	}
	return st.Reasons[0].Text
}

// age is the time since t in the largest unit that leaves no zero; "" for none.
func age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	switch d := time.Since(t); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

func ports(ps []plan.Port) string {
	var out []string
	for _, p := range ps {
		ip := p.HostIP
		if strings.Contains(ip, ":") {
			ip = "[" + ip + "]"
		}
		out = append(out, fmt.Sprintf("%s:%d->%d/%s", ip, p.HostPort, p.Container, p.Protocol))
	}
	return strings.Join(out, " ")
}

// short is the part of a digest that tells it apart on one screen.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}
