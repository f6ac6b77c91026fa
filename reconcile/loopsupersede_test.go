// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// edited is the instance with another spec.
func edited(r plan.Resource) plan.Resource {
	c := *r.Spec.Container
	c.WorkDir += "/edited"
	r.Spec.Container = &c
	return r
}

func TestLoopDoesNotWaitForSlowPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pulled := func(b *bed, _ *reconcile.LoopOptions) { b.pull.names = []string{"slow"} }
		b := newBed(t, []plan.Resource{instance("slow"), instance("a")}, pulled)
		b.wait(time.Second)
		if got := b.states()["a"]; got != plan.StateRunning {
			t.Fatalf("a is %q while another is pulled", got)
		}

		// What else changes is done beside the pull, which goes on.
		b.want(instance("slow"), edited(instance("a")), instance("b"))
		b.wait(time.Second)
		if got := b.states()["b"]; got != plan.StateRunning {
			t.Errorf("b is %q while another is pulled", got)
		}
		if len(b.pull.wasCut()) != 0 {
			t.Errorf("cancelled %v, which is wanted as before", b.pull.wasCut())
		}
		_, ended := b.took()
		if diff := cmp.Diff([]string{"superseded [start] create a, create slow?, create acme"}, told(ended)); diff != "" {
			t.Errorf("passes (-want +got):\n%s", diff)
		}
		if st := b.loop.Status(); !st.Running || !slices.Equal(st.Busy, []plan.ID{agent("slow")}) {
			t.Errorf("status %+v, want the pull under way", st)
		}

		// Drift is repaired beside it as well, within the same pass.
		b.rt.Remove(b.object("b").Handle)
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(2 * time.Second)
		if got := b.states()["b"]; got != plan.StateRunning {
			t.Errorf("b is %q, and was removed while another is pulled", got)
		}

		b.wait(time.Hour / 2)
		if got := b.states()["slow"]; got != plan.StateRunning {
			t.Errorf("slow is %q after the pull", got)
		}
		pulls := 0
		for _, s := range b.rt.Journal() {
			if s.Op == plan.OpPrepare && s.Target == agent("slow") {
				pulls++
			}
		}
		if pulls != 1 {
			t.Errorf("pulled %d times, want once", pulls)
		}
		_, ended = b.took()
		if diff := cmp.Diff([]string{"converged [start edit runtime] replace a, create b, create slow"}, told(ended)); diff != "" {
			t.Errorf("passes (-want +got):\n%s", diff)
		}
	})
}

func TestLoopCutsPullsThatAreDoneWithout(t *testing.T) {
	tests := []struct {
		name string
		want []plan.Resource
		cut  []string
	}{
		{"gone", []plan.Resource{instance("a")}, []string{"slow"}},
		{"changed", []plan.Resource{instance("a"), edited(instance("slow"))}, []string{"slow"}},
		{"kept", []plan.Resource{instance("a"), instance("slow"), instance("b")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pulled := func(b *bed, _ *reconcile.LoopOptions) { b.pull.names = []string{"slow"} }
				b := newBed(t, []plan.Resource{instance("slow"), instance("a")}, pulled)
				b.wait(time.Second)
				b.want(tt.want...)
				b.wait(time.Second)
				if diff := cmp.Diff(tt.cut, b.pull.wasCut()); diff != "" {
					t.Errorf("cut (-want +got):\n%s", diff)
				}
				b.wait(time.Hour)
				want := map[string]plan.State{"acme": plan.StateExists}
				for _, r := range tt.want {
					want[r.ID.Name] = plan.StateRunning
				}
				if diff := cmp.Diff(want, b.states()); diff != "" {
					t.Errorf("objects in the end (-want +got):\n%s", diff)
				}
				_, ended := b.took()
				for _, e := range ended {
					if e.rec.Result == reconcile.ResultFailed {
						t.Errorf("a pass failed: %v", e.rec.Errors)
					}
				}
			})
		})
	}
}

// during has a step take a while.
func during(op plan.Op, name string, takes time.Duration) func(*bed, *reconcile.LoopOptions) {
	return func(b *bed, _ *reconcile.LoopOptions) {
		b.pull.set(func(rt *pulling) {
			rt.slow = func(s plan.Step) time.Duration {
				if s.Op == op && s.Target.Name == name {
					return takes
				}
				return 0
			}
		})
	}
}

