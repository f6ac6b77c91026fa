// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

// bed is a loop at work in virtual time, on the in-memory runtime.
type bed struct {
	t    *testing.T
	rt   *reconciletest.Runtime
	mem  *memory
	loop *reconcile.Loop
	stop func() // ends the loop and waits for it
	pull *pulling

	mu      sync.Mutex
	loaded  reconcile.Loaded
	loadErr error
	loads   []loading
	ended   []ending
	events  []string
	planned int
}

type loading struct {
	at     time.Time
	causes []reconcile.Cause
}

type ending struct {
	rec reconcile.PassRecord
	res reconcile.PassResult
}

// newBed starts a loop that wants the resources. It must be called in a
// bubble; each edit is given before the loop runs.
func newBed(t *testing.T, rs []plan.Resource, edits ...func(*bed, *reconcile.LoopOptions)) *bed {
	t.Helper()
	b := &bed{t: t, mem: newMemory(), pull: &pulling{}}
	b.rt = reconciletest.New(reconciletest.Options{Owner: "owner-1", Version: "test", Now: time.Now})
	b.rt.AddImage(testImage, "sha256:a1")
	b.loaded.Desired = desired(rs...)
	b.run(edits...)
	return b
}

// run starts a loop on what is there.
func (b *bed) run(edits ...func(*bed, *reconcile.LoopOptions)) {
	b.t.Helper()
	o := reconcile.LoopOptions{Load: b.load, Interval: time.Hour}
	o.Apply.Progress = func(e reconcile.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, fmt.Sprintf("%s %s", e.State, e.Step.ID))
	}
	o.Planned = func(reconcile.PassRecord, plan.Plan) { b.planned++ }
	o.Ended = func(rec reconcile.PassRecord, res reconcile.PassResult, _ reconcile.Loaded) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ended = append(b.ended, ending{rec, res})
	}
	for _, edit := range edits {
		edit(b, &o)
	}
	b.loop = reconcile.NewLoop(b.wrap(), b.mem, o)
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.loop.Run(ctx); err != nil {
			b.t.Errorf("run: %v", err)
		}
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	b.t.Cleanup(b.stop)
}

func (b *bed) load(_ context.Context, causes []reconcile.Cause) (reconcile.Loaded, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loads = append(b.loads, loading{time.Now(), causes})
	return b.loaded, b.loadErr
}

// want has the loop told that other resources should be.
func (b *bed) want(rs ...plan.Resource) {
	b.mu.Lock()
	b.loaded.Desired = desired(rs...)
	b.mu.Unlock()
	b.loop.Notify(reconcile.CauseEdit)
}

// wait lets virtual time pass.
func (b *bed) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// took empties what was loaded and what ended so far.
func (b *bed) took() ([]loading, []ending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	loads, ended := b.loads, b.ended
	b.loads, b.ended = nil, nil
	return loads, ended
}

// states is the state of each object, by name.
func (b *bed) states() map[string]plan.State {
	out := map[string]plan.State{}
	for _, o := range b.rt.Things() {
		out[strings.TrimPrefix(o.Name, testWorkspace+"-")] = o.State
	}
	return out
}

func (b *bed) object(name string) plan.Object {
	b.t.Helper()
	for _, o := range b.rt.Things() {
		if o.Name == testWorkspace+"-"+name {
			return o
		}
	}
	b.t.Fatalf("no object %s", name)
	return plan.Object{}
}

// onlyOne is a runtime that checks that no two steps of one resource are ever
// under way at once.
type onlyOne struct {
	reconcile.Runtime
	t     *testing.T
	mu    sync.Mutex
	lanes map[plan.ID]string
}

func (b *bed) wrap() reconcile.Runtime {
	b.pull.Runtime = b.rt
	return &onlyOne{Runtime: b.pull, t: b.t, lanes: map[plan.ID]string{}}
}

func (rt *onlyOne) Do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	rt.mu.Lock()
	if other := rt.lanes[s.Target]; other != "" {
		rt.t.Errorf("%s begins while %s is under way", s.ID, other)
	}
	rt.lanes[s.Target] = s.ID
	rt.mu.Unlock()
	defer func() {
		rt.mu.Lock()
		defer rt.mu.Unlock()
		delete(rt.lanes, s.Target)
	}()
	return rt.Runtime.Do(ctx, s, d)
}

