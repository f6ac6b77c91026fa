// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"testing"

	"reconcile/reconcile/plan"
)

// conformanceCase is one rule of the contract.
type conformanceCase struct {
	name string
	run  func(t *testing.T, b *bench)
}

var conformanceCases = []conformanceCase{
	{"empty", testEmpty},
	{"container life", testContainerLife},
}

// testEmpty: nothing exists, nothing is foreign, and the image is a known fact.
func testEmpty(t *testing.T, b *bench) {
	b.container("a", nil)
	o := b.observe(t)
	if len(o.Objects) != 0 || len(o.Foreign) != 0 {
		t.Fatalf("objects %v, foreign %v; want none", o.Objects, o.Foreign)
	}
	fact := o.Inputs[plan.Input{Kind: plan.InputImage, Name: b.Image}]
	if fact.State != plan.FactKnown || fact.Value == "" || !fact.Local {
		t.Errorf("fact of the local image: %+v; want known, local, with a value", fact)
	}
}

// testContainerLife: create, start, stop, delete, and the states between.
func testContainerLife(t *testing.T, b *bench) {
	id := b.container("a", nil)
	obj := b.made(t, id)
	if obj.Handle == "" || obj.ID != id || obj.State != plan.StateCreated {
		t.Fatalf("created %+v; want a handle, the id, state created", obj)
	}
	got := b.seen(t, obj.Handle)
	if got.State != plan.StateCreated || !got.Started.IsZero() || got.Created.IsZero() {
		t.Errorf("after create: state %s, started %v, created %v", got.State, got.Started, got.Created)
	}

	b.do(t, on(plan.OpStart, obj))
	b.do(t, on(plan.OpWait, obj))
	got = b.seen(t, obj.Handle)
	if got.State != plan.StateRunning || got.Started.IsZero() || !got.Finished.IsZero() {
		t.Errorf("after start: state %s, started %v, finished %v", got.State, got.Started, got.Finished)
	}
	if len(got.Drift) != 0 {
		t.Errorf("after start: drift %v, want none", got.Drift)
	}

	b.do(t, on(plan.OpStop, obj))
	got = b.seen(t, obj.Handle)
	if got.State != plan.StateExited || got.Finished.IsZero() {
		t.Errorf("after stop: state %s, finished %v", got.State, got.Finished)
	}

	b.do(t, on(plan.OpDelete, obj))
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("after delete: %v, want nothing", left)
	}
}
