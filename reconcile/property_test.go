// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

// history is a workspace with a past, drawn at random, that can be told again
// from the start as often as a test needs.
type history struct {
	first, second plan.Desired
	drift         []drift
	moved         bool // the tag of the image points elsewhere
	foreign       []string
	parallel      int
}

// drift is something that somebody else did between two passes.
type drift struct {
	name string
	do   string
}

var agentNames = []string{"a", "b", "c", "d", "e", "f"}

func drawHistory(t *rapid.T) history {
	h := history{parallel: rapid.IntRange(1, 4).Draw(t, "parallel")}
	h.first = drawDesired(t, "first")
	h.second = drawDesired(t, "second")
	h.moved = rapid.Bool().Draw(t, "moved")
	if rapid.IntRange(0, 3).Draw(t, "has foreign") == 0 {
		// Foreign objects hold names from the start: nobody takes a name that
		// is taken.
		h.foreign = []string{rapid.SampledFrom(agentNames).Draw(t, "foreign")}
	}
	for _, name := range agentNames {
		do := rapid.SampledFrom([]string{
			"", "", "", "stop", "exit", "pause", "remove", "break", "detach", "keep", "rename", "swap", "forget",
			"sicken", "wish stop", "wish start", "wish restart", "wish refresh", "wish update",
		}).Draw(t, "drift of "+name)
		if do != "" {
			h.drift = append(h.drift, drift{name, do})
		}
	}
	return h
}

func drawDesired(t *rapid.T, label string) plan.Desired {
	var rs []plan.Resource
	for i, name := range agentNames {
		if !rapid.Bool().Draw(t, label+" has "+name) {
			continue
		}
		r := instance(name)
		if rapid.IntRange(0, 4).Draw(t, name+" stopped") == 0 {
			r.Want = plan.WantStopped
		}
		if rapid.Bool().Draw(t, name+" port") {
			r.Spec.Container.Ports = []plan.Port{{HostIP: "127.0.0.1", Container: 80, Protocol: "tcp"}}
		}
		r.Spec.Container.WorkDir = rapid.SampledFrom([]string{"", "/srv"}).Draw(t, name+" workdir")
		for _, earlier := range agentNames[:i] {
			has := slices.ContainsFunc(rs, func(r plan.Resource) bool { return r.ID == agent(earlier) })
			if has && rapid.IntRange(0, 2).Draw(t, name+" needs "+earlier) == 0 {
				r.Needs = append(r.Needs, plan.Need{
					On: agent(earlier), Until: plan.UntilReady,
					Bound: rapid.Bool().Draw(t, name+" bound to "+earlier),
				})
			}
		}
		rs = append(rs, drawHooks(t, &r)...)
		rs = append(rs, r)
	}
	return desired(rs...)
}

// drawHooks gives an instance some of all that is run beside its own process. It
// returns the image that its install hook makes, if it has one.
func drawHooks(t *rapid.T, r *plan.Resource) []plan.Resource {
	if rapid.Bool().Draw(t, r.ID.Name+" has no hooks") {
		return nil
	}
	probe := &plan.Probe{Script: "ok.sh", Interval: 1000, Timeout: 1000, FailureThreshold: 1, SuccessThreshold: 1}
	if rapid.Bool().Draw(t, r.ID.Name+" liveness") {
		r.Spec.Container.Liveness = probe
	}
	if rapid.Bool().Draw(t, r.ID.Name+" readiness") {
		r.Spec.Container.Readiness = probe
	}
	for _, name := range []plan.HookName{plan.HookPreinstall, plan.HookPostinstall, plan.HookUpdate} {
		if version := rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, r.ID.Name+" "+string(name)); version != "" {
			r.Hooks = append(r.Hooks, hook(name, version))
		}
	}
	version := rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, r.ID.Name+" install")
	if version == "" {
		return nil
	}
	return []plan.Resource{install(r, version)}
}