// summary of endings: result, causes and what was done.
func told(ended []ending) []string {
	var out []string
	for _, e := range ended {
		var changes []string
		for _, c := range e.rec.Changes {
			mark := ""
			if !c.Done {
				mark = "?"
			}
			changes = append(changes, fmt.Sprintf("%s %s%s", c.Action, c.ID.Name, mark))
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %v %s", e.rec.Result, e.rec.Causes, strings.Join(changes, ", "))))
	}
	return out
}

func sum(ended []ending) string { return strings.Join(told(ended), "\n") }

func TestLoopConvergesAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a"), instance("b", agent("a"))})
		b.wait(time.Second)
		want := map[string]plan.State{"acme": plan.StateExists, "a": plan.StateRunning, "b": plan.StateRunning}
		if diff := cmp.Diff(want, b.states()); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
		loads, ended := b.took()
		if got, want := sum(ended), "converged [start] create a, create b, create acme"; got != want {
			t.Errorf("passes:\n%s\nwant\n%s", got, want)
		}
		if len(loads) != 2 {
			t.Errorf("%d looks, want one before and one after", len(loads))
		}
		st := b.loop.Status()
		if st.Running || len(st.Statuses) != 3 || st.Last.Number != 1 || st.Last.Ended.IsZero() {
			t.Errorf("status %+v", st)
		}
		if err := b.loop.Ping(t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
		b.stop()
		if err := b.loop.Ping(t.Context()); err == nil {
			t.Error("a loop that ended answers")
		}
		if _, err := b.loop.Await(t.Context(), reconcile.CauseCommand); err == nil {
			t.Error("a loop that ended promises a pass")
		}
	})
}

func TestLoopCoalesces(t *testing.T) {
	tests := []struct {
		name   string
		n      int
		causes []reconcile.Cause
	}{
		{"one", 1, []reconcile.Cause{reconcile.CauseEdit}},
		{"a burst", 1000, []reconcile.Cause{reconcile.CauseEdit, reconcile.CausePoll, reconcile.CauseRuntime}},
		{"ten thousand", 10_000, []reconcile.Cause{reconcile.CausePush, reconcile.CauseEdit}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, []plan.Resource{instance("a")})
				b.wait(time.Second)
				b.took()
				start := time.Now()
				for i := range tt.n {
					b.loop.Notify(tt.causes[i%len(tt.causes)])
					if i%100 == 99 && i < 1000 {
						time.Sleep(time.Millisecond)
					}
				}
				b.wait(time.Second)
				loads, ended := b.took()
				if len(loads) != 1 || loads[0].at.Sub(start) != 50*time.Millisecond {
					t.Fatalf("%d notifications led to %d looks: %v", tt.n, len(loads), loads)
				}
				if diff := cmp.Diff(tt.causes, loads[0].causes); diff != "" {
					t.Errorf("causes (-want +got):\n%s", diff)
				}
				if len(ended) != 1 || ended[0].rec.Result != reconcile.ResultUnchanged {
					t.Errorf("passes:\n%s", sum(ended))
				}
			})
		})
	}
}

// pulling is a runtime whose prepares of some resources take a quarter of an
// hour, whose steps take as long as slow says, and whose observations are old
// when they are told. What can be cut notes it.
type pulling struct {
	reconcile.Runtime
	mu    sync.Mutex
	names []string
	slow  func(plan.Step) time.Duration
	lag   time.Duration
	cut   []string
}

func (rt *pulling) Do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	rt.mu.Lock()
	var takes time.Duration
	if rt.slow != nil {
		takes = rt.slow(s)
	}
	if s.Op == plan.OpPrepare && slices.Contains(rt.names, s.Target.Name) {
		takes = 15 * time.Minute
	}
	rt.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		rt.mu.Lock()
		rt.cut = append(rt.cut, s.Target.Name)
		rt.mu.Unlock()
		return plan.Object{}, ctx.Err()
	}
	return rt.Runtime.Do(ctx, s, d)
}

func (rt *pulling) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	o, err := rt.Runtime.Observe(ctx, d)
	rt.mu.Lock()
	lag := rt.lag
	rt.mu.Unlock()
	time.Sleep(lag)
	return o, err
}

// set changes the runtime while it is in use.
func (rt *pulling) set(f func(rt *pulling)) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	f(rt)
}

// wasCut is whose steps were cut.
func (rt *pulling) wasCut() []string {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return slices.Clone(rt.cut)
}
