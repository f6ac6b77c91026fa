// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// testLabels: what a create is told comes back with every observation.
func testLabels(t *testing.T, b *bench) {
	ids := []plan.ID{b.container("a", nil), b.network()}
	spaced := b.resource(ids[0])
	spaced.ID.Namespace, spaced.Name = "team-b", b.d.Workspace+"-team-b-a"
	b.want(spaced)
	ids = append(ids, spaced.ID)

	for _, id := range ids {
		obj := b.made(t, id)
		want := plan.Object{
			ID: id, Handle: obj.Handle, Name: b.resource(id).Name,
			Workspace: b.d.Workspace, Root: b.d.Root, Revision: b.d.Revision,
			Owner: b.Owner, Role: id.Kind.Role(), Digest: "v1:digest-of-" + id.Name,
			Inputs: b.createStep(b.observe(t), id).Bound,
		}
		for from, got := range map[string]plan.Object{"create": obj, "observe": b.seen(t, obj.Handle)} {
			identity := plan.Object{
				ID: got.ID, Handle: got.Handle, Name: got.Name,
				Workspace: got.Workspace, Root: got.Root, Revision: got.Revision,
				Owner: got.Owner, Role: got.Role, Digest: got.Digest, Inputs: got.Inputs,
			}
			if len(identity.Inputs) == 0 {
				identity.Inputs = want.Inputs
			}
			if diff := cmp.Diff(want, identity); diff != "" {
				t.Errorf("%s: object from %s (-want +got):\n%s", id, from, diff)
			}
		}
		if id.Kind.Role() == plan.RoleSupport && b.seen(t, obj.Handle).State != plan.StateExists {
			t.Errorf("%s: state %s, want exists", id, b.seen(t, obj.Handle).State)
		}
	}
}

// testOrder: objects are sorted by ID, then creation.
func testOrder(t *testing.T, b *bench) {
	for _, name := range []string{"c", "a", "b"} {
		b.made(t, b.container(name, nil))
	}
	second := b.createStep(b.observe(t), plan.ID{Kind: plan.Manifest, Name: "a"})
	second.Name += "-next"
	b.do(t, second)

	o := b.observe(t)
	var got []string
	for _, obj := range o.Objects {
		got = append(got, obj.Name)
	}
	prefix := b.d.Workspace + "-"
	if diff := cmp.Diff([]string{prefix + "a", prefix + "a-next", prefix + "b", prefix + "c"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// testActivate: an object gets its proper name when that is free.
func testActivate(t *testing.T, b *bench) {
	id := b.container("a", nil)
	old := b.made(t, id)
	create := b.createStep(b.observe(t), id)
	create.Name += "-next"
	next := b.do(t, create)
	if next.Handle == old.Handle || next.Name != create.Name {
		t.Fatalf("created %s as %s beside %s, want another object named %s", next.Handle, next.Name, old.Handle, create.Name)
	}

	activate := on(plan.OpActivate, next)
	activate.Name = old.Name
	b.refuse(t, activate, old.Name)
	b.do(t, on(plan.OpDelete, old))
	b.do(t, activate)
	b.do(t, activate)
	if got := b.seen(t, next.Handle); got.Name != old.Name {
		t.Errorf("name %s, want %s", got.Name, old.Name)
	}
}

// testForeign: who holds our name without our labels is reported and never
// touched, whatever a step says.
func testForeign(t *testing.T, b *bench) {
	id := b.container("a", nil)
	other := b.container("b", nil)
	name := b.resource(id).Name
	b.Foreign(t, name)

	o := b.observe(t)
	if len(o.Objects) != 0 || len(o.Foreign) != 1 {
		t.Fatalf("objects %v, foreign %v; want one foreign object", o.Objects, o.Foreign)
	}
	f := o.Foreign[0]
	if f.Name != name || f.ID.Kind != id.Kind || f.Handle == "" || f.State != plan.StateRunning {
		t.Errorf("foreign object %+v; want name %s, kind %s, a handle, state running", f, name, id.Kind)
	}

	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id})
	b.refuse(t, b.createStep(o, id), name)
	f.ID = id
	b.refuse(t, on(plan.OpDelete, f), name)
	b.refuse(t, on(plan.OpStop, f), name)
	b.refuse(t, on(plan.OpStart, f), name)
	next := b.made(t, other)
	activate := on(plan.OpActivate, next)
	activate.Name = name
	b.refuse(t, activate, name)

	got := b.observe(t)
	if len(got.Foreign) != 1 || got.Foreign[0].Handle != f.Handle || got.Foreign[0].State != plan.StateRunning {
		t.Errorf("foreign after all that: %v, want %s still running", got.Foreign, f.Handle)
	}
	b.Remove(t, f.Handle)
}

// testOtherWorkspace: the objects of another workspace are foreign to ours.
func testOtherWorkspace(t *testing.T, b *bench) {
	id := b.container("a", nil)
	theirs := b.running(t, id)

	ours := *b
	ours.d.Workspace += "-other"
	o := ours.observe(t)
	if len(o.Objects) != 0 || len(o.Foreign) != 1 || o.Foreign[0].Handle != theirs.Handle {
		t.Fatalf("objects %v, foreign %v; want %s as foreign", o.Objects, o.Foreign, theirs.Handle)
	}
	ours.refuse(t, on(plan.OpDelete, theirs), theirs.Name)
	ours.refuse(t, on(plan.OpStop, theirs), theirs.Name)
	ours.refuse(t, ours.createStep(o, id), theirs.Name)
	if got := b.seen(t, theirs.Handle); got.State != plan.StateRunning {
		t.Errorf("state %s, want running", got.State)
	}
}

// testWrongTarget: a step acts on an object of its own target only.
func testWrongTarget(t *testing.T, b *bench) {
	obj := b.running(t, b.container("a", nil))
	wrong := obj
	wrong.ID = b.container("b", nil)
	b.refuse(t, on(plan.OpDelete, wrong), obj.Name)
	b.refuse(t, on(plan.OpStop, wrong), obj.Name)
	if got := b.seen(t, obj.Handle); got.State != plan.StateRunning {
		t.Errorf("state %s, want running", got.State)
	}
}

// testNameTaken: a create does not take what was made of another spec for its
// own.
func testNameTaken(t *testing.T, b *bench) {
	id := b.container("a", nil)
	obj := b.made(t, id)
	create := b.createStep(b.observe(t), id)
	create.Digest += "-changed"
	b.refuse(t, create, obj.Name)
	handles := func() (out []string) {
		for _, o := range b.observe(t).Objects {
			out = append(out, o.Handle)
		}
		return out
	}
	if got := handles(); !slices.Equal(got, []string{obj.Handle}) {
		t.Errorf("objects %v, want %s alone", got, obj.Handle)
	}
}
