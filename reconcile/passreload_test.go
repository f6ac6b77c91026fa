// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

// Hooks on the host may change what the rest of the pass was planned for.
func TestPassGoesOnWithWhatAHostHookMade(t *testing.T) {
	before, after := hooked("a", hook(plan.HookPreinstall, "1")), hooked("a", hook(plan.HookPreinstall, "1"))
	after.Spec.Container.WorkDir = "/made/by/the/hook"
	errMoved := errors.New("the folder is not what it was when the plan was made")

	tests := []struct {
		name   string
		reload func(n int) (plan.Desired, error)
		loads  int
		steps  []string              // of a that were done, waits left out
		failed string                // "" = converged
		told   []reconcile.StepState // of the first prepare, and what was skipped for it
	}{
		{
			"changed", func(int) (plan.Desired, error) { return desired(after), nil }, 1,
			[]string{"host", "prepare", "create", "start"},
			"",
			[]reconcile.StepState{reconcile.StepReplanned, reconcile.StepReplanned, reconcile.StepReplanned},
		},
		{
			"the same", func(int) (plan.Desired, error) { return desired(before), nil }, 1,
			[]string{"host"},
			errMoved.Error(),
			[]reconcile.StepState{reconcile.StepFailed, reconcile.StepSkipped, reconcile.StepSkipped},
		},
		{
			"broken", func(int) (plan.Desired, error) { return plan.Desired{}, errors.New("workspace has mistakes") }, 1,
			[]string{"host"},
			"workspace has mistakes",
			[]reconcile.StepState{reconcile.StepFailed, reconcile.StepSkipped, reconcile.StepSkipped},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rt, mem := reconciletest.New(reconciletest.Options{Owner: "owner-1", Now: time.Now}), newMemory()
			rt.AddImage(testImage, "sha256:a1")
			rt.Hook(func(_ int, s plan.Step) error {
				if s.Op == plan.OpPrepare && s.Digest == before.Spec.Digest() {
					return errMoved
				}
				return nil
			}, nil)
			loads, plans := 0, 0
			var told []reconcile.StepState
			res, err := reconcile.Pass(t.Context(), rt, mem, desired(before), reconcile.PassOptions{
				Planned: func(plan.Plan) error { plans++; return nil },
				Apply: reconcile.ApplyOptions{Progress: func(e reconcile.Event) {
					if e.State != reconcile.StepQueued && e.State != reconcile.StepStarted && e.State != reconcile.StepDone {
						told = append(told, e.State)
					}
				}},
				Reload: func(context.Context) (plan.Desired, error) {
					loads++
					return tt.reload(loads)
				},
			})
			err = errors.Join(err, res.Outcome.Err())
			if tt.failed == "" && err != nil || tt.failed != "" && (err == nil || !strings.Contains(err.Error(), tt.failed)) {
				t.Errorf("got %v, want %q", err, tt.failed)
			}
			if diff := cmp.Diff(tt.told, told); diff != "" {
				t.Errorf("what was told (-want +got):\n%s", diff)
			}
			if loads != tt.loads {
				t.Errorf("loaded %d times, want %d", loads, tt.loads)
			}
			var steps []string
			for _, st := range res.Outcome.Steps {
				if st.State == reconcile.StepDone && st.Step.Target == agent("a") && st.Step.Op != plan.OpWait {
					steps = append(steps, string(st.Step.Op))
				}
			}
			if diff := cmp.Diff(tt.steps, steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if got := len(rt.HookRuns()); got != 1 {
				t.Errorf("the hook ran %d times, want once", got)
			}
			if tt.failed == "" && (res.ExitCode(nil) != 0 || plans != 2) {
				t.Errorf("exit code %d after %d plans", res.ExitCode(nil), plans)
			}
		})
	}
}

// A hook that changes the workspace each time it runs does not keep a pass at it.
func TestPassDoesNotReloadForEver(t *testing.T) {
	rt, mem := reconciletest.New(reconciletest.Options{Owner: "owner-1", Now: time.Now}), newMemory()
	rt.AddImage(testImage, "sha256:a1")
	version := func(n int) plan.Desired { return desired(hooked("a", hook(plan.HookPreinstall, string(rune('a'+n))))) }
	loads := 0
	res, err := reconcile.Pass(t.Context(), rt, mem, version(0), reconcile.PassOptions{
		Reload: func(context.Context) (plan.Desired, error) {
			loads++
			return version(loads), nil
		},
	})
	if err := errors.Join(err, res.Outcome.Err()); err != nil {
		t.Fatal(err)
	}
	if got := len(rt.HookRuns()); got != 3 || loads != 2 {
		t.Errorf("the hook ran %d times after %d loads, want 3 after 2", got, loads)
	}
	if i := slices.IndexFunc(res.Status, func(s reconcile.Status) bool { return s.ID == agent("a") }); !res.Status[i].InSync {
		t.Errorf("%+v", res.Status[i])
	}
}

// What failed for itself is not tried twice in one pass.
func TestPassTriesAFailingHookOnce(t *testing.T) {
	rt, mem := reconciletest.New(reconciletest.Options{Owner: "owner-1", Now: time.Now}), newMemory()
	rt.AddImage(testImage, "sha256:a1")
	rt.FailHook(agent("b"), plan.HookPreinstall, errors.New("no network"))
	a, b := hooked("a", hook(plan.HookPreinstall, "1")), hooked("b", hook(plan.HookPreinstall, "1"))
	// Both leave something in their agents' folders.
	edited := func(r plan.Resource) plan.Resource {
		r.Spec.Container = new(*r.Spec.Container)
		r.Spec.Container.WorkDir = "/made/by/the/hook"
		return r
	}
	res, err := reconcile.Pass(t.Context(), rt, mem, desired(a, b, instance("c", agent("b"))), reconcile.PassOptions{
		Reload: func(context.Context) (plan.Desired, error) {
			return desired(edited(a), edited(b), instance("c", agent("b"))), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, r := range rt.HookRuns() {
		runs = append(runs, r.Target.Name)
	}
	slices.Sort(runs)
	if diff := cmp.Diff([]string{"a", "b"}, runs); diff != "" {
		t.Errorf("hooks that ran (-want +got):\n%s", diff)
	}
	if err := res.Outcome.Err(); err == nil || strings.Count(err.Error(), "no network") != 1 {
		t.Errorf("got %v", err)
	}
	if res.ExitCode(nil) != plan.ExitFault {
		t.Errorf("exit code %d", res.ExitCode(nil))
	}
	for _, c := range res.Plan.Held {
		if c.ID == agent("b") {
			t.Errorf("b failed and is held as well: %v", c.Reasons)
		}
	}
}
