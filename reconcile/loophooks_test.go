// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// hooked is an instance with hooks.
func hooked(name string, hooks ...plan.Hook) plan.Resource {
	r := instance(name)
	r.Hooks = hooks
	return r
}

// status is what the loop says of an agent.
func (b *bed) status(name string) reconcile.Status {
	b.t.Helper()
	return statusOf(b.t, b.loop.Status().Statuses, agent(name))
}

// wish writes what a command would, and tells the loop.
func (b *bed) wish(name, key string, data ...string) {
	b.t.Helper()
	r := plan.Record{ID: agent(name), Kind: plan.RecordWish, Key: key, At: time.Now()}
	if len(data) > 0 {
		r.Data = map[string]string{"wanted": data[0]}
	}
	if err := b.mem.Put(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
	b.loop.Notify(reconcile.CauseCommand)
}

// steps are the ops done to a resource so far, waits and prepares left out.
func (b *bed) steps(id plan.ID) []string {
	var out []string
	for _, s := range b.rt.Journal() {
		if s.Target == id && s.Op != plan.OpWait && s.Op != plan.OpPrepare {
			out = append(out, string(s.Op))
		}
	}
	return out
}

// slowly has every start take a moment, as real ones do: what was started before
// a record was written is told from what was started after it by the time.
func slowly(b *bed, _ *reconcile.LoopOptions) {
	b.rt.Hook(func(_ int, s plan.Step) error {
		if s.Op == plan.OpStart {
			time.Sleep(time.Millisecond)
		}
		return nil
	}, nil)
}

func texts(rs []plan.Reason) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Text)
	}
	return strings.Join(out, "; ")
}

func TestLoopRunsHooksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := hooked("a", hook(plan.HookPreinstall, "1"), hook(plan.HookPostinstall, "1"), hook(plan.HookUpdate, "1"))
		img := install(&a, "1")
		b := newBed(t, []plan.Resource{a, img}, slowly, func(_ *bed, o *reconcile.LoopOptions) { o.Settle = time.Second })
		b.wait(time.Hour)
		want := []string{"host", "create", "start", "exec", "stop", "start"}
		if diff := cmp.Diff(want, b.steps(agent("a"))); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		_, ended := b.took()
		for _, e := range ended {
			if len(e.res.Unsettled) > 0 || len(e.rec.Errors) > 0 {
				t.Errorf("unsettled %v, errors %v", e.res.Unsettled, e.rec.Errors)
			}
		}
		if st := b.status("a"); st.State != reconcile.WordRunning || !st.InSync {
			t.Errorf("%+v", st)
		}

		// The next reconciler finds it as it is.
		n := len(b.rt.Journal())
		b.stop()
		b.run()
		b.wait(time.Hour)
		if more := b.rt.Journal()[n:]; len(more) > 0 {
			t.Errorf("after a restart of the reconciler: %v", ids(more))
		}

		// Another postinstall runs in the container that is there.
		handle := b.object("a").Handle
		a.Hooks[1] = hook(plan.HookPostinstall, "2")
		b.want(a, img)
		b.wait(time.Minute)
		if diff := cmp.Diff(append(want, "exec", "stop", "start"), b.steps(agent("a"))); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if got := b.object("a").Handle; got != handle {
			t.Error("the container was replaced")
		}
	})
}

// A hook that fails fails its agent and what needs it, and is run again later and
// later; the rest goes on.
func TestLoopHookFails(t *testing.T) {
	for _, name := range []plan.HookName{plan.HookPreinstall, plan.HookInstall, plan.HookPostinstall} {
		t.Run(string(name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := hooked("a")
				rs := []plan.Resource{instance("b", agent("a")), instance("c")}
				failing := agent("a")
				if name == plan.HookInstall {
					failing = image("a")
					rs = append(rs, install(&a, "1"))
				} else {
					a.Hooks = []plan.Hook{hook(name, "1")}
				}
				b := newBed(t, append(rs, a), slowly, func(b *bed, _ *reconcile.LoopOptions) {
					b.rt.FailHook(failing, name, errors.New("no network"))
				})
				b.wait(100 * time.Second)
				n := len(b.rt.HookRuns())
				if n < 5 || n > 8 {
					t.Errorf("it ran %d times in 100 s, want 1, 2, 4, … s between the runs", n)
				}
				states := b.states()
				if states["c"] != plan.StateRunning || states["b"] == plan.StateRunning {
					t.Errorf("states %v", states)
				}
				if name != plan.HookPostinstall && states["a"] == plan.StateRunning {
					t.Error("a was started although its hook failed")
				}
				if st := b.status("a"); st.InSync || !strings.Contains(texts(st.Reasons), "no network") && name != plan.HookInstall {
					t.Errorf("%s, in sync %t: %s", st.State, st.InSync, texts(st.Reasons))
				}
				if got := b.loop.Status().Facts.Backoff; len(got) != 1 || got[0].ID != failing {
					t.Errorf("backoff %v", got)
				}

				// A command has it tried at once, and so does another hook.
				b.loop.Notify(reconcile.CauseCommand)
				b.wait(500 * time.Millisecond)
				if got := len(b.rt.HookRuns()); got != n+1 {
					t.Errorf("after a command it ran %d times, want %d", got, n+1)
				}
				b.rt.FailHook(failing, name, nil)
				b.wait(6 * time.Minute)
				if got := b.states(); got["a"] != plan.StateRunning || got["b"] != plan.StateRunning {
					t.Errorf("when the hook ends well: %v", got)
				}
			})
		})
	}
}