// Whatever is under way when an edit takes its resource away, or changes it,
// is never cut, and the resource is as it should be in the end.
func TestLoopNeverCutsWhatActs(t *testing.T) {
	for _, op := range []plan.Op{plan.OpCreate, plan.OpStart, plan.OpStop, plan.OpDelete, plan.OpActivate} {
		for name, want := range map[string][]plan.Resource{
			"gone": {instance("b")}, "changed": {edited(edited(instance("a"))), instance("b")}, "back": {instance("a"), instance("b")},
		} {
			t.Run(string(op)+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t, []plan.Resource{instance("a")})
					b.wait(time.Second)
					during(op, "a", 90*time.Second)(b, nil)
					b.want(edited(instance("a")))
					b.wait(2 * time.Second)
					b.want(want...)
					b.wait(2 * time.Second)
					if got := b.states()["b"]; got != plan.StateRunning {
						t.Errorf("b is %q while %s of a is under way", got, op)
					}
					b.wait(10 * time.Minute)
					states := map[string]plan.State{"acme": plan.StateExists}
					for _, r := range want {
						states[r.ID.Name] = plan.StateRunning
					}
					if diff := cmp.Diff(states, b.states()); diff != "" {
						t.Errorf("objects in the end (-want +got):\n%s", diff)
					}
					_, ended := b.took()
					for _, e := range ended {
						crashed := op == plan.OpStop && name == "back" // it does not know who stopped it
						if len(e.rec.Errors) > 0 && !crashed && e.rec.Result != reconcile.ResultSuperseded {
							t.Errorf("a pass ended %s: %v", e.rec.Result, e.rec.Errors)
						}
					}
					if cut := b.pull.wasCut(); len(cut) != 0 {
						t.Errorf("cut %v", cut)
					}
					if st := b.loop.Status(); st.Running || len(st.Busy) != 0 {
						t.Errorf("status %+v, want rest", st)
					}
				})
			})
		}
	}
}

func TestLoopAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")})
		b.wait(time.Second)
		b.took()

		// A load that began before the call does not answer it.
		release := make(chan struct{})
		var loads int
		b.stop()
		b.run(func(b *bed, o *reconcile.LoopOptions) {
			o.Load = func(ctx context.Context, causes []reconcile.Cause) (reconcile.Loaded, error) {
				if loads++; loads == 2 {
					<-release
				}
				return b.load(ctx, causes)
			}
		})
		b.wait(time.Second)
		b.took()
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(time.Second) // the second load is under way
		got := make(chan reconcile.PassRecord, 1)
		go func() {
			rec, err := b.loop.Await(t.Context(), reconcile.CauseCommand)
			if err != nil {
				t.Errorf("await: %v", err)
			}
			got <- rec
		}()
		synctest.Wait()
		close(release)
		rec := <-got
		if diff := cmp.Diff([]reconcile.Cause{reconcile.CauseCommand}, rec.Causes); diff != "" {
			t.Errorf("answered by a pass with the causes (-want +got):\n%s", diff)
		}

		// One that is superseded is answered by its successor.
		during(plan.OpCreate, "b", 10*time.Second)(b, nil)
		b.mu.Lock()
		b.loaded.Desired = desired(instance("a"), instance("b"), instance("c", agent("b")))
		b.mu.Unlock()
		go func() {
			rec, _ := b.loop.Await(t.Context(), reconcile.CauseCommand)
			got <- rec
		}()
		b.wait(time.Second)
		b.want(instance("a"), instance("b"), instance("d", agent("b")))
		rec = <-got
		if rec.Result != reconcile.ResultConverged || b.states()["d"] != plan.StateRunning || b.states()["c"] != "" {
			t.Errorf("answered by %+v with %v", rec, b.states())
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := b.loop.Await(ctx, reconcile.CauseCommand); err == nil {
			t.Error("no error when the context ends")
		}
	})
}

func TestLoopInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("slow"), instance("a"), instance("b", agent("a"))}, during(plan.OpCreate, "a", 10*time.Second),
			func(b *bed, _ *reconcile.LoopOptions) { b.pull.names = []string{"slow"} })
		b.wait(time.Second)
		awaited := make(chan reconcile.PassRecord, 1)
		go func() {
			rec, err := b.loop.Await(t.Context(), reconcile.CauseCommand)
			if err != nil {
				t.Errorf("await: %v", err)
			}
			awaited <- rec
		}()
		b.wait(time.Second)
		start := time.Now()
		b.stop()
		if took := time.Since(start); took != 8*time.Second {
			t.Errorf("the loop ended after %s, want when the create was done", took)
		}
		if !slices.Equal(b.pull.wasCut(), []string{"slow"}) {
			t.Errorf("cut %v, want the pull", b.pull.wasCut())
		}
		want := map[string]plan.State{"acme": plan.StateExists, "a": plan.StateCreated}
		states := b.states()
		delete(states, "b") // may have been created before
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
		if rec := <-awaited; rec.Result != reconcile.ResultInterrupted {
			t.Errorf("waiting was answered by %+v", rec)
		}

		b.pull.names = nil
		b.pull.slow = nil
		b.run()
		b.wait(time.Second)
		for _, name := range []string{"a", "b", "slow"} {
			if got := b.states()[name]; got != plan.StateRunning {
				t.Errorf("%s is %s after another start", name, got)
			}
		}
	})
}

