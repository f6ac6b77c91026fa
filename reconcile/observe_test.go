// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

// A dry run that could act, would act some day: the file it lives in must not
// even name what acts or writes.
func TestDryRunNamesNoWriter(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "observe.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		switch id.Name {
		case "Runtime", "Keeper", "Store", "Apply", "Pass", "Do", "Put":
			t.Errorf("observe.go names %s", id.Name)
		case "DryRun":
			found = true
		}
		return true
	})
	if !found {
		t.Error("observe.go has no DryRun")
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	rt.Foreign("acme-b")
	d := desired(instance("a"), instance("b"))
	before := rt.Things()
	p, o, err := reconcile.DryRun(t.Context(), rt, mem, d, plan.Options{Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Changes) != 2 || len(p.Steps) == 0 || len(o.Foreign) != 1 {
		t.Errorf("%d changes, %d steps, %d foreign; want 2, some, 1", len(p.Changes), len(p.Steps), len(o.Foreign))
	}
	if diff := cmp.Diff(before, rt.Things()); diff != "" {
		t.Errorf("the runtime changed (-before +after):\n%s", diff)
	}
	if n := len(rt.Journal()); n != 0 {
		t.Errorf("%d steps reached the runtime", n)
	}
	if len(mem.records)+len(mem.specs)+len(mem.converged) != 0 {
		t.Error("something was remembered")
	}
}

func TestDryRunExplainsWithSpecs(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	d := desired(instance("a"), instance("b"))
	converge(t, rt, mem, d)

	reads := mem.specReads
	if p, _, err := reconcile.DryRun(t.Context(), rt, mem, d, plan.Options{Now: testNow}); err != nil || len(p.Changes) != 0 {
		t.Fatalf("changes %v, error %v; want none", p.Changes, err)
	}
	if mem.specReads != reads {
		t.Error("specs were read although nothing changed")
	}

	changed := instance("a")
	changed.Spec.Container.WorkDir = "/srv"
	p, _, err := reconcile.DryRun(t.Context(), rt, mem, desired(changed, instance("b")), plan.Options{Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Changes) != 1 || !strings.Contains(string(p.Changes[0].Before), testImage) {
		t.Fatalf("changes %+v; want one, with its spec before", p.Changes)
	}
	if diff := cmp.Diff([]string{"workDir"}, p.Changes[0].ReplacePaths); diff != "" {
		t.Errorf("replace paths (-want +got):\n%s", diff)
	}
}

func TestObserveFails(t *testing.T) {
	rt := newRuntime()
	rt.SetDown(true)
	_, err := reconcile.Observe(t.Context(), rt, newMemory(), desired())
	if !errors.Is(err, reconciletest.ErrDown) || !strings.Contains(err.Error(), "observe workspace acme: ") {
		t.Errorf("error %v, want that the runtime is down", err)
	}
}

// Damaged records are facts that are missing: nothing is pruned, and nothing
// that may exist is made.
func TestObserveWithDamagedRecords(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	converge(t, rt, mem, desired(instance("a"), instance("b"), instance("c")))
	mem.loadErr = errors.Join(errors.New("record x.json is damaged"), errors.New("record y.json is damaged"))
	p, o, err := reconcile.DryRun(t.Context(), rt, mem, desired(instance("a")), plan.Options{Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Reason{
		{Code: plan.CodeUnknown, Text: "record x.json is damaged", Origin: "workspace.yaml:1:1"},
		{Code: plan.CodeUnknown, Text: "record y.json is damaged", Origin: "workspace.yaml:1:1"},
	}
	if diff := cmp.Diff(want, o.Incomplete); diff != "" {
		t.Errorf("incomplete (-want +got):\n%s", diff)
	}
	if len(p.Steps) != 0 || len(p.Held) != 2 || p.Complete {
		t.Errorf("%d steps, %d held, complete %t; want 0, 2, false", len(p.Steps), len(p.Held), p.Complete)
	}
}