// A hook on the host that fails and leaves something in its agent's folder is
// tried later and later all the same, until somebody else changes that.
func TestLoopHookThatFailsAndEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := hooked("a", hook(plan.HookPreinstall, "1"))
		var b *bed
		edits := 0
		edit := func() {
			edits++
			a.Spec.Container = new(*a.Spec.Container)
			a.Spec.Container.WorkDir = fmt.Sprintf("/edit/%d", edits)
			b.want(a)
		}
		newBed(t, []plan.Resource{a}, func(made *bed, _ *reconcile.LoopOptions) {
			b = made
			b.rt.FailHook(a.ID, plan.HookPreinstall, errors.New("no network"))
			b.rt.Hook(func(_ int, s plan.Step) error {
				if s.Op == plan.OpHost {
					time.Sleep(100 * time.Millisecond)
					edit()
					time.Sleep(100 * time.Millisecond)
				}
				return nil
			}, nil)
		})
		b.wait(10 * time.Minute)
		n := len(b.rt.HookRuns())
		if n < 8 || n > 13 {
			t.Errorf("in 10 minutes it ran %d times", n)
		}
		edit()
		b.wait(time.Second)
		if got := len(b.rt.HookRuns()); got != n+1 {
			t.Errorf("after an edit it ran %d times, want %d", got, n+1)
		}
	})
}

// A hook that an earlier process started is busy until it ends, and is not
// started again.
func TestLoopWaitsForAHookOfAnEarlierProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hook(plan.HookPreinstall, "1")
		b := newBed(t, []plan.Resource{hooked("a", h), instance("c")}, func(b *bed, _ *reconcile.LoopOptions) {
			b.rt.SetHostHook(testWorkspace, agent("a"), plan.HostHook{Digest: h.Digest, State: plan.HookRunning, At: time.Now()})
		})
		b.wait(time.Minute)
		if got := b.steps(agent("a")); len(got) > 0 {
			t.Errorf("while its hook runs: %v", got)
		}
		if st := b.status("a"); st.State != reconcile.WordWaiting {
			t.Errorf("%s: %s", st.State, texts(st.Reasons))
		}
		b.rt.SetHostHook(testWorkspace, agent("a"), plan.HostHook{Digest: h.Digest, State: plan.HookDone, At: time.Now()})
		b.wait(5 * time.Second)
		if diff := cmp.Diff([]string{"create", "start"}, b.steps(agent("a"))); diff != "" {
			t.Errorf("when it has ended (-want +got):\n%s", diff)
		}
	})
}

// A hook goes on while the workspace is edited, for as long as it is wanted.
func TestLoopKeepsAHookUnderWay(t *testing.T) {
	for _, name := range []plan.HookName{plan.HookPreinstall, plan.HookInstall, plan.HookPostinstall} {
		t.Run(string(name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := hooked("a")
				var rs []plan.Resource
				if name == plan.HookInstall {
					rs = append(rs, install(&a, "1"))
				} else {
					a.Hooks = []plan.Hook{hook(name, "1")}
				}
				rs = append(rs, a)
				slow := func(_ int, s plan.Step) error {
					if s.Hook != nil || s.Op == plan.OpCreate && s.Target == image("a") {
						time.Sleep(time.Minute)
					}
					time.Sleep(time.Millisecond)
					return nil
				}
				b := newBed(t, rs, func(b *bed, _ *reconcile.LoopOptions) { b.rt.Hook(slow, nil) })
				for i := range 5 {
					b.wait(5 * time.Second)
					b.want(append(slices.Clone(rs), instance(fmt.Sprintf("other%d", i)))...)
				}
				b.wait(2 * time.Minute)
				if got := len(b.rt.HookRuns()); got != 1 {
					t.Errorf("it ran %d times, want once", got)
				}
				started := 0
				for _, s := range b.rt.Journal() {
					if s.Hook != nil || s.Op == plan.OpCreate && s.Target == image("a") {
						started++
					}
				}
				if started != 1 {
					t.Errorf("it was begun %d times, want once", started)
				}
				if got := b.states(); got["a"] != plan.StateRunning || got["other4"] != plan.StateRunning {
					t.Errorf("states %v", got)
				}
			})
		})
	}
}

func TestLoopLiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := instance("a")
		a.Spec.Container.Liveness = &plan.Probe{Script: "live.sh", Interval: 1000, Timeout: 5000, FailureThreshold: 5, SuccessThreshold: 1}
		b := newBed(t, []plan.Resource{a})
		starts := b.watchStarts("a")
		b.wait(time.Second)
		handle := b.object("a").Handle
		for range 5 {
			n := len(starts())
			b.wait(30 * time.Second)
			b.rt.FailLiveness(handle, "no answer")
			b.loop.Notify(reconcile.CauseRuntime)
			b.wait(2 * time.Second)
			if got := b.states()["a"]; got != plan.StateExited {
				t.Fatalf("a is %s, want it stopped", got)
			}
			if st := b.status("a"); st.State != reconcile.WordCrashLoop || !strings.Contains(texts(st.Reasons), "failed its liveness probe") {
				t.Errorf("a is %s: %s", st.State, texts(st.Reasons))
			}
			for len(starts()) == n {
				b.wait(time.Second)
			}
		}
		s := time.Second
		var waits []time.Duration
		for _, g := range gaps(starts()) {
			waits = append(waits, g.Round(10*s)-30*s)
		}
		if diff := cmp.Diff([]time.Duration{10 * s, 20 * s, 40 * s, 80 * s, 160 * s}, waits); diff != "" {
			t.Errorf("waits (-want +got):\n%s", diff)
		}
		if got := b.object("a").Handle; got != handle {
			t.Error("the container was replaced")
		}
	})
}

func TestLoopReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := instance("a")
		a.Spec.Container.Readiness = &plan.Probe{Script: "ready.sh", Interval: 1000, Timeout: 5000, FailureThreshold: 5, SuccessThreshold: 1}
		b := newBed(t, []plan.Resource{a, instance("b", agent("a"))}, func(b *bed, _ *reconcile.LoopOptions) {
			b.rt.SetUnready(agent("a"), true)
		})
		b.wait(time.Second)
		handle := b.object("a").Handle
		b.rt.SetHealth(handle, plan.Health{Readiness: &plan.ProbeState{Verdict: plan.VerdictFailing, Since: time.Now(), Output: "starting\nup"}})
		b.wait(3 * time.Minute)
		if got := b.states(); got["a"] != plan.StateRunning || got["b"] == plan.StateRunning {
			t.Errorf("states %v", got)
		}
		if st := b.status("a"); st.State != reconcile.WordRunning || !strings.Contains(texts(st.Reasons), "it is not ready: its readiness probe fails: starting; up") {
			t.Errorf("a is %s: %s", st.State, texts(st.Reasons))
		}
		_, ended := b.took()
		if len(ended) == 0 || !strings.Contains(strings.Join(ended[0].rec.Errors, "\n"), "Container failed to become ready") {
			t.Errorf("errors %v", ended)
		}
		b.rt.SetHealth(handle, plan.Health{Readiness: &plan.ProbeState{Verdict: plan.VerdictPassing, Since: time.Now()}})
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(6 * time.Minute)
		if got := b.states()["b"]; got != plan.StateRunning {
			t.Errorf("b is %q when a is ready", got)
		}
	})
}