// A look sees what was before the steps that ended meanwhile. It must not do
// them again.
func TestLoopSeesThePast(t *testing.T) {
	for _, lag := range []time.Duration{100 * time.Millisecond, 2500 * time.Millisecond, 7 * time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, []plan.Resource{instance("a"), instance("b", agent("a")), instance("c")}, func(b *bed, _ *reconcile.LoopOptions) {
					b.pull.lag = lag
					b.pull.slow = func(s plan.Step) time.Duration {
						if s.Op == plan.OpPrepare && s.Target.Name == "c" {
							return time.Hour / 4
						}
						return time.Second
					}
				})
				b.wait(lag + 500*time.Millisecond)
				for i := range 20 {
					c := instance("c")
					d := instance("d", agent("b"))
					d.Spec.Container.WorkDir = fmt.Sprint("/", i)
					b.want(instance("a"), instance("b", agent("a")), c, d)
					b.wait(700 * time.Millisecond)
				}
				b.wait(2 * time.Minute)
				for _, name := range []string{"a", "b", "d"} {
					if got := b.states()[name]; got != plan.StateRunning {
						t.Errorf("%s is %q while c is pulled", name, got)
					}
				}
				b.wait(time.Hour)
				calls := map[string]int{}
				for _, s := range b.rt.Journal() {
					if s.Op == plan.OpCreate || s.Op == plan.OpPrepare {
						calls[fmt.Sprint(s.Op, " ", s.Target.Name)]++
					}
				}
				for _, what := range []string{"create a", "create b", "create c", "prepare c"} {
					if calls[what] != 1 {
						t.Errorf("%s %d times, want once", what, calls[what])
					}
				}
				_, ended := b.took()
				for _, e := range ended {
					if e.rec.Result == reconcile.ResultFailed {
						t.Errorf("a pass failed: %v", e.rec.Errors)
					}
				}
			})
		})
	}
}

// Whenever an edit comes while the host is looked at slowly and steps end
// meanwhile, what it asks for is done soon, whatever else is still pulled.
func TestLoopEditsAtAnyMoment(t *testing.T) {
	const lag = 2500 * time.Millisecond
	takes := func(s plan.Step) time.Duration {
		switch {
		case s.Op == plan.OpPrepare && s.Target.Name == "c":
			return 15 * time.Minute
		case s.Op == plan.OpPrepare && s.Target.Name == "e":
			return 4 * time.Second // it may go on, to be followed by what a look did not see
		}
		return time.Second
	}
	for _, pulls := range []bool{false, true} {
		for offset := time.Duration(0); offset < 12*time.Second; offset += 250 * time.Millisecond {
			t.Run(fmt.Sprintf("%t %s", pulls, offset), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rs := []plan.Resource{instance("a"), instance("b", agent("a")), instance("e")}
					if pulls {
						rs = append(rs, instance("c"))
					}
					b := newBed(t, rs, func(b *bed, _ *reconcile.LoopOptions) { b.pull.lag, b.pull.slow = lag, takes })
					b.wait(offset)
					b.want(append(rs, instance("d", agent("b")))...)
					b.wait(40 * time.Second)
					for _, name := range []string{"a", "b", "d", "e"} {
						if got := b.states()[name]; got != plan.StateRunning {
							t.Errorf("%s is %q", name, got)
						}
					}
					b.wait(time.Hour / 2)
					_, ended := b.took()
					for _, e := range ended {
						undone := slices.ContainsFunc(e.res.Outcome.Steps, func(r reconcile.StepResult) bool { return r.State != reconcile.StepDone })
						switch {
						case e.rec.Result == reconcile.ResultFailed:
							t.Errorf("a pass failed: %v", e.rec.Errors)
						case e.rec.Result == reconcile.ResultSuperseded && !undone:
							t.Errorf("a pass that was done was superseded: %v", told(ended))
						}
					}
					creates := map[string]int{}
					for _, s := range b.rt.Journal() {
						if s.Op == plan.OpCreate {
							creates[s.Target.Name]++
						}
					}
					for name, n := range creates {
						if n != 1 {
							t.Errorf("created %s %d times", name, n)
						}
					}
				})
			})
		}
	}
}

