// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

func taskID(name string) plan.ID { return plan.ID{Kind: plan.Task, Name: name} }

func cronID(name string) plan.ID { return plan.ID{Kind: plan.CronTask, Name: name} }

// keyOf is the key of a version of a Task's own spec.
func keyOf(version string) string { return strings.Repeat("0", 12-len(version)) + version }

// task is a Task, of the first version, with the command; none runs until it is
// ended.
func task(name string, command ...string) plan.Resource {
	id := taskID(name)
	return plan.Resource{
		ID: id, Name: testWorkspace + "-task-" + name, Origin: name + ".yaml:1:1", Want: plan.WantOnce,
		Spec: plan.Spec{Container: &plan.ContainerSpec{
			Image: testImage, Helper: true, Main: plan.Process{Command: command},
			Task: &plan.TaskSpec{Dir: plan.RunsDir("/state", testWorkspace, id)},
		}},
		Run: &plan.Run{Key: keyOf("1")},
	}
}

// cron is a CronTask that is run every minute.
func cron(name string, command ...string) plan.Resource {
	r := task(name, command...)
	r.ID = cronID(name)
	r.Spec.Container.Task.Dir = plan.RunsDir("/state", testWorkspace, r.ID)
	r.Run = &plan.Run{Cron: &plan.Cron{Schedule: "* * * * *", Policy: plan.CronForbid, Deadline: -1, Completed: 3, Failed: 1}}
	return r
}

// starts counts the starts of containers, by the name of what they run.
func starts(rt *reconciletest.Runtime) map[string]int {
	out := map[string]int{}
	for _, s := range rt.Journal() {
		if s.Op == plan.OpStart && s.RunName != "" {
			out[s.RunName+" "+s.Run]++
		}
	}
	return out
}

// containers are those of a resource, the oldest first.
func containers(rt *reconciletest.Runtime, id plan.ID) []plan.Object {
	return slices.DeleteFunc(rt.Things(), func(o plan.Object) bool { return o.ID != id || o.Workspace == "" })
}

// statusOf is the status of a resource in a list.
func statusOf(t *testing.T, all []reconcile.Status, id plan.ID) reconcile.Status {
	t.Helper()
	for _, st := range all {
		if st.ID == id && !st.Orphan {
			return st
		}
	}
	t.Fatalf("no status of %s", id)
	return reconcile.Status{}
}

// runRecord is what is recorded of a run.
func runRecord(t *testing.T, m reconcile.Memory, id plan.ID, key string) plan.RunState {
	t.Helper()
	records, err := m.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, rs := range plan.RunsOf(records, id) {
		if rs.Key == key {
			return rs
		}
	}
	return plan.RunState{}
}

func TestPassRunsATask(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	d := desired(task("a"))
	res := pass(t, rt, mem, d, plan.Options{})
	if err := res.Outcome.Err(); err != nil {
		t.Fatal(err)
	}
	st := statusOf(t, res.Status, taskID("a"))
	if st.State != "Running" || st.Phase != plan.RunRunning || !st.InSync || len(st.Runs) != 1 || st.Runs[0].Actual != "running" {
		t.Errorf("status %+v", st)
	}
	obj := containers(rt, taskID("a"))[0]
	rs := runRecord(t, mem, taskID("a"), keyOf("1"))
	if rs.Phase != plan.RunRunning || rs.Container != obj.Handle || rs.Digest != obj.Digest || rs.Started.IsZero() || len(rs.Inputs) != 1 || !rs.Kept {
		t.Errorf("record %+v, of %+v", rs, obj)
	}
	again := pass(t, rt, mem, d, plan.Options{})
	if len(again.Plan.Steps) != 0 {
		t.Fatalf("second plan: %v", ids(again.Plan.Steps))
	}

	rt.EndRun(obj.Handle, 3)
	before := summarize(t, rt, mem, d)[obj.Name]
	if before.Phase != plan.RunFailed || before.PhaseReason != plan.FailedExit || before.ExitCode == nil || *before.ExitCode != 3 {
		t.Errorf("before the end is recorded: %+v", before)
	}
	res = pass(t, rt, mem, d, plan.Options{})
	st = statusOf(t, res.Status, taskID("a"))
	if st.State != "Failed" || st.PhaseReason != plan.FailedExit || *st.ExitCode != 3 || st.Finished.IsZero() || !st.InSync {
		t.Errorf("status %+v", st)
	}
	if got := runRecord(t, mem, taskID("a"), keyOf("1")); got.Phase != plan.RunFailed || got.Code != 3 {
		t.Errorf("record %+v", got)
	}
	rec := reconcile.RecordOf(res, reconcile.Loaded{Desired: d}, nil, time.Now())
	if len(rec.Runs) != 1 || rec.Runs[0].Phase != plan.RunFailed || rec.Runs[0].Name != "a" || *rec.Runs[0].ExitCode != 3 || rec.ExitCode != 0 {
		t.Errorf("history %+v", rec)
	}
	if n := len(pass(t, rt, mem, d, plan.Options{}).Plan.Steps); n != 0 {
		t.Errorf("%d steps after the end", n)
	}
}
