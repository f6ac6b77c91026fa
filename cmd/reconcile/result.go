// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// stepJSON is one step of a pass in its JSON result.
type stepJSON struct {
	ID         string  `json:"id"`
	Op         plan.Op `json:"op"`
	Target     plan.ID `json:"target"`
	Result     string  `json:"result"` // done, failed or skipped
	Detail     string  `json:"detail,omitempty"`
	DurationMS int64   `json:"duration_ms"`
}

// printResult prints what a pass did and how things stand now, and returns its
// exit code. unseen is why its end could not be seen or kept: how things stand
// is then what was last known.
func (a *app) printResult(r reconcile.PassResult, ds schema.Diagnostics, unseen error) error {
	code := r.ExitCode(ds)
	if unseen != nil {
		code = plan.ExitFault
	}
	if a.output == "json" {
		if err := a.printResultJSON(r, ds, code); err != nil {
			return err
		}
		return exitWith(code)
	}
	s := a.styleFor(a.std.out)
	writeAttention(a.std.out, s, r.Plan, "")
	for _, c := range r.Plan.Changes {
		a.printChanged(s, c, r.Outcome)
	}
	if unseen == nil {
		for _, st := range r.Departed() {
			hint := ""
			if st.Handle != "" && st.ID.Kind.Role() == plan.RoleInstance {
				hint = "; `reconcile logs " + st.ID.String() + "` shows what it wrote"
			}
			fmt.Fprintf(a.std.out, "%s %s is %s: %s%s\n", s.red("!"), escape(st.ID.String()), st.State, escape(firstReason(st)+hint), origin(s, st.Origin))
		}
	}
	fmt.Fprintln(a.std.out, passCounts(r))
	return exitWith(code)
}

// printChanged prints one change with how it went.
func (a *app) printChanged(s style, c plan.Change, o reconcile.Outcome) {
	for _, st := range o.Steps {
		if st.Step.Target == c.ID && st.State == reconcile.StepFailed {
			fmt.Fprintf(a.std.out, "%s %s %s failed: %s%s\n", s.red("✗"), escape(c.ID.String()), st.Step.Op, escapeLines(stepDetail(st.Step, st.Err.Error())), origin(s, st.Step.Reason.Origin))
			return
		}
	}
	for _, st := range o.Steps {
		if st.Step.Target == c.ID && st.State == reconcile.StepSkipped {
			fmt.Fprintf(a.std.out, "%s %s not done: %s%s\n", s.yellow("!"), escape(c.ID.String()), escape(st.Detail), origin(s, st.Step.Reason.Origin))
			return
		}
	}
	if len(c.Actions) == 0 || len(c.Reasons) == 0 {
		return
	}
	fmt.Fprintf(a.std.out, "%s %s %s: %s%s\n", paintAction(s, c.Actions)(actionSymbols[c.Actions[0]]),
		escape(c.ID.String()), pastTense[c.Actions[0]], escape(c.Reasons[0].Text), origin(s, c.Reasons[0].Origin))
}

// stepDetail is why a step failed, without the step's name before it.
func stepDetail(s plan.Step, detail string) string {
	return strings.TrimPrefix(detail, fmt.Sprintf("%s %s: ", s.Op, s.Target))
}

var pastTense = map[plan.Action]string{
	plan.ActionCreate: "created", plan.ActionReplace: "replaced", plan.ActionUpdate: "updated",
	plan.ActionStart: "started", plan.ActionRestart: "restarted", plan.ActionStop: "stopped",
	plan.ActionDelete: "deleted", plan.ActionRun: "started",
}

func passCounts(r reconcile.PassResult) string {
	var done, failed, skipped int
	for _, st := range r.Outcome.Steps {
		switch st.State {
		case reconcile.StepFailed:
			failed++
		case reconcile.StepSkipped:
			skipped++
		default:
			done++
		}
	}
	sum := r.Plan.Summary()
	text := fmt.Sprintf("%s, %d unchanged", count(len(r.Plan.Changes), "change"), sum.Unchanged)
	if failed+skipped > 0 {
		text += fmt.Sprintf("; %s done, %d failed, %d skipped", count(done, "step"), failed, skipped)
	}
	if sum.Blocked > 0 {
		text += fmt.Sprintf("; %d blocked", sum.Blocked)
	}
	return text
}

func (a *app) printResultJSON(r reconcile.PassResult, ds schema.Diagnostics, code int) error {
	steps := make([]stepJSON, 0, len(r.Outcome.Steps))
	for _, st := range r.Outcome.Steps {
		detail := st.Detail
		if st.Err != nil {
			detail = st.Err.Error()
		}
		steps = append(steps, stepJSON{
			ID: st.Step.ID, Op: st.Step.Op, Target: st.Step.Target, Result: string(st.State),
			Detail: detail, DurationMS: st.Duration.Milliseconds(),
		})
	}
	applied, err := r.Plan.JSON(plan.ModeLive, nil)
	if err != nil {
		return err
	}
	return a.printJSON(map[string]any{
		"format_version": plan.FormatVersion,
		"plan":           json.RawMessage(applied),
		"workspace":      r.Plan.Workspace,
		"revision":       r.Plan.Revision,
		"complete":       r.Plan.Complete && r.Outcome.Err() == nil,
		"exit_code":      code,
		"summary":        r.Plan.Summary(),
		"steps":          steps,
		"status":         r.Status,
		"diagnostics":    diagnosticsJSON(ds),
	})
}