// What is to be done after a wait that is under way follows it, although the
// wait is of an object that had no handle when it was planned.
func TestLoopDriftBehindAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("c")})
		b.wait(time.Second)
		b.pull.set(func(rt *pulling) {
			rt.names = []string{"slow"}
			rt.slow = func(s plan.Step) time.Duration {
				if s.Op == plan.OpWait {
					return time.Minute
				}
				return 0
			}
		})
		user := instance("c")
		user.Needs = append(user.Needs, plan.Need{On: agent("a"), Until: plan.UntilReady})
		b.want(instance("a"), instance("b", agent("a")), user, instance("slow"))
		b.wait(10 * time.Second) // a runs and is waited for
		b.rt.Remove(b.object("c").Handle)
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(2 * time.Minute)
		for _, name := range []string{"a", "b", "c"} {
			if got := b.states()[name]; got != plan.StateRunning {
				t.Errorf("%s is %q while another is pulled", name, got)
			}
		}
		if n := b.rt.Calls()[plan.OpWait]; n != 1 {
			t.Errorf("waited %d times, want once", n)
		}
	})
}

// What goes on under a newer plan is reported with it, and tried again when it
// fails.
func TestLoopReportsWhatWasCarriedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{match: stepOf(plan.OpCreate, "a")}
		b := newBed(t, []plan.Resource{instance("a")}, during(plan.OpCreate, "a", 10*time.Second), f.set)
		b.wait(time.Second)
		b.want(instance("a"), instance("b"))
		b.wait(9*time.Second + 500*time.Millisecond)
		_, ended := b.took()
		want := []string{"superseded [start] create a?, create acme", "failed [start edit runtime] create b"}
		if diff := cmp.Diff(want, told(ended)); diff != "" {
			t.Errorf("passes (-want +got):\n%s", diff)
		}
		if errs := ended[1].rec.Errors; !slices.Equal(errs, []string{"create manifest/a: no space left on device"}) {
			t.Errorf("errors %q", errs)
		}
		if got := results(ended[1].res.Outcome)["create:manifest/a"]; got != reconcile.StepFailed {
			t.Errorf("the create that was carried on is %q in the outcome", got)
		}
		f.fail(nil)
		b.wait(30 * time.Second)
		if got := b.states()["a"]; got != plan.StateRunning {
			t.Errorf("a is %q when nothing fails any more", got)
		}
	})
}

func TestLoopLooksSeldomAtItsOwnEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("slow")}, func(b *bed, _ *reconcile.LoopOptions) { b.pull.names = []string{"slow"} })
		b.wait(2 * time.Second)
		b.took()
		for range 500 {
			b.loop.Notify(reconcile.CauseRuntime)
			time.Sleep(10 * time.Millisecond)
		}
		b.wait(2 * time.Second)
		if loads, _ := b.took(); len(loads) < 5 || len(loads) > 7 {
			t.Errorf("%d looks at the events of five seconds", len(loads))
		}
		b.loop.Notify(reconcile.CauseEdit)
		b.wait(100 * time.Millisecond)
		if loads, _ := b.took(); len(loads) != 1 {
			t.Errorf("%d looks at an edit", len(loads))
		}
	})
}

// What failed and is tried again while its pass still goes on counts as it
// ended.
func TestLoopTriesAgainWithinAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{match: stepOf(plan.OpStart, "a")}
		b := newBed(t, []plan.Resource{instance("a"), instance("b", agent("a")), instance("slow")}, f.set,
			func(b *bed, _ *reconcile.LoopOptions) { b.pull.names = []string{"slow"} })
		b.wait(5 * time.Second)
		if n := len(f.tries()); n != 3 {
			t.Errorf("%d tries in 5 seconds, want 3", n)
		}
		f.fail(nil)
		b.wait(10 * time.Second)
		if got := b.states()["b"]; got != plan.StateRunning {
			t.Errorf("b is %q while another is pulled", got)
		}
		b.wait(time.Hour / 2)
		_, ended := b.took()
		if diff := cmp.Diff([]string{"converged [start runtime retry] create a, create b, create slow, create acme"}, told(ended)); diff != "" {
			t.Errorf("passes (-want +got):\n%s", diff)
		}
		if errs := ended[0].rec.Errors; len(errs) != 0 {
			t.Errorf("errors %q", errs)
		}
	})
}

// A step that has not started is planned anew when what it was planned for is
// no longer so.
func TestLoopPlansWhatHasNotStartedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a"), instance("z")}, during(plan.OpPrepare, "a", 10*time.Second),
			func(_ *bed, o *reconcile.LoopOptions) { o.Apply.Parallel = 1 })
		b.wait(time.Second) // a is pulled, and z waits for its turn
		b.rt.PushImage(testImage, "sha256:a2")
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(time.Minute)
		_, ended := b.took()
		for _, e := range ended {
			if e.rec.Result == reconcile.ResultFailed {
				t.Errorf("a pass failed: %v", e.rec.Errors)
			}
		}
		for _, name := range []string{"a", "z"} {
			if got := b.object(name).Image; got != "sha256:a2" {
				t.Errorf("%s runs %s", name, got)
			}
		}
	})
}
