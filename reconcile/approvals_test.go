// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

// What is approved is seen by a store that is open, and survives it.
func TestApprove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "workspaces", testWorkspace)
	id := agent("a")
	grants := []plan.Grant{{Key: "secret token"}, {Key: "host-path rw ./data"}}
	if err := reconcile.Approve(t.Context(), dir, plan.Approval(id, grants, testNow)); err != nil {
		t.Fatal(err)
	}
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	approved := func() []string {
		records, err := store.Load()
		if err != nil {
			t.Fatal(err)
		}
		return plan.ApprovedHere(records, id)
	}
	if diff := cmp.Diff([]string{"host-path rw ./data", "secret token"}, approved()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := reconcile.Approve(t.Context(), dir, plan.Approval(id, grants[:1], testNow)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"secret token"}, approved()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := reconcile.Approve(t.Context(), dir, plan.Record{ID: id, Kind: plan.RecordPorts}); err == nil {
		t.Error("a record of ports was taken for an approval")
	}
}

// After a pass, what is held for want of approval is told by what it adds, and
// not by all that it has.
func TestPassTellsWhatIsNotApproved(t *testing.T) {
	mem := newMemory()
	rt := reconciletest.New(reconciletest.Options{Owner: mem.owner})
	rt.AddImage(testImage, "sha256:a1")
	a, b := instance("a"), instance("b")
	port := func(n uint16) plan.Port {
		return plan.Port{HostIP: "0.0.0.0", HostPort: n, Container: n, Protocol: "tcp"}
	}
	a.Spec.Container.Ports = []plan.Port{port(80)}
	converge(t, rt, mem, desired(a, b))

	a.Spec.Container, b.Spec.Container = new(*a.Spec.Container), new(*b.Spec.Container)
	a.Spec.Container.Ports = []plan.Port{port(80), port(90)}
	b.Spec.Container.WorkDir = "/srv"
	res := pass(t, rt, mem, desired(a, b), plan.Options{RequireApproval: true})
	if err := res.Outcome.Err(); err != nil || len(res.Outcome.Steps) == 0 {
		t.Fatalf("%d steps, %v", len(res.Outcome.Steps), err)
	}
	i := slices.IndexFunc(res.Status, func(st reconcile.Status) bool { return st.ID == a.ID })
	if st := res.Status[i]; len(st.Reasons) != 1 || st.Reasons[0].Code != plan.CodeAuthority {
		t.Errorf("reasons: %v, want the one port that is new", st.Reasons)
	}
}
