// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

// passView shows the passes of a daemon to one reader: whoever started it, or a
// command that asked for a pass. Its methods may be called concurrently.
type passView struct {
	app   *app // with the reader's streams, colours and output format
	lines *eventLines

	mu   sync.Mutex
	said map[plan.ID]string // what a long step said last
}

func newPassView(a *app) *passView {
	return &passView{app: a, lines: a.newEventLines(), said: map[plan.ID]string{}}
}

// planned announces a pass that has something to do.
func (v *passView) planned(rec reconcile.PassRecord, p plan.Plan) {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.said)
	v.lines.plan(p, nil)
	if len(p.Steps) > 0 {
		fmt.Fprintln(v.app.std.err, passHead(rec)+": "+planCounts(p))
	}
}

// passHead names a pass: its number, why it is made and for which commit.
func passHead(rec reconcile.PassRecord) string {
	head := "pass"
	if rec.Number > 0 {
		head += fmt.Sprintf(" %d", rec.Number)
	}
	head += " (" + causes(rec) + ")"
	if rec.Revision != "" {
		head += ", revision " + escape(shortRevision(rec.Revision))
	}
	return head
}

// event shows the end of a step.
func (v *passView) event(e reconcile.Event) {
	if e.State == reconcile.StepQueued {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lines.step(e)
	if e.State == reconcile.StepStarted {
		return
	}
	writeStep(v.app.std.err, e)
}

// pull shows what a long step does, each text once.
func (v *passView) pull(p podman.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.said[p.Target] == p.Text {
		return
	}
	v.said[p.Target] = p.Text
	v.lines.pull(p)
	fmt.Fprintf(v.app.std.err, "%-8s %s %s\n", p.Op, escape(p.Target.String()), escape(p.Text))
}

// endedPass is a pass and all that is known of it.
type endedPass struct {
	rec    reconcile.PassRecord
	res    reconcile.PassResult
	loaded reconcile.Loaded
}

// show prints how a pass ended, as the same pass at a command line would.
func (v *passView) show(e endedPass) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.app
	ds := e.loaded.Diagnostics
	if !e.loaded.Fatal && e.res.Err == nil {
		ds = append(slices.Clone(ds), factWarnings(e.loaded.Desired, e.res.Before, e.res.Plan)...).Sort()
	}
	if e.loaded.Fatal && len(e.res.Outcome.Steps) == 0 {
		_ = a.printFatal(source{Result: workspace.Result{Desired: e.loaded.Desired, Diagnostics: ds}, name: e.loaded.Desired.Workspace})
		return
	}
	a.printDiagnostics(ds)
	switch {
	case e.res.Err != nil && len(e.res.Outcome.Steps) == 0:
		v.problem(e.res.Err)
	default:
		if e.res.Err != nil {
			v.problem(e.res.Err)
		}
		_ = a.printResult(e.res, ds, v.lines, e.res.Err)
		for _, u := range e.res.Unsettled {
			fmt.Fprintln(a.std.err, a.plainText(escape(u.Origin()+": warning: "+u.String())))
		}
	}
}

func (v *passView) problem(err error) {
	fmt.Fprintln(v.app.std.err, "error: "+escapeLines(err.Error()))
}

// journal is the daemon's own output: passes that did something, and what is new
// of those that did not.
type journal struct {
	view *passView
	json bool

	shown bool // a pass; of the loop's goroutine alone
}

// ended shows a pass unless it says nothing new.
func (j *journal) ended(e endedPass) {
	if e.rec.Number == 0 && j.shown {
		return
	}
	j.shown = true
	if j.json {
		_ = writeJSONLine(j.view.app.std.out, e.rec)
		return
	}
	if len(e.rec.Changes) == 0 {
		said := append([]string{string(e.rec.Result)}, endedRuns(e.rec)...)
		fmt.Fprintln(j.view.app.std.err, passHead(e.rec)+": "+escape(strings.Join(said, "; ")))
		if e.rec.ExitCode == plan.ExitDone {
			return
		}
	}
	j.view.show(e)
}

// say writes one line about the daemon itself.
func (j *journal) say(format string, args ...any) {
	fmt.Fprintln(j.view.app.std.err, escape(fmt.Sprintf(format, args...)))
}

// writeJSONLine writes v as one line of JSON.
func writeJSONLine(w io.Writer, v any) error {
	var doc strings.Builder
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, escapeJSON(doc.String()))
	return err
}
