// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

// What a kept plan records of a TaskAgent holds from then on, and not from the end of
// the pass: the pass may delete what the revision before is made with.
func TestDaemonTellsOfSavedPlan(t *testing.T) {
	d, _, said := testDaemon(t)
	rt := reconciletest.New(reconciletest.Options{Owner: d.store.Owner()})
	rt.AddImage("localhost/x:1", "sha256:0001")
	d.rt, d.feed = rt, &refresher{app: d.app, at: location{dir: t.TempDir()}}
	d.agents.open(dispatch.NewDispatcher(dispatch.DispatcherOptions{Journal: dispatch.OpenFolder(t.TempDir())}), d.store.Store)

	id := plan.ID{Kind: plan.TaskAgent, Name: "a"}
	want := plan.Desired{Workspace: "acme", Resources: []plan.Resource{{
		ID: id, Name: "acme-run-a", Want: plan.WantPrepared, Replace: plan.Overlap,
		Spec:     plan.Spec{Container: &plan.ContainerSpec{Image: "localhost/x:1", Main: plan.Process{ImageCmd: true}}},
		Dispatch: &plan.Dispatch{Mode: plan.DeliverStdin, Name: "acme-run-a", Timeout: time.Minute},
	}}}
	opts := plan.Options{Now: time.Now()}
	p, seen, err := reconcile.DryRun(t.Context(), rt, d.store, want, opts)
	if err != nil {
		t.Fatal(err)
	}
	s := plan.Save(want, seen, opts, p, "")
	res, err := d.narrowed(t.Context(), savedFile{MAC: "00"}, s, reconcile.Loaded{Desired: want}, reconcile.PassRecord{})
	if err != nil || res.Outcome.Err() != nil {
		t.Fatal(err, res.Outcome.Err(), said)
	}
	if diff := cmp.Diff([]plan.ID{id}, d.agents.list()); diff != "" {
		t.Errorf("told of (-want +got)\n%s", diff)
	}
}
