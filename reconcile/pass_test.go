// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

// pass runs one pass that must succeed as far as passes go.
func pass(t *testing.T, rt reconcile.Runtime, k reconcile.Keeper, d plan.Desired, opts plan.Options) reconcile.PassResult {
	t.Helper()
	opts.Now = testNow
	res, err := reconcile.Pass(t.Context(), rt, k, d, reconcile.PassOptions{Plan: opts})
	if err != nil {
		t.Fatalf("pass: %v", err)
	}
	return res
}

// converge runs a pass after which nothing is left to do.
func converge(t *testing.T, rt reconcile.Runtime, k reconcile.Keeper, d plan.Desired) {
	t.Helper()
	if err := pass(t, rt, k, d, plan.Options{}).Outcome.Err(); err != nil {
		t.Fatalf("apply: %v", err)
	}
	if again := pass(t, rt, k, d, plan.Options{}); len(again.Plan.Changes)+len(again.Plan.Steps) != 0 {
		t.Fatalf("second plan is not empty: %v %v", again.Plan.Changes, again.Plan.Steps)
	}
}

func ids(steps []plan.Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.ID)
	}
	return out
}

func TestPassConvergesWithAStoreOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "workspaces", testWorkspace)
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	rt := reconciletest.New(reconciletest.Options{Owner: store.Owner()})
	rt.AddImage(testImage, "sha256:a1")
	a, b := instance("a"), instance("b", agent("a"))
	a.Spec.Container.Ports = []plan.Port{{HostIP: "127.0.0.1", Container: 80, Protocol: "tcp"}}

	first := pass(t, rt, store, desired(a, b), plan.Options{})
	if err := first.Outcome.Err(); err != nil {
		t.Fatal(err)
	}
	for _, st := range first.Status {
		if !st.InSync || len(st.Reasons) != 0 {
			t.Errorf("%s: in sync %t, reasons %v", st.ID, st.InSync, st.Reasons)
		}
	}
	if got := store.Converged(); len(got) != 3 {
		t.Errorf("converged %v, want both agents and the network", got)
	}
	if got := store.Specs([]string{a.Spec.Digest(), b.Spec.Digest()}); len(got) != 2 {
		t.Errorf("%d specs, want 2", len(got))
	}

	observations := rt.Observations()
	second := pass(t, rt, store, desired(a, b), plan.Options{})
	if len(second.Plan.Steps) != 0 || second.Plan.Unchanged != 3 || len(second.Outcome.Steps) != 0 {
		t.Errorf("second pass: steps %v, unchanged %d", ids(second.Plan.Steps), second.Plan.Unchanged)
	}
	if n := rt.Observations() - observations; n != 1 {
		t.Errorf("a pass with nothing to do observed %d times", n)
	}

	// A replacement takes the port that was chosen first.
	ports := func() []plan.Port {
		i := slices.IndexFunc(rt.Things(), func(o plan.Object) bool { return o.ID == a.ID })
		return rt.Things()[i].Ports
	}
	was := ports()
	a.Spec.Container = new(*a.Spec.Container)
	a.Spec.Container.WorkDir = "/srv"
	third := pass(t, rt, store, desired(a, b), plan.Options{})
	if err := third.Outcome.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, ports()); diff != "" {
		t.Errorf("ports after replacement (-want +got):\n%s", diff)
	}
	converge(t, rt, store, desired(a, b))
}

func TestPassStopsWhenToldSo(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	stop := errors.New("not approved")
	var planned plan.Plan
	res, err := reconcile.Pass(t.Context(), rt, mem, desired(instance("a")), reconcile.PassOptions{
		Planned: func(p plan.Plan) error {
			planned = p
			return stop
		},
	})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want %v", err, stop)
	}
	if len(planned.Steps) == 0 || len(res.Plan.Steps) != len(planned.Steps) {
		t.Errorf("planned %d steps, result has %d", len(planned.Steps), len(res.Plan.Steps))
	}
	if n := len(rt.Journal()); n != 0 {
		t.Errorf("%d steps reached the runtime", n)
	}
}

