// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"testing"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// TestExitCode joins every code of a plan with every kind of diagnostics.
func TestExitCode(t *testing.T) {
	id := plan.ID{Kind: plan.Manifest, Name: "a"}
	plans := map[int]plan.Plan{
		plan.ExitDone:    {},
		plan.ExitFault:   {Incomplete: []plan.Reason{{Code: plan.CodeUnknown}}, Steps: []plan.Step{{Op: plan.OpDelete, Target: id}}},
		plan.ExitChanges: {Steps: []plan.Step{{Op: plan.OpDelete, Target: id}}},
		plan.ExitRefused: {Refused: []plan.Reason{{Code: plan.CodePolicy}}, Steps: []plan.Step{{Op: plan.OpDelete, Target: id}}},
	}
	warning := schema.Diagnostic{Severity: schema.Warning}
	policy := schema.Diagnostic{Severity: schema.Error, Policy: true}
	fault := schema.Diagnostic{Severity: schema.Error}
	for name, tt := range map[string]struct {
		ds   schema.Diagnostics
		want func(int) int
	}{
		"none":    {nil, func(code int) int { return code }},
		"warning": {schema.Diagnostics{warning}, func(code int) int { return code }},
		"policy": {schema.Diagnostics{warning, policy}, func(code int) int {
			if code == plan.ExitFault {
				return code
			}
			return plan.ExitRefused
		}},
		"fault": {schema.Diagnostics{policy, fault}, func(int) int { return plan.ExitFault }},
	} {
		for code, p := range plans {
			if got, want := ExitCode(p, tt.ds, true), tt.want(code); got != want {
				t.Errorf("plan of code %d, diagnostics %s: %d, want %d", code, name, got, want)
			}
			once := code
			if once == plan.ExitChanges {
				once = plan.ExitDone
			}
			if got, want := ExitCode(p, tt.ds, false), tt.want(once); got != want {
				t.Errorf("plan of code %d, diagnostics %s, not a dry run: %d, want %d", code, name, got, want)
			}
		}
	}
}
