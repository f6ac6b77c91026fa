// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

func taskAgent(name string) plan.Resource {
	r := instance(name)
	r.ID.Kind, r.Want, r.Replace = plan.TaskAgent, plan.WantPrepared, plan.Overlap
	r.Dispatch = &plan.Dispatch{Mode: plan.DeliverStdin, Name: r.Name, Timeout: time.Minute, Warm: plan.WarmPool{TTL: time.Minute}}
	return r
}

// served says by what each TaskAgent is served, as dispatch is told.
func (b *bed) served() map[string]string {
	b.t.Helper()
	rs, err := b.mem.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]string{}
	for _, a := range plan.Agents(b.loaded.Desired, rs) {
		out[a.ID.Name] = ""
		if a.Revision.Number > 0 {
			_, image := a.Revision.Image()
			out[a.ID.Name] = a.Revision.Name() + " " + image + " " + a.Timeout.String()
		}
	}
	return out
}

func (b *bed) agentStatus(name string) reconcile.Status {
	b.t.Helper()
	return statusOf(b.t, b.loop.Status().Statuses, plan.ID{Kind: plan.TaskAgent, Name: name})
}

func TestLoopMakesRevisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		a, other := taskAgent("a"), taskAgent("other")
		b := newBed(t, []plan.Resource{a, other}, func(b *bed, _ *reconcile.LoopOptions) {
			b.rt.Hook(func(_ int, s plan.Step) error {
				if s.Op == plan.OpPrepare && s.Target.Name == "a" && failing.Load() {
					return errors.New("pull: unauthorized: no such account")
				}
				return nil
			}, nil)
		})
		check := func(when string, want map[string]string) {
			t.Helper()
			if diff := cmp.Diff(want, b.served()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		b.wait(time.Minute)
		check("at first", map[string]string{"a": "a-00001 sha256:a1 1m0s", "other": "other-00001 sha256:a1 1m0s"})

		b.rt.PushImage(testImage, "sha256:a2")
		b.loop.Notify(reconcile.CauseInterval)
		b.wait(time.Minute)
		check("after a push", map[string]string{"a": "a-00002 sha256:a2 1m0s", "other": "other-00002 sha256:a2 1m0s"})

		failing.Store(true)
		a.Spec.Container = &plan.ContainerSpec{Image: testImage, Network: testWorkspace, Main: plan.Process{Command: []string{"new"}}}
		dispatch := *a.Dispatch
		dispatch.Timeout = time.Second
		a.Dispatch = &dispatch
		b.want(a, other)
		b.wait(time.Minute)
		check("while it cannot be pulled", map[string]string{"a": "a-00002 sha256:a2 1s", "other": "other-00002 sha256:a2 1m0s"})
		st := b.agentStatus("a")
		if st.State != reconcile.WordReady || st.InSync || st.Serving != "a-00002" || !strings.Contains(firstReason(st), "unauthorized: no such account") {
			t.Errorf("while it cannot be pulled: %+v", st)
		}

		failing.Store(false)
		b.wait(10 * time.Minute)
		check("once it can", map[string]string{"a": "a-00003 sha256:a2 1s", "other": "other-00002 sha256:a2 1m0s"})
		st = b.agentStatus("a")
		var names []string
		for _, rev := range st.Revisions {
			names = append(names, rev.Name)
			if rev.Serving != (rev.Number == 3) {
				t.Errorf("%s serves: %t", rev.Name, rev.Serving)
			}
		}
		if got := strings.Join(names, " "); got != "a-00003 a-00002 a-00001" || !st.InSync || st.Settings["timeout"] != "1s" {
			t.Errorf("once it can: %q, %+v", got, st)
		}

		invalid := plan.Resource{ID: a.ID, Name: a.Name, Origin: a.Origin, Want: a.Want, Blocked: []plan.Reason{{Code: plan.CodeInvalid, Text: "the object has errors"}}}
		b.want(invalid, other)
		b.wait(time.Minute)
		check("while it is invalid", map[string]string{"a": "a-00003 sha256:a2 1s", "other": "other-00002 sha256:a2 1m0s"})
		if st := b.agentStatus("a"); st.State != reconcile.WordReady || st.InSync {
			t.Errorf("while it is invalid: %+v", st)
		}

		b.want(other)
		b.wait(time.Minute)
		check("once it is not wanted", map[string]string{"other": "other-00002 sha256:a2 1m0s"})
		for _, obj := range b.rt.Things() {
			if obj.ID.Kind == plan.TaskAgent {
				t.Errorf("%s was made", obj.Name)
			}
		}
		for _, s := range b.rt.Journal() {
			if s.OfDispatch() {
				t.Errorf("the runtime was given %s", s.ID)
			}
		}
	})
}

func firstReason(st reconcile.Status) string {
	if len(st.Reasons) == 0 {
		return ""
	}
	return st.Reasons[0].Text
}

// A pass does what a loop does, and leaves nothing for the next one.
func TestPassMakesRevisions(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	d := desired(taskAgent("a"))
	for range 2 {
		res, err := reconcile.Pass(t.Context(), rt, mem, d, reconcile.PassOptions{Plan: plan.Options{Now: testNow}})
		if err != nil || res.Outcome.Err() != nil {
			t.Fatal(err, res.Outcome.Err())
		}
		if again := reconcile.FindUnsettled(plan.New(d, res.After, plan.Options{Now: testNow})); len(again) > 0 {
			t.Errorf("left to do: %v", again)
		}
		if len(res.Status) != 2 || res.Status[1].State != reconcile.WordReady || !res.Status[1].InSync {
			t.Errorf("status %+v", res.Status)
		}
	}
	if n := rt.Calls()[plan.OpPrepare]; n != 1 {
		t.Errorf("prepared %d times", n)
	}
}

func TestStatusOfTaskAgents(t *testing.T) {
	rt, mem := newRuntime(), newMemory()
	stopped, gone := taskAgent("stopped"), taskAgent("gone")
	converge(t, rt, mem, desired(stopped, gone))
	if err := mem.Put(t.Context(), plan.Record{ID: stopped.ID, Kind: plan.RecordWish, Key: plan.WishStop, At: testNow, Data: map[string]string{"wanted": "true"}}); err != nil {
		t.Fatal(err)
	}
	fresh, missing, blocked := taskAgent("fresh"), taskAgent("missing"), taskAgent("blocked")
	missing.Spec.Container = &plan.ContainerSpec{Image: "localhost/none:1"}
	blocked.Blocked = []plan.Reason{{Code: plan.CodePolicy, Text: "no"}}
	type line struct {
		Desired, Actual, Serving string
		State                    reconcile.Word
		InSync, Orphan           bool
	}
	got := map[string]line{}
	for name, st := range summarize(t, rt, mem, desired(stopped, fresh, missing, blocked)) {
		if st.Kind == plan.TaskAgent {
			got[name] = line{st.Desired, st.Actual, st.Serving, st.State, st.InSync, st.Orphan}
		}
	}
	want := map[string]line{
		"acme-stopped": {"stopped", "ready", "stopped-00001", reconcile.WordStopped, true, false},
		"acme-gone":    {"absent", "ready", "gone-00001", reconcile.WordReady, false, true},
		"acme-fresh":   {"prepared", "absent", "", reconcile.WordWaiting, false, false},
		"acme-missing": {"prepared", "absent", "", reconcile.WordBlocked, false, false},
		"acme-blocked": {"prepared", "absent", "", reconcile.WordBlocked, false, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
