// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"testing"

	"reconcile/reconcile/plan"
)

// TestExitCodeOfEveryCombination goes through every combination of what a plan may hold: a fault
// outweighs a refusal, a refusal outweighs changes, and nothing else counts.
func TestExitCodeOfEveryCombination(t *testing.T) {
	id := manifest("a")
	reason := []plan.Reason{{Code: plan.CodeInvalid, Text: "text", Origin: "a.yaml:1:1"}}
	parts := []struct {
		name string
		add  func(*plan.Plan)
		code int // of a dry run that has nothing else
	}{
		{"incomplete", func(p *plan.Plan) { p.Incomplete = reason }, plan.ExitFault},
		{"blocked", func(p *plan.Plan) { p.Held = append(p.Held, plan.Change{ID: id, Reasons: reason}) }, plan.ExitFault},
		{"refused", func(p *plan.Plan) { p.Refused = reason }, plan.ExitRefused},
		{"held by policy", func(p *plan.Plan) { p.Held = append(p.Held, plan.Change{ID: id, Reasons: reason, Policy: true}) }, plan.ExitRefused},
		{"creation", func(p *plan.Plan) { p.Steps = append(p.Steps, plan.Step{Op: plan.OpCreate, Target: id}) }, plan.ExitChanges},
		{"deletion", func(p *plan.Plan) { p.Steps = append(p.Steps, plan.Step{Op: plan.OpDelete, Target: id}) }, plan.ExitChanges},
		{"drift repaired", func(p *plan.Plan) {
			p.Drift = append(p.Drift, plan.Change{ID: id, Reasons: reason})
			p.Steps = append(p.Steps, plan.Step{Op: plan.OpStart, Target: id})
		}, plan.ExitChanges},
		{"record alone", func(p *plan.Plan) { p.Steps = append(p.Steps, plan.Step{Op: plan.OpRecord, Target: id}) }, plan.ExitDone},
		{"held as wished", func(p *plan.Plan) { p.Held = append(p.Held, plan.Change{ID: id, Reasons: reason, Benign: true}) }, plan.ExitDone},
	}
	for set := range 1 << len(parts) {
		var p plan.Plan
		names := ""
		has := map[int]bool{}
		for i, part := range parts {
			if set&(1<<i) != 0 {
				part.add(&p)
				names += ", " + part.name
				has[part.code] = true
			}
		}
		for _, dryRun := range []bool{true, false} {
			want := plan.ExitDone
			switch {
			case has[plan.ExitFault]:
				want = plan.ExitFault
			case has[plan.ExitRefused]:
				want = plan.ExitRefused
			case has[plan.ExitChanges] && dryRun:
				want = plan.ExitChanges
			}
			if got := p.ExitCode(dryRun); got != want {
				t.Errorf("dry run %t%s: exit code %d, want %d", dryRun, names, got, want)
			}
		}
	}
	codes := fmt.Sprint(plan.ExitDone, plan.ExitFault, plan.ExitChanges, plan.ExitRefused, plan.ExitStale)
	if codes != "0 1 2 3 4" {
		t.Errorf("exit codes are part of the interface: %s", codes)
	}
}
