// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"io"
	"slices"
	"sync"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// eventLines writes what a pass does to stdout as it comes, an event a line. A
// nil one writes nothing. Its methods may be called concurrently; who reads is
// told of a failure by what is missing, so none of them returns one.
type eventLines struct {
	mu      sync.Mutex
	w       io.Writer
	planned bool                       // the plan is written
	said    map[schema.Diagnostic]bool // that are written
}

// newEventLines is nil unless the output is to be such lines.
func (a *app) newEventLines() *eventLines {
	if a.output != formatLines {
		return nil
	}
	return &eventLines{w: a.std.out, said: map[schema.Diagnostic]bool{}}
}

// stepEvent is a step that begins or ends.
type stepEvent struct {
	Type       string  `json:"type"` // step
	ID         string  `json:"id"`
	Op         plan.Op `json:"op"`
	Target     plan.ID `json:"target"`
	State      string  `json:"state"` // started, done, failed or skipped
	Detail     string  `json:"detail,omitempty"`
	DurationMS int64   `json:"duration_ms"`
}

// progressEvent is what a long step does.
type progressEvent struct {
	Type   string  `json:"type"` // progress
	Target plan.ID `json:"target"`
	Op     plan.Op `json:"op"`
	Text   string  `json:"text"`
}

// summaryEvent is the last line of a pass.
type summaryEvent struct {
	Type string `json:"type"` // summary
	plan.Summary
	Complete bool `json:"complete"`
	ExitCode int  `json:"exit_code"`
	Done     int  `json:"steps_done"`
	Failed   int  `json:"steps_failed"`
	Skipped  int  `json:"steps_skipped"`
}

// plan begins a pass.
func (l *eventLines) plan(p plan.Plan, ds schema.Diagnostics) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.planned = true
	for _, d := range ds {
		l.said[d] = true
	}
	_ = render.PlanEvents(l.w, render.Report{Plan: p, Mode: plan.ModeLive, Diagnostics: ds}, render.Options{})
}

// step tells of a step; that it is queued is nothing to tell.
func (l *eventLines) step(e reconcile.Event) {
	if l == nil || e.State == reconcile.StepQueued {
		return
	}
	if e.State == reconcile.StepReplanned {
		e.State, e.Detail = reconcile.StepSkipped, cmp.Or(e.Detail, "it is planned again")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = render.Line(l.w, stepEvent{
		Type: "step", ID: e.Step.ID, Op: e.Step.Op, Target: e.Step.Target, State: string(e.State),
		Detail: e.Detail, DurationMS: e.Elapsed.Milliseconds(),
	})
}

func (l *eventLines) pull(p podman.Progress) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = render.Line(l.w, progressEvent{"progress", p.Target, p.Op, p.Text})
}

// end writes what was found out on the way, and how it went. A pass that had
// nothing to do has no plan yet.
func (l *eventLines) end(r reconcile.PassResult, ds schema.Diagnostics, code int) error {
	l.mu.Lock()
	planned := l.planned
	l.mu.Unlock()
	if !planned {
		l.plan(r.Plan, ds)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ds = slices.DeleteFunc(slices.Clone(ds), func(d schema.Diagnostic) bool { return l.said[d] })
	for _, d := range render.Diagnostics(ds) {
		if err := render.Line(l.w, struct {
			Type string `json:"type"`
			plan.Diagnostic
		}{"diagnostic", d}); err != nil {
			return err
		}
	}
	l.planned = false
	clear(l.said)
	sum := summaryEvent{
		Type: "summary", Summary: r.Plan.Summary(), ExitCode: code,
		Complete: r.Plan.Complete && r.Outcome.Err() == nil,
	}
	sum.Done, sum.Failed, sum.Skipped = countSteps(r.Outcome)
	return render.Line(l.w, sum)
}
