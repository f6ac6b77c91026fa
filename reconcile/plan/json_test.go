// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// TestJSONIsFrozen holds the published form to testdata/plan/format-1.0.json.
func TestJSONIsFrozen(t *testing.T) {
	s := parseScene(t, `
		revision abc
		manifest/a level=debug
		manifest/b blocked=policy
		manifest/c
	`, `
		fact image:img:1 known sha256:one
		object manifest/a h1 running level=info
		object manifest/c h2 exited exit=1
		object manifest/old h3 running
	`, "")
	got, err := plan.New(s.desired, s.observed, s.options).JSON(plan.ModeLive, []plan.Diagnostic{{
		Severity: "warning", Summary: "cycle", Detail: "a → b → a", File: "a.yaml", Line: 3, Column: 5, Hint: "drop one",
	}})
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../testdata/plan/format-1.0.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONHasEveryKeyAndNoNullList(t *testing.T) {
	raw, err := plan.Plan{}.JSON(plan.ModeObserved, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	zero := map[string]any{}
	for _, k := range []string{"create", "replace", "update", "start", "restart", "stop", "delete", "run", "drift", "unchanged", "blocked"} {
		zero[k] = 0.0
	}
	want := map[string]any{
		"format_version": "1.0", "workspace": "", "revision": "", "mode": "observed", "complete": false,
		"changes": []any{}, "drift": []any{}, "held": []any{}, "authority": []any{}, "diagnostics": []any{}, "steps": []any{}, "summary": zero,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONTellsRefusals(t *testing.T) {
	p := plan.Plan{
		Refused:    []plan.Reason{{Code: plan.CodeOtherRoot, Text: "workspace acme is run from /x", Origin: "-"}},
		Incomplete: []plan.Reason{{Code: plan.CodePartial, Text: "repo lib", Origin: "w.yaml:3:4"}},
	}
	raw, err := p.JSON(plan.ModeLive, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Diagnostics []plan.Diagnostic }
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := []plan.Diagnostic{
		{Severity: "error", Summary: "refused: other-root", Detail: "workspace acme is run from /x"},
		{Severity: "error", Summary: "incomplete: partial", Detail: "repo lib", File: "w.yaml", Line: 3, Column: 4},
	}
	if diff := cmp.Diff(want, got.Diagnostics); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExitCode(t *testing.T) {
	fault := plan.Change{Reasons: []plan.Reason{{Code: plan.CodeInvalid}}}
	policy := plan.Change{Policy: true}
	benign := plan.Change{Benign: true}
	change := []plan.Step{{Op: plan.OpRecord}, {Op: plan.OpStart}}
	tests := map[string]struct {
		plan         plan.Plan
		dry, applied int
	}{
		"nothing":              {plan.Plan{}, 0, 0},
		"records only":         {plan.Plan{Steps: change[:1]}, 0, 0},
		"changes":              {plan.Plan{Steps: change}, 2, 0},
		"as wished":            {plan.Plan{Held: []plan.Change{benign}}, 0, 0},
		"as wished, changes":   {plan.Plan{Held: []plan.Change{benign}, Steps: change}, 2, 0},
		"policy, changes":      {plan.Plan{Held: []plan.Change{policy}, Steps: change}, 3, 3},
		"refused":              {plan.Plan{Refused: []plan.Reason{{}}}, 3, 3},
		"fault, refused":       {plan.Plan{Held: []plan.Change{policy, fault}, Refused: []plan.Reason{{}}}, 1, 1},
		"partial":              {plan.Plan{Incomplete: []plan.Reason{{}}}, 1, 1},
		"fault and changes":    {plan.Plan{Held: []plan.Change{fault}, Steps: change}, 1, 1},
		"refused with changes": {plan.Plan{Refused: []plan.Reason{{}}, Steps: change}, 3, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.plan.ExitCode(true); got != tt.dry {
				t.Errorf("as a dry run %d, want %d", got, tt.dry)
			}
			if got := tt.plan.ExitCode(false); got != tt.applied {
				t.Errorf("applied %d, want %d", got, tt.applied)
			}
		})
	}
}
