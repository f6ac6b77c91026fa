// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"testing"
	"time"

	"reconcile/reconcile/plan"
)

// BenchmarkNewRuns plans a workspace of 1,000 Tasks, or CronTasks. floor is of as
// many agents that run.
func BenchmarkNewRuns(b *testing.B) {
	for _, state := range []string{"new", "completed", "edited", "queued", "to-stop", "removed", "ten-runs-each", "cron"} {
		b.Run(state, func(b *testing.B) {
			d, o := manyRuns(state)
			b.ReportAllocs()
			for b.Loop() {
				plan.New(d, o, plan.Options{Now: testNow, AllowMassDelete: true})
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		d, o := large("converged")
		b.ReportAllocs()
		for b.Loop() {
			plan.New(d, o, plan.Options{Now: testNow})
		}
	})
}

// manyRuns are 1,000 Tasks, or CronTasks, of an Agent that runs five at once.
func manyRuns(state string) (plan.Desired, plan.Observed) {
	d := plan.Desired{Workspace: "acme", Root: testRoot}
	o := plan.Observed{Inputs: map[plan.Input]plan.Fact{runImage: {State: plan.FactKnown, Value: "sha256:one"}}}
	o.Records.Owner = testOwner
	for i := range 1000 {
		id := taskID(fmt.Sprintf("task-%03d", i))
		r := plan.Resource{
			ID: id, Name: "acme-task-" + id.Name, Origin: "tasks.yaml:1:1", Want: plan.WantOnce,
			Run: &plan.Run{Key: "k1", Group: "agent/y", Max: 5, TTL: 7 * 24 * time.Hour},
			Spec: plan.Spec{Container: &plan.ContainerSpec{
				Image: runImage.Name, Helper: true, Env: []plan.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
				Task: &plan.TaskSpec{Dir: "/runs/" + id.Name},
			}},
		}
		if state == "cron" {
			r.ID.Kind = plan.CronTask
			r.Run = &plan.Run{Group: "agent/y", Max: 5, Cron: &plan.Cron{Schedule: "30 2 * * *", Zone: "Europe/Berlin", Deadline: -1, Completed: 3, Failed: 1}}
		}
		if state != "removed" {
			d.Resources = append(d.Resources, r)
		}
		ran(&o, r, state)
	}
	return d, o
}

// ran has r have run, or be on its way, before now.
func ran(o *plan.Observed, r plan.Resource, state string) {
	before := testNow.Add(-time.Hour)
	s := plan.RunState{
		Key: "k1", Name: r.ID.Name, Order: 1, Group: r.Run.Group, Phase: plan.RunCompleted, Digest: r.Spec.Digest(),
		Inputs: map[string]string{runImage.String(): "sha256:one"}, Kept: true, Started: before, Finished: before, Container: r.Name,
	}
	record := func(s plan.RunState) { o.Records.Records = append(o.Records.Records, s.Record(r.ID, before)) }
	switch state {
	case "new":
		return
	case "queued":
		s.Phase, s.Kept = plan.RunQueued, false
		record(s)
		return
	case "edited":
		r.Run.Key = "k2"
	case "to-stop":
		o.Records.Records = append(o.Records.Records, plan.Record{
			ID: r.ID, Kind: plan.RecordWish, Key: plan.WishStop, At: before, Data: map[string]string{"wanted": "true"},
		})
	case "ten-runs-each":
		for i := range 9 {
			old := s
			old.Key, old.Kept = fmt.Sprintf("k0.%d", i), false
			record(old)
		}
	case "cron":
		s.Key = fmt.Sprint(before.Unix())
		o.Records.Records = append(o.Records.Records, plan.Record{
			ID: r.ID, Kind: plan.RecordSlot, Data: map[string]string{"last": s.Key, "schedule": "30 2 * * * Europe/Berlin"},
		})
	}
	record(s)
	o.Objects = append(o.Objects, plan.Object{
		ID: r.ID, Handle: s.Container, Name: r.Name, Root: testRoot, Owner: testOwner, Role: plan.RoleInstance, Run: s.Key,
		State: plan.StateExited, Digest: s.Digest, Inputs: s.Inputs, Created: before, Started: before, Finished: before,
	})
}