// What somebody asked to be stopped stays so, whoever else starts anything.
func TestLoopKeepsAStopWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a"), instance("b")})
		b.wait(time.Second)
		b.wish("a", plan.WishStop, "true")
		b.wait(10 * time.Minute)
		if st := b.status("a"); st.State != reconcile.WordStopped || !st.InSync || st.Desired != "stopped" {
			t.Errorf("a is %s, %s desired, in sync %t: %s", st.State, st.Desired, st.InSync, texts(st.Reasons))
		}
		b.stop()
		b.run()
		b.wait(time.Hour)
		if got := b.states()["a"]; got != plan.StateExited {
			t.Errorf("a is %s after a restart of the reconciler", got)
		}
		b.wish("a", plan.WishStop, "false")
		b.wait(time.Second)
		if got := b.states()["a"]; got != plan.StateRunning {
			t.Errorf("a is %s, want it started at once", got)
		}
		if st := b.status("a"); st.State != reconcile.WordRunning || !st.InSync || st.Restarts != 0 {
			t.Errorf("a is %+v", st)
		}
	})
}

// To start something forgives a crash loop.
func TestLoopStartWishForgivesACrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts func() []time.Time
		b := newBed(t, []plan.Resource{crashing("a")}, func(b *bed, _ *reconcile.LoopOptions) { starts = b.watchStarts("a") })
		b.wait(200 * time.Second) // started at 0, 10, 30, 70, 150
		n := len(starts())
		b.wish("a", plan.WishStop, "false")
		b.wait(40 * time.Second)
		s := time.Second
		if diff := cmp.Diff([]time.Duration{50 * s, 10 * s, 20 * s}, gaps(starts()[n-1:])); diff != "" {
			t.Errorf("time between starts (-want +got):\n%s", diff)
		}
	})
}

func TestLoopRestartAndRefreshWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{hooked("a", hook(plan.HookUpdate, "1"))}, slowly)
		b.wait(time.Second)
		for _, tt := range []struct {
			wish string
			want []string
		}{
			{plan.WishRestart, []string{"stop", "start"}},
			{plan.WishUpdate, []string{"exec", "stop", "start"}},
			{plan.WishRefresh, []string{"create", "stop", "delete", "activate", "start"}},
		} {
			n := len(b.steps(agent("a")))
			b.wish("a", tt.wish)
			b.wait(10 * time.Minute)
			if diff := cmp.Diff(tt.want, b.steps(agent("a"))[n:]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.wish, diff)
			}
			if st := b.status("a"); !st.InSync {
				t.Errorf("after %s: %s", tt.wish, texts(st.Reasons))
			}
		}
	})
}

// Whatever others do to a container is repaired.
func TestLoopRepairs(t *testing.T) {
	tests := map[string]func(*bed, plan.Object){
		"podman stop":  func(b *bed, o plan.Object) { b.rt.Stop(o.Handle) },
		"podman kill":  func(b *bed, o plan.Object) { b.rt.Kill(o.Handle) },
		"podman rm":    func(b *bed, o plan.Object) { b.rt.Remove(o.Handle) },
		"podman pause": func(b *bed, o plan.Object) { b.rt.Pause(o.Handle) },
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, []plan.Resource{hooked("a", hook(plan.HookPostinstall, "1"))}, slowly)
				b.wait(time.Second)
				do(b, b.object("a"))
				b.loop.Notify(reconcile.CauseRuntime)
				b.wait(15 * time.Second)
				if got := b.states()["a"]; got != plan.StateRunning {
					t.Errorf("a is %q", got)
				}
				want := 1
				if name == "podman rm" { // a hook counts for its container only
					want = 2
				}
				if got := len(b.rt.HookRuns()); got != want {
					t.Errorf("its hook ran %d times, want %d", got, want)
				}
			})
		})
	}
}

// A reconciler that ended between the hook and the restart after it is followed
// by one that restarts, once.
func TestLoopOwesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{hooked("a", hook(plan.HookPostinstall, "1"))}, func(b *bed, _ *reconcile.LoopOptions) {
			b.rt.Hook(func(_ int, s plan.Step) error {
				if s.Op == plan.OpStop {
					b.rt.SetDown(true)
				}
				return nil
			}, nil)
		})
		b.wait(time.Second)
		b.stop()
		slowly(b, nil)
		b.rt.SetDown(false)
		n := len(b.steps(agent("a")))
		b.run()
		b.wait(time.Hour)
		if diff := cmp.Diff([]string{"stop", "start"}, b.steps(agent("a"))[n:]); diff != "" {
			t.Errorf("steps of the next reconciler (-want +got):\n%s", diff)
		}
		if got := len(b.rt.HookRuns()); got != 1 {
			t.Errorf("the hook ran %d times, want once", got)
		}
		_, ended := b.took()
		for _, e := range ended {
			if len(e.res.Unsettled) > 0 {
				t.Errorf("unsettled %v", e.res.Unsettled)
			}
		}
	})
}
