// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
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
func (a *app) printResult(r reconcile.PassResult, ds schema.Diagnostics, lines *eventLines, unseen error) error {
	code := r.ExitCode(ds)
	if unseen != nil {
		code = plan.ExitFault
	}
	err := error(nil)
	switch {
	case lines != nil:
		err = lines.end(r, ds, code)
	case a.output == formatJSON:
		err = a.printResultJSON(r, ds, code)
	default:
		err = a.printResultText(r, unseen == nil)
	}
	if err != nil {
		return err
	}
	return exitWith(code)
}

// printResultText prints a result for people; seen = how things stand at its end
// is known.
func (a *app) printResultText(r reconcile.PassResult, seen bool) error {
	s, o := a.styleFor(a.std.out), a.renderOptions(a.std.out)
	if err := render.Stops(a.std.out, r.Plan, o); err != nil {
		return err
	}
	for _, c := range r.Plan.Changes {
		if line := resultLine(s, o, c, r.Outcome); line != "" {
			fmt.Fprintln(a.std.out, a.plainText(line))
		}
	}
	if seen {
		for _, st := range r.Unready() {
			fmt.Fprintln(a.std.out, a.plainText(fmt.Sprintf("%s %s: %s%s", s.yellow("!"), escape(st.ID.String()), escape(firstReason(st)), origin(s, st.Origin))))
		}
		for _, st := range r.Departed() {
			hint := ""
			if st.Handle != "" && st.ID.Kind.Role() == plan.RoleInstance {
				hint = "; `reconcile logs " + st.ID.String() + "` shows what it wrote"
			}
			fmt.Fprintln(a.std.out, a.plainText(fmt.Sprintf("%s %s is %s: %s%s", s.red("!"), escape(st.ID.String()), st.State, escape(firstReason(st)+hint), origin(s, st.Origin))))
		}
	}
	_, err := fmt.Fprintln(a.std.out, passCounts(r))
	return err
}

// resultLine is one change with how it went.
func resultLine(s style, opt render.Options, c plan.Change, o reconcile.Outcome) string {
	for _, st := range o.Steps {
		if st.Step.Target == c.ID && st.State == reconcile.StepFailed {
			return fmt.Sprintf("%s %s %s failed: %s%s", s.red("✗"), escape(c.ID.String()), st.Step.Op, escapeLines(stepDetail(st.Step, st.Err.Error())), origin(s, st.Step.Reason.Origin))
		}
	}
	for _, st := range o.Steps {
		if st.Step.Target == c.ID && st.State == reconcile.StepSkipped {
			return fmt.Sprintf("%s %s not done: %s%s", s.yellow("!"), escape(c.ID.String()), escape(st.Detail), origin(s, st.Step.Reason.Origin))
		}
	}
	if len(c.Actions) == 0 || len(c.Reasons) == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s %s: %s%s", render.Symbol(c.Actions, opt),
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

// countSteps counts how steps ended.
func countSteps(o reconcile.Outcome) (done, failed, skipped int) {
	for _, st := range o.Steps {
		switch st.State {
		case reconcile.StepFailed:
			failed++
		case reconcile.StepSkipped:
			skipped++
		default:
			done++
		}
	}
	return done, failed, skipped
}

func passCounts(r reconcile.PassResult) string {
	done, failed, skipped := countSteps(r.Outcome)
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
