// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// TestOtherRoot: the same workspace run from elsewhere is seen as it is. Steps
// touch it only after it was observed, so that a planner could decide to.
func TestOtherRoot(t *testing.T) {
	here := newBed(t, nil)
	there := newBed(t, func(o *podman.Options) { o.Owner = "owner-2" })
	there.d.Root = "/elsewhere"
	id := there.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	obj := there.start(t, id)

	for _, op := range []plan.Op{plan.OpStart, plan.OpStop, plan.OpActivate, plan.OpDelete} {
		here.refuse(t, on(op, obj), "belongs to the workspace at /elsewhere; it is left alone")
	}
	same := newBed(t, nil)
	same.d.Root = "/elsewhere"
	same.refuse(t, on(plan.OpDelete, obj), "was made with other records (owner-2)")

	got := here.object(t, id)
	if got.Root != "/elsewhere" || got.Owner != "owner-2" || got.State != plan.StateRunning {
		t.Errorf("observed %+v, want root /elsewhere and owner-2, running", got)
	}
	here.do(t, on(plan.OpDelete, got)) // --adopt
	if n := len(here.observe(t).Objects); n != 0 {
		t.Errorf("%d objects, want none", n)
	}
}

// TestForeignSupport: networks, volumes and secrets of others with our names.
func TestForeignSupport(t *testing.T) {
	b := newBed(t, nil)
	conn := podmantest.Conn(t)
	id := plan.ID{Kind: plan.Volume, Name: "v"}
	name := b.d.Workspace + "-v"
	b.add(plan.Resource{ID: id, Name: name, Spec: plan.Spec{Volume: &plan.VolumeSpec{}}})
	b.wantNetwork()
	secret := plan.ID{Kind: plan.Secret, Name: "s"}
	b.add(plan.Resource{ID: secret, Name: b.d.Workspace + "-s", Spec: plan.Spec{Secret: &plan.SecretSpec{Ref: "secret:x"}}})
	_, err := volumes.Create(conn, types.VolumeCreateOptions{Name: name}, nil)
	must(t, err)
	t.Cleanup(func() { must(t, volumes.Remove(conn, name, nil)) })
	keep(t, b.d.Workspace+"-s", "v")

	o := b.observe(t)
	if len(o.Objects) != 0 || len(o.Foreign) != 2 || o.Foreign[0].ID != secret || o.Foreign[1].ID != id {
		t.Fatalf("objects %v, foreign %v; want the secret and the volume as foreign", o.Objects, o.Foreign)
	}
	b.refuse(t, b.step(t, id), "the name belongs to another volume")
	stranger := o.Foreign[1]
	b.refuse(t, on(plan.OpDelete, stranger), "is not ours")
}

// TestVolumeOfTheSameName: a handle never means a later volume.
func TestVolumeOfTheSameName(t *testing.T) {
	b := newBed(t, nil)
	conn := podmantest.Conn(t)
	id := plan.ID{Kind: plan.Volume, Name: "v"}
	name := b.d.Workspace + "-v"
	b.add(plan.Resource{ID: id, Name: name, Spec: plan.Spec{Volume: &plan.VolumeSpec{}}})
	obj := b.create(t, id)
	must(t, volumes.Remove(conn, name, nil))
	_, err := volumes.Create(conn, types.VolumeCreateOptions{Name: name}, nil)
	must(t, err)
	t.Cleanup(func() { must(t, volumes.Remove(conn, name, nil)) })
	b.do(t, on(plan.OpDelete, obj)) // it is gone already
	if _, err := volumes.Inspect(conn, name, nil); err != nil {
		t.Errorf("the later volume: %v, want it untouched", err)
	}
}
