// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

var errKilled = errors.New("killed")

// killer ends a pass at its nth step, records among them: nothing has an effect
// any more.
type killer struct {
	*memory
	reconcile.Runtime
	mu    sync.Mutex
	at    int  // the step, from 1
	after bool // it is killed once the step has had its effect
	steps int
	dead  bool
	began map[string]int // starts that had an effect
}

// step carries out a step unless the pass is dead by then.
func (k *killer) step(do func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.steps++
	if k.dead = k.dead || k.steps == k.at && !k.after; k.dead {
		return errKilled
	}
	err := do()
	if k.dead = k.steps == k.at; k.dead {
		return errKilled
	}
	return err
}

func (k *killer) Put(ctx context.Context, r plan.Record) error {
	return k.step(func() error { return k.memory.Put(ctx, r) })
}

func (k *killer) Do(ctx context.Context, s plan.Step, d plan.Desired) (obj plan.Object, err error) {
	err = k.step(func() error {
		var e error
		obj, e = k.Runtime.Do(ctx, s, d)
		if e == nil && s.Op == plan.OpStart && s.RunName != "" {
			k.began[s.RunName+" "+s.Run]++
		}
		return e
	})
	return obj, err
}

// TestRunsStartOnceAfterACrash kills passes before and after each step of each
// stage of the life of runs. Nothing runs twice, and everything runs.
func TestRunsStartOnceAfterACrash(t *testing.T) {
	first, second := task("a", "exit", "0"), task("a", "exit", "0")
	second.Run.Key = keyOf("2")
	second.Run.TTL = time.Minute
	other := task("b")
	other.Run.Group, other.Run.Max = "agent/default", 1
	third := task("c", "exit", "4")
	third.Run.Group, third.Run.Max = "agent/default", 1
	stages := []struct {
		name string
		d    plan.Desired
		do   func(t *testing.T, rt *reconciletest.Runtime, mem *memory)
	}{
		{"first", desired(first, other, third), func(*testing.T, *reconciletest.Runtime, *memory) {}},
		{"edited, one ended", desired(second, other, third), func(_ *testing.T, rt *reconciletest.Runtime, _ *memory) {
			if all := containers(rt, taskID("b")); len(all) == 1 && all[0].State == plan.StateRunning {
				rt.EndRun(all[0].Handle, 2)
			}
		}},
		{"asked for again", desired(second, other, third), func(t *testing.T, _ *reconciletest.Runtime, mem *memory) {
			wish := plan.Record{ID: taskID("b"), Kind: plan.RecordWish, Key: plan.WishRerun, At: time.Now()}
			if err := mem.Put(t.Context(), wish); err != nil {
				t.Fatal(err)
			}
		}},
		{"removed", desired(second), func(*testing.T, *reconciletest.Runtime, *memory) {}},
	}
	want := map[string]int{
		"a " + keyOf("1"): 1, "a " + keyOf("2"): 1, "b " + keyOf("1"): 1, "b " + keyOf("1") + ".2": 1, "c " + keyOf("1"): 1,
	}
	wantPhases := map[string]string{
		"a " + keyOf("1"): "Completed", "a " + keyOf("2"): "Completed",
		"b " + keyOf("1"): "Failed exit", "b " + keyOf("1") + ".2": "Failed stopped", "c " + keyOf("1"): "Failed exit",
	}
	for _, after := range []bool{false, true} {
		for stage := range stages {
			for n := 1; ; n++ {
				name := fmt.Sprintf("%s, step %d, after %t", stages[stage].name, n, after)
				rt := reconciletest.New(reconciletest.Options{Owner: "owner-1", Version: "test", Now: time.Now})
				rt.AddImage(testImage, "sha256:a1")
				k := &killer{memory: newMemory(), Runtime: rt, after: after, began: map[string]int{}}
				reached := false
				for i, s := range stages {
					s.do(t, rt, k.memory)
					if i == stage {
						k.at, k.steps = n, 0
						_, _ = reconcile.Pass(t.Context(), k, k, s.d, reconcile.PassOptions{Apply: reconcile.ApplyOptions{Parallel: 1}})
						reached = k.steps >= n
						k.at, k.dead = 0, false
					}
					for range 6 {
						if _, err := reconcile.Pass(t.Context(), k, k, s.d, reconcile.PassOptions{}); err != nil {
							t.Fatalf("%s: %v", name, err)
						}
					}
				}
				if diff := cmp.Diff(want, k.began); diff != "" {
					t.Fatalf("%s: starts (-want +got):\n%s", name, diff)
				}
				phases := map[string]string{}
				for id := range map[plan.ID]bool{taskID("a"): true, taskID("b"): true, taskID("c"): true} {
					records, _ := k.Load()
					for _, rs := range plan.RunsOf(records, id) {
						phases[id.Name+" "+rs.Key] = string(rs.Phase)
						if rs.Reason != "" {
							phases[id.Name+" "+rs.Key] += " " + rs.Reason
						}
					}
				}
				if diff := cmp.Diff(wantPhases, phases); diff != "" {
					t.Fatalf("%s: ends (-want +got):\n%s", name, diff)
				}
				if got := rt.RunFolders(); len(got) != 2 {
					t.Fatalf("%s: folders %v, want those of the runs of a", name, got)
				}
				if !reached {
					break
				}
			}
		}
	}
}

// TestPassGivesUpWithoutAnImage: that a run failed is recorded by the very pass.
func TestPassGivesUpWithoutAnImage(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	rt.Hook(func(_ int, s plan.Step) error {
		if s.Op == plan.OpPrepare && s.Target.Name == "a" {
			return fmt.Errorf("pull: %w", errNoImage)
		}
		return nil
	}, nil)
	d := desired(task("a"), task("b"))
	res, err := reconcile.Pass(t.Context(), rt, mem, d, reconcile.PassOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Outcome.Err(); !errors.Is(err, errNoImage) {
		t.Errorf("outcome %v", err)
	}
	if st := statusOf(t, res.Status, taskID("a")); st.State != "Failed" || st.Runs[0].Reason != plan.FailedImage || st.PhaseReason != st.Runs[0].Detail || st.PhaseReason == "" || !st.InSync {
		t.Errorf("a: %+v", st)
	}
	if st := statusOf(t, res.Status, taskID("b")); st.State != "Running" {
		t.Errorf("b: %+v", st)
	}
	rec := reconcile.RecordOf(res, reconcile.Loaded{Desired: d}, nil, time.Now())
	if rec.Result != reconcile.ResultFailed || len(rec.Runs) != 2 || len(rec.Errors) != 1 {
		t.Errorf("history %+v", rec)
	}
	again, err := reconcile.Pass(t.Context(), rt, mem, d, reconcile.PassOptions{})
	if err != nil || len(again.Plan.Steps) != 0 {
		t.Errorf("second pass: %v, %v", err, ids(again.Plan.Steps))
	}
}