// tell lives through the history up to the second pass.
func (h history) tell(t *rapid.T) (*reconciletest.Runtime, *memory) {
	rt, mem := reconciletest.New(reconciletest.Options{Owner: "owner-1", Version: "test", Now: time.Now}), newMemory()
	rt.AddImage(testImage, "sha256:a1")
	for _, name := range h.foreign {
		rt.Foreign(testWorkspace + "-" + name)
	}
	h.mustConverge(t, rt, mem, h.first)
	for _, dr := range h.drift {
		for _, obj := range rt.Things() {
			if dr.do == "forget" && obj.ID == image(dr.name) && obj.Workspace != "" {
				rt.ForgetCopy(obj.Handle)
			}
			if obj.ID == agent(dr.name) && obj.Workspace != "" {
				dr.happen(rt, obj)
			}
		}
		dr.wish(t, mem)
	}
	if h.moved {
		rt.PushImage(testImage, "sha256:a2")
	}
	return rt, mem
}

func (dr drift) happen(rt *reconciletest.Runtime, obj plan.Object) {
	running := obj.State == plan.StateRunning
	switch {
	case dr.do == "stop" && running:
		rt.Stop(obj.Handle)
	case dr.do == "exit" && running:
		rt.Exit(obj.Handle, 3)
	case dr.do == "pause" && running:
		rt.Pause(obj.Handle)
	case dr.do == "remove":
		rt.Remove(obj.Handle)
	case dr.do == "break":
		rt.Break(obj.Handle)
	case dr.do == "detach":
		rt.Detach(obj.Handle)
	case dr.do == "keep":
		rt.SetKeep(obj.Handle, true)
	case dr.do == "rename":
		rt.Rename(obj.Handle, obj.Name+"-mine")
	case dr.do == "swap":
		rt.SwapImage(obj.Handle, "sha256:other")
	case dr.do == "sicken" && running:
		rt.FailLiveness(obj.Handle, "no answer")
	}
}

// wish writes what a command would.
func (dr drift) wish(t *rapid.T, mem *memory) {
	wish, is := strings.CutPrefix(dr.do, "wish ")
	if !is {
		return
	}
	r := plan.Record{ID: agent(dr.name), Kind: plan.RecordWish, Key: wish, At: time.Now()}
	if wish == "start" || wish == plan.WishStop {
		r.Key, r.Data = plan.WishStop, map[string]string{"wanted": fmt.Sprint(wish == plan.WishStop)}
	}
	if err := mem.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// pass runs one pass; its error is for the caller to judge.
func (h history) pass(ctx context.Context, rt reconcile.Runtime, mem *memory, d plan.Desired) (reconcile.PassResult, error) {
	return reconcile.Pass(ctx, rt, mem, d, reconcile.PassOptions{
		Plan:  plan.Options{AllowMassDelete: true},
		Apply: reconcile.ApplyOptions{Parallel: h.parallel, StepTimeout: 10 * time.Second},
	})
}

// mustConverge passes until nothing is left to do, which one pass achieves
// when nothing fails and a second one confirms.
func (h history) mustConverge(t *rapid.T, rt *reconciletest.Runtime, mem *memory, d plan.Desired) {
	t.Helper()
	res, err := h.pass(t.Context(), rt, mem, d)
	if err != nil {
		t.Fatalf("pass: %v", err)
	}
	if err := res.Outcome.Err(); err != nil {
		t.Fatalf("apply: %v\nsteps: %v", err, ids(res.Plan.Steps))
	}
	again, err := h.pass(t.Context(), rt, mem, d)
	if err != nil {
		t.Fatalf("second pass: %v", err)
	}
	if len(again.Plan.Steps)+len(again.Plan.Changes) > 0 {
		t.Fatalf("second plan is not empty: %v\nafter: %v", ids(again.Plan.Steps), ids(res.Plan.Steps))
	}
	h.check(t, rt, again)
}

// check says that what is not held is as it should be.
func (h history) check(t *rapid.T, rt *reconciletest.Runtime, res reconcile.PassResult) {
	t.Helper()
	held := map[plan.ID]bool{}
	for _, c := range res.Plan.Held {
		held[c.ID] = true
	}
	for _, st := range res.Status {
		if held[st.ID] || st.ID.Kind == plan.Image && held[agent(st.ID.Name)] { // it goes on with the image it has
			continue
		}
		if st.Orphan {
			t.Fatalf("%s is left over: %+v", st.Name, st)
		}
		if st.Desired == string(plan.WantRunning) && st.State != reconcile.WordRunning {
			t.Fatalf("%s is %s and not held: %+v", st.Name, st.State, st)
		}
	}
}

// untouchable is what no pass may change: foreign and kept objects.
func untouchable(rt *reconciletest.Runtime) string {
	var out string
	for _, obj := range rt.Things() {
		if obj.Workspace == "" || obj.Keep {
			obj.Health = nil // a report, and no part of the object
			out += fmt.Sprintf("%+v\n", obj)
		}
	}
	return out
}

func TestPropertyConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		rt, mem := h.tell(t)
		safe := untouchable(rt)
		h.mustConverge(t, rt, mem, h.second)
		if got := untouchable(rt); got != safe {
			t.Fatalf("touched foreign or kept objects:\nbefore %s\nafter %s", safe, got)
		}
		if rt.Peak() > h.parallel {
			t.Fatalf("%d steps at once, want at most %d", rt.Peak(), h.parallel)
		}
	})
}

