// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// ExitCode joins what a plan says with what the diagnostics say: faults before
// refusals, refusals before changes.
func ExitCode(p plan.Plan, ds schema.Diagnostics, dryRun bool) int {
	code, refused := p.ExitCode(dryRun), false
	for _, d := range ds {
		switch {
		case d.Severity != schema.Error:
		case d.Policy:
			refused = true
		default:
			return plan.ExitFault
		}
	}
	if refused && code != plan.ExitFault {
		return plan.ExitRefused
	}
	return code
}

// ExitCode is what a command exits with after this pass, ds being what was said
// of the workspace.
func (r PassResult) ExitCode(ds schema.Diagnostics) int {
	if r.Err != nil || r.Outcome.Err() != nil {
		return plan.ExitFault
	}
	code := ExitCode(r.Plan, ds, false)
	if code != plan.ExitFault && len(r.Departed()) > 0 {
		return plan.ExitFault
	}
	return code
}

// Departed returns what was to be done, was done, and is not so any more when
// the pass ends: a container that exits at once. What is run may have to be run
// again by then.
func (r PassResult) Departed() []Status {
	changed := map[plan.ID]bool{}
	for _, c := range r.Plan.Changes {
		changed[c.ID] = true
	}
	failed := map[plan.ID]bool{}
	for _, st := range r.Outcome.Steps {
		failed[st.Step.Target] = failed[st.Step.Target] || st.State != StepDone
	}
	var out []Status
	for _, st := range r.Status {
		if changed[st.ID] && !failed[st.ID] && !st.InSync && st.Phase == "" {
			out = append(out, st)
		}
	}
	return out
}

// Unready returns what runs as it should, was not to be changed, and fails its
// readiness probe: nothing can be done about that.
func (r PassResult) Unready() []Status {
	return slices.DeleteFunc(slices.Clone(r.Status), func(st Status) bool {
		failing := st.Health != nil && st.Health.Readiness != nil && st.Health.Readiness.Verdict == plan.VerdictFailing
		return !failing || !st.InSync || slices.ContainsFunc(r.Plan.Changes, func(c plan.Change) bool { return c.ID == st.ID })
	})
}

// RecordOf sums up a pass that began at a time for the causes and has just
// ended, for [Store.AppendHistory], which gives it its number.
func RecordOf(r PassResult, l Loaded, causes []Cause, began time.Time) PassRecord {
	rec := PassRecord{
		Began: began, Ended: time.Now(), Causes: slices.Clone(causes), Revision: l.Desired.Revision,
		ExitCode: r.ExitCode(l.Diagnostics), Changes: r.changes(), Runs: r.runs(), Errors: r.errors(l),
	}
	switch {
	case rec.ExitCode == plan.ExitDone && len(l.Refused) > 0:
		rec.ExitCode = plan.ExitRefused
	case rec.ExitCode == plan.ExitDone && l.Fatal:
		rec.ExitCode = plan.ExitFault
	}
	switch {
	case r.Outcome.Interrupted:
		rec.Result = ResultInterrupted
	case r.Outcome.Superseded:
		rec.Result = ResultSuperseded
	case rec.ExitCode == plan.ExitRefused:
		rec.Result = ResultRefused
	case rec.ExitCode != plan.ExitDone:
		rec.Result = ResultFailed
	case len(rec.Changes) > 0:
		rec.Result = ResultConverged
	default:
		rec.Result = ResultUnchanged
	}
	return rec
}

// changes lists what was done or was tried.
func (r PassResult) changes() []PassChange {
	tried, undone := map[plan.ID]bool{}, map[plan.ID]bool{}
	for _, st := range r.Outcome.Steps {
		id := st.Step.Target
		tried[id] = tried[id] || !st.Started.IsZero() && st.Step.Op != plan.OpRecord
		undone[id] = undone[id] || st.State != StepDone
	}
	out := []PassChange{}
	for _, c := range r.Plan.Changes {
		if !tried[c.ID] {
			continue
		}
		for _, a := range c.Actions {
			out = append(out, PassChange{ID: c.ID, Action: a, Done: !undone[c.ID], Reason: c.Reasons[0]})
		}
	}
	return out
}

// errors lists what went wrong or stands in the way, each text once. What is to
// be tried again later says what failed, not when it is tried.
func (r PassResult) errors(l Loaded) []string {
	out := []string{}
	add := func(text string) {
		text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return c == '\n' }), "; ")
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	if r.Err != nil {
		add(r.Err.Error())
	}
	for _, d := range l.Diagnostics {
		if d.Severity == schema.Error {
			add(strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", d.Pos, d.Summary, d.Detail), ": "))
		}
	}
	for _, reason := range slices.Concat(l.Refused, r.Plan.Refused, r.Plan.Incomplete) {
		add(fmt.Sprintf("%s: %s", reason.Origin, reason.Text))
	}
	for _, st := range r.Outcome.Steps {
		if st.State == StepFailed {
			add(st.Err.Error())
		}
	}
	for _, c := range r.Plan.Held {
		for _, reason := range c.Reasons {
			switch {
			case c.Benign, reason.Code == plan.CodeBlockedBy, reason.Code == plan.CodeBusy:
			case reason.Code == plan.CodeBackoff:
				for _, b := range slices.Concat(r.Before.Backoff, r.After.Backoff) {
					if strings.HasSuffix(reason.Text, ": "+b.Detail) {
						add(b.Detail)
					}
				}
			default:
				add(fmt.Sprintf("%s: %s", c.ID, reason.Text))
			}
		}
	}
	for _, u := range r.Unsettled {
		add(u.Origin() + ": " + u.String())
	}
	for _, st := range r.Departed() {
		add(fmt.Sprintf("%s is %s", st.ID, st.State))
	}
	return out
}
