// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// TestSummarizeRuns sums up what no pass leaves for long.
func TestSummarizeRuns(t *testing.T) {
	at := testNow
	started := plan.RunState{Key: keyOf("1"), Name: "a", Order: 1, Phase: plan.RunRunning, Started: at, Container: "h1", Digest: "v1:d", Kept: true}
	queued := plan.RunState{Key: keyOf("1"), Name: "a", Order: 1, Phase: plan.RunQueued}
	failed := started
	failed.Phase, failed.Reason, failed.Code, failed.Finished, failed.Kept = plan.RunFailed, plan.FailedExit, 2, at.Add(time.Minute), false
	again := started
	again.Key, again.Order, again.Container = keyOf("1")+".2", 2, "h2"
	obj := plan.Object{ID: taskID("a"), Handle: "h1", Name: "acme-task-a", Run: keyOf("1"), Role: plan.RoleInstance, Digest: "v1:d", Created: at}
	in := func(s plan.State, started time.Time) []plan.Object {
		o := obj
		o.State, o.Started = s, started
		return []plan.Object{o}
	}
	second := obj
	second.Handle, second.Name, second.Run, second.State, second.Started = "h2", "acme-task-a-2", keyOf("1")+".2", plan.StateRunning, at
	halted := started
	halted.Phase, halted.Reason, halted.Finished = plan.RunFailed, plan.FailedStopped, at.Add(time.Minute)
	ended := plan.Step{Op: plan.OpRecord, Target: taskID("a"), Record: record(failed)}
	toStop := []plan.Step{
		{Op: plan.OpRecord, Target: taskID("a"), Run: keyOf("1"), Record: record(halted)},
		{Op: plan.OpStop, Target: taskID("a"), Run: keyOf("1"), Object: "h1"},
	}
	hold := func(code plan.Code, benign bool) []plan.Change {
		return []plan.Change{{ID: taskID("a"), Benign: benign, Reasons: []plan.Reason{{Code: code, Text: "because"}}}}
	}
	type line struct {
		State   reconcile.Word
		Reason  string
		Code    int // -1: none
		Actual  string
		InSync  bool
		Runs    []string
		Orphans int
	}
	tests := []struct {
		name    string
		records []plan.RunState
		objects []plan.Object
		plan    plan.Plan
		want    line
	}{
		{"nothing yet", nil, nil, plan.Plan{}, line{State: "Pending", Code: -1, Actual: "absent", InSync: true}},
		{
			"to be run", nil, nil,
			plan.Plan{Changes: []plan.Change{{ID: taskID("a"), Actions: []plan.Action{plan.ActionRun}, Reasons: []plan.Reason{{Code: plan.CodeNew, Text: "it is new"}}}}},
			line{State: "Pending", Reason: "it is new", Code: -1, Actual: "absent"},
		},
		{"missing", nil, nil, plan.Plan{Held: hold(plan.CodePending, false)}, line{State: "Pending", Reason: "because", Code: -1, Actual: "absent"}},
		{
			"queued",
			[]plan.RunState{queued},
			nil,
			plan.Plan{Held: hold(plan.CodeQueued, true)},
			line{State: "Queued", Reason: "because", Code: -1, Actual: "absent", InSync: true, Runs: []string{"Queued"}},
		},
		{
			"recorded and not started",
			[]plan.RunState{started},
			in(plan.StateCreated, time.Time{}),
			plan.Plan{},
			line{State: "Pending", Code: -1, Actual: "created", InSync: true, Runs: []string{"Pending"}},
		},
		{
			"running",
			[]plan.RunState{started},
			in(plan.StateRunning, at),
			plan.Plan{},
			line{State: "Running", Code: -1, Actual: "running", InSync: true, Runs: []string{"Running"}},
		},
		{
			"ended and not recorded",
			[]plan.RunState{started},
			in(plan.StateExited, at),
			plan.Plan{Steps: []plan.Step{ended}},
			line{State: "Failed", Reason: "exit", Code: 2, Actual: "exited", InSync: true, Runs: []string{"Failed"}},
		},
		{
			"to be stopped",
			[]plan.RunState{started},
			in(plan.StateRunning, at),
			plan.Plan{Steps: toStop},
			line{State: "Running", Code: -1, Actual: "running", InSync: true, Runs: []string{"Running"}},
		},
		{
			"recorded as stopped and going on",
			[]plan.RunState{halted},
			in(plan.StateRunning, at),
			plan.Plan{},
			line{State: "Running", Code: -1, Actual: "running", InSync: true, Runs: []string{"Running"}},
		},
		{
			"stopped",
			[]plan.RunState{halted},
			in(plan.StateExited, at),
			plan.Plan{},
			line{State: "Failed", Reason: "stopped", Code: -1, Actual: "exited", InSync: true, Runs: []string{"Failed"}},
		},
		{
			"gone after its end",
			[]plan.RunState{failed},
			nil,
			plan.Plan{},
			line{State: "Failed", Reason: "exit", Code: 2, Actual: "absent", InSync: true, Runs: []string{"Failed"}},
		},
		{
			"what has run is not pending",
			[]plan.RunState{failed},
			nil,
			plan.Plan{Held: hold(plan.CodePending, false)},
			line{State: "Failed", Reason: "exit", Code: 2, Actual: "absent", Runs: []string{"Failed"}},
		},
		{
			"run again",
			[]plan.RunState{failed, again},
			append(in(plan.StateExited, at), second),
			plan.Plan{},
			line{State: "Running", Code: -1, Actual: "running", InSync: true, Runs: []string{"Running", "Failed"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := plan.Observed{Objects: tt.objects}
			for _, rs := range tt.records {
				o.Records.Records = append(o.Records.Records, *record(rs))
			}
			got := line{Code: -1}
			for _, st := range reconcile.Summarize(plan.Desired{Resources: []plan.Resource{task("a")}}, o, tt.plan) {
				if st.Orphan {
					got.Orphans++
					continue
				}
				got.State, got.Reason, got.Actual, got.InSync = st.State, st.PhaseReason, st.Actual, st.InSync
				if st.ExitCode != nil {
					got.Code = *st.ExitCode
				}
				for _, r := range st.Runs {
					got.Runs = append(got.Runs, string(r.Phase))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("nothing asks for it", func(t *testing.T) {
		o := plan.Observed{Objects: in(plan.StateExited, at), Records: plan.Records{Records: []plan.Record{*record(failed)}}}
		all := reconcile.Summarize(plan.Desired{}, o, plan.Plan{})
		if len(all) != 1 || !all[0].Orphan || all[0].State != "Failed" || *all[0].ExitCode != 2 {
			t.Errorf("statuses %+v", all)
		}
	})
}

func record(rs plan.RunState) *plan.Record {
	r := rs.Record(taskID("a"), testNow)
	return &r
}

// TestRunStatusJSON holds the names that scripts read.
func TestRunStatusJSON(t *testing.T) {
	code := 0
	st := reconcile.RunStatus{
		Run: "1784160000", Name: "c-1784160000", Phase: plan.RunCompleted, ExitCode: &code, Started: testNow, Finished: testNow,
		Container: "h1", Actual: "exited", Digest: "v1:d", Inputs: map[string]string{"image:x": "y"}, Image: "x", Kept: true,
	}
	got, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"run":"1784160000","name":"c-1784160000","phase":"Completed","exit_code":0,"started":"2026-03-04T05:06:07Z",` +
		`"finished":"2026-03-04T05:06:07Z","container":"h1","actual":"exited","digest":"v1:d","inputs":{"image:x":"y"},"image":"x","kept":true}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}