var errInjected = errors.New("injected failure")

// TestPropertyConvergesAfterTrouble has each step of the second pass go wrong
// in each way, one history and one step at a time.
func TestPropertyConvergesAfterTrouble(t *testing.T) {
	// Trouble befalls the nth step of the pass.
	troubles := map[string]func(rt *reconciletest.Runtime, cancel func(), n int){
		"crash before": func(rt *reconciletest.Runtime, _ func(), n int) {
			rt.Hook(at(n, func() error { rt.SetDown(true); return nil }), nil)
		},
		"crash after": func(rt *reconciletest.Runtime, _ func(), n int) {
			rt.Hook(nil, at(n, func() error { rt.SetDown(true); return nil }))
		},
		"fail before": func(rt *reconciletest.Runtime, _ func(), n int) {
			rt.Hook(at(n, func() error { return errInjected }), nil)
		},
		"fail after": func(rt *reconciletest.Runtime, _ func(), n int) {
			rt.Hook(nil, at(n, func() error { return errInjected }))
		},
		"interrupt": func(rt *reconciletest.Runtime, cancel func(), n int) {
			rt.Hook(at(n, func() error { cancel(); return nil }), nil)
		},
	}
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := drawHistory(t)
				for n := 1; ; n++ {
					rt, mem := h.tell(t)
					start := len(rt.Journal())
					safe := untouchable(rt)
					ctx, cancel := context.WithCancel(t.Context())
					trouble(rt, cancel, start+n)
					res, _ := h.pass(ctx, rt, mem, h.second)
					cancel()
					reached := len(rt.Journal())-start >= n
					rt.Hook(nil, nil)
					rt.SetDown(false)
					checkSkips(t, res.Outcome)
					h.mustConverge(t, rt, mem, h.second)
					if got := untouchable(rt); got != safe {
						t.Fatalf("step %d: touched foreign or kept objects:\nbefore %s\nafter %s", n, safe, got)
					}
					if !reached {
						return
					}
				}
			})
		})
	}
}

// at is a hook for the nth step.
func at(n int, f func() error) func(int, plan.Step) error {
	return func(i int, _ plan.Step) error {
		if i != n {
			return nil
		}
		return f()
	}
}

// checkSkips says that a step is skipped if and only if something it comes
// after did not succeed, unless the walk was interrupted.
func checkSkips(t *rapid.T, o reconcile.Outcome) {
	t.Helper()
	done := map[string]bool{}
	for _, r := range o.Steps {
		done[r.Step.ID] = r.State == reconcile.StepDone
	}
	for _, r := range o.Steps {
		blocked := slices.ContainsFunc(r.Step.After, func(id string) bool { return !done[id] })
		switch {
		case r.State == reconcile.StepSkipped && !blocked && !o.Interrupted:
			t.Fatalf("%s was skipped although all it comes after is done", r.Step.ID)
		case r.State != reconcile.StepSkipped && blocked:
			t.Fatalf("%s is %s although something it comes after is not done", r.Step.ID, r.State)
		}
	}
}