func TestPassReportsFailures(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	boom := errors.New("boom")
	rt.Hook(func(_ int, s plan.Step) error {
		if s.Op == plan.OpStart && s.Target == agent("a") {
			return boom
		}
		return nil
	}, nil)
	d := desired(instance("a"), instance("b", agent("a")), instance("c"))
	res := pass(t, rt, mem, d, plan.Options{})
	if !errors.Is(res.Outcome.Err(), boom) {
		t.Errorf("outcome %v, want %v", res.Outcome.Err(), boom)
	}
	words := map[string]reconcile.Word{}
	for _, st := range res.Status {
		words[st.ID.String()] = st.State
	}
	want := map[string]reconcile.Word{
		"manifest/a": reconcile.WordCreated, "manifest/b": reconcile.WordCreated,
		"manifest/c": reconcile.WordRunning, "network/acme": reconcile.WordPresent,
	}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	rt.Hook(nil, nil)
	converge(t, rt, mem, d)
}

func TestPassInterrupted(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	ctx, cancel := context.WithCancel(t.Context())
	rt.Hook(nil, func(_ int, s plan.Step) error {
		if s.Op == plan.OpCreate && s.Target.Kind == plan.Manifest {
			cancel()
		}
		return nil
	})
	d := desired(instance("a"), instance("b"))
	res, err := reconcile.Pass(ctx, rt, mem, d, reconcile.PassOptions{Apply: reconcile.ApplyOptions{Parallel: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Outcome.Interrupted || len(res.After.Objects) != 2 {
		t.Errorf("interrupted %t, objects %v; want true, the network and one agent", res.Outcome.Interrupted, res.After.Objects)
	}
	rt.Hook(nil, nil)
	converge(t, rt, mem, d)
}

func TestPassRuntimeStopsMidway(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	rt.Hook(func(n int, _ plan.Step) error {
		if n == 3 {
			rt.SetDown(true)
		}
		return nil
	}, nil)
	d := desired(instance("a"), instance("b"))
	res, err := reconcile.Pass(t.Context(), rt, mem, d, reconcile.PassOptions{})
	if !errors.Is(err, reconciletest.ErrDown) || !errors.Is(res.Outcome.Err(), reconciletest.ErrDown) {
		t.Errorf("error %v, outcome %v; want that the runtime is down", err, res.Outcome.Err())
	}
	if len(res.Status) != 3 {
		t.Errorf("%d statuses, want 3 as last known", len(res.Status))
	}
	rt.Hook(nil, nil)
	rt.SetDown(false)
	converge(t, rt, mem, d)
}

func TestPassTakesOver(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	d := desired(instance("a"))
	converge(t, rt, mem, d)

	moved := d
	moved.Root = "/srv/elsewhere"
	if res := pass(t, rt, mem, moved, plan.Options{}); len(res.Plan.Refused) == 0 || len(res.Plan.Steps) != 0 {
		t.Fatalf("refused %v, steps %v; want a refusal", res.Plan.Refused, ids(res.Plan.Steps))
	}
	if len(mem.accepted) != 0 {
		t.Errorf("accepted %v without being told", mem.accepted)
	}
	pass(t, rt, mem, moved, plan.Options{Adopt: true})
	if res := pass(t, rt, mem, moved, plan.Options{}); len(res.Plan.Refused) != 0 {
		t.Errorf("refused after adoption: %v", res.Plan.Refused)
	}

	mem.owner = "owner-2"
	for _, obj := range rt.Things() {
		if obj.Role == plan.RoleInstance {
			rt.Stop(obj.Handle)
		}
	}
	if res := pass(t, rt, mem, d, plan.Options{}); len(res.Plan.Steps) != 0 || len(res.Plan.Refused) == 0 {
		t.Errorf("with lost records: steps %v, refused %v", ids(res.Plan.Steps), res.Plan.Refused)
	}
	if err := pass(t, rt, mem, d, plan.Options{AcceptLostRecords: true}).Outcome.Err(); err != nil {
		t.Fatal(err)
	}
	converge(t, rt, mem, d)
}

// Accepting lost records once took over what another root runs, in the pass
// after the one that refused it.
func TestLostRecordsTakeOverNoOtherRoot(t *testing.T) {
	rt, theirs := newRuntime(), newMemory()
	d := desired(instance("a"))
	converge(t, rt, theirs, d)

	ours := newMemory()
	ours.owner = "owner-2"
	moved := d
	moved.Root = "/srv/elsewhere"
	for _, opts := range []plan.Options{{AcceptLostRecords: true}, {}} {
		if res := pass(t, rt, ours, moved, opts); len(res.Plan.Refused) == 0 || len(res.Plan.Steps) != 0 {
			t.Errorf("%+v: refused %v, steps %v; want a refusal", opts, res.Plan.Refused, ids(res.Plan.Steps))
		}
	}
	if len(ours.accepted) != 0 {
		t.Errorf("accepted %v of another root", ours.accepted)
	}
}
