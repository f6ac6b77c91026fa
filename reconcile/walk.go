// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"time"

	"reconcile/reconcile/plan"
)

// walk is one plan being carried out. Its fields belong to the goroutine of
// run; steps run in goroutines of their own and report through ended.
type walk struct {
	rt        Runtime
	rec       Records
	desired   plan.Desired
	opt       ApplyOptions
	resources map[string]plan.Resource // by ID in its text form, as below

	steps   []plan.Step
	results []StepResult
	targets []string
	users   [][]int // by step: the steps that are after it
	missing []int   // by step: how many steps it is still after
	depth   []int   // by step: length of the longest chain that leads to it
	chain   []int   // by step: length of the longest chain that it is part of

	acting  pool
	waiting pool
	parked  map[string][]int // ready, but another step of the resource runs
	lanes   map[string]bool  // resources with a step under way
	made    map[string]plan.Object
	ended   chan ending
}

// pool holds the steps that may start and counts those under way.
type pool struct {
	ready   readyHeap
	running int
	limit   int
}

type ending struct {
	step int
	obj  plan.Object
	err  error
}

func newWalk(rt Runtime, rec Records, p plan.Plan, d plan.Desired, o ApplyOptions) *walk {
	n := len(p.Steps)
	w := &walk{
		rt: rt, rec: rec, desired: d, opt: o,
		resources: make(map[string]plan.Resource, len(d.Resources)),
		steps:     make([]plan.Step, n),
		results:   make([]StepResult, n),
		targets:   make([]string, n),
		users:     make([][]int, n),
		missing:   make([]int, n),
		depth:     make([]int, n),
		chain:     make([]int, n),
		parked:    map[string][]int{},
		lanes:     map[string]bool{},
		made:      map[string]plan.Object{},
		ended:     make(chan ending),
	}
	for _, r := range d.Resources {
		w.resources[r.ID.String()] = r
	}
	copy(w.steps, p.Steps)
	index := make(map[string]int, n)
	for i, s := range w.steps {
		w.results[i].Step = s
		w.targets[i] = s.Target.String()
		index[s.ID] = i
	}
	for i, s := range w.steps {
		w.missing[i] = len(s.After)
		for _, id := range s.After {
			if j, ok := index[id]; ok {
				w.users[j] = append(w.users[j], i)
			}
		}
	}
	w.measure()
	w.acting = pool{ready: readyHeap{less: w.less}, limit: o.Parallel}
	w.waiting = pool{ready: readyHeap{less: w.less}, limit: o.Parallel * waitsPerStep}
	return w
}

// measure finds the chains of a plan, whose steps are in a topological order.
func (w *walk) measure() {
	height := make([]int, len(w.steps)) // of the longest chain that leads on
	for i := len(w.steps) - 1; i >= 0; i-- {
		for _, user := range w.users[i] {
			height[i] = max(height[i], height[user]+1)
		}
	}
	for i := range w.steps {
		for _, user := range w.users[i] {
			w.depth[user] = max(w.depth[user], w.depth[i]+1)
		}
		w.chain[i] = w.depth[i] + height[i]
	}
}

// less puts the longest chains first, since they end last; among equals the
// step that goes on with what is begun, so that creates and starts overlap;
// then the order of the plan.
func (w *walk) less(a, b int) bool {
	return cmp.Or(cmp.Compare(w.chain[b], w.chain[a]), cmp.Compare(w.depth[b], w.depth[a]), cmp.Compare(a, b)) < 0
}

// pool returns where a step waits for its turn.
func (w *walk) pool(i int) *pool {
	if w.steps[i].Op == plan.OpWait {
		return &w.waiting
	}
	return &w.acting
}

func (w *walk) push(i int) { heap.Push(&w.pool(i).ready, i) }

func (w *walk) run(ctx context.Context) {
	for i, s := range w.steps {
		w.opt.Progress(Event{State: StepQueued, Step: s})
		if w.missing[i] == 0 {
			w.push(i)
		}
	}
	done := ctx.Done()
	for {
		w.startAll(ctx, &w.acting)
		w.startAll(ctx, &w.waiting)
		if w.acting.running+w.waiting.running == 0 {
			break
		}
		select {
		case e := <-w.ended:
			w.finish(e)
		case <-done:
			done = nil // once is enough: what is under way ends or is cancelled
		}
	}
	// What is left was never reached: the walk was interrupted, or the plan
	// has a cycle or names steps that it lacks.
	for i := range w.results {
		if w.results[i].State != "" {
			continue
		}
		why := errInterrupted.Error()
		if ctx.Err() == nil {
			why = fmt.Sprintf("the plan never gets to what it comes after: %q", w.steps[i].After)
		}
		w.skip(i, why)
	}
}

// startAll starts every step of a pool that may start now.
func (w *walk) startAll(ctx context.Context, p *pool) {
	for p.running < p.limit && p.ready.Len() > 0 && ctx.Err() == nil {
		i := heap.Pop(&p.ready).(int)
		target := w.targets[i]
		if w.lanes[target] {
			w.parked[target] = append(w.parked[target], i)
			continue
		}
		p.running++
		w.start(ctx, i)
	}
}

func (w *walk) start(ctx context.Context, i int) {
	s := w.steps[i]
	made := w.made[w.targets[i]]
	if s.Object == "" && needsObject(s.Op) {
		s.Object = made.Handle
		w.steps[i] = s
	}
	w.lanes[w.targets[i]] = true
	w.results[i].Started = time.Now()
	w.opt.Progress(Event{State: StepStarted, Step: s})
	go func() {
		obj, err := w.perform(ctx, s, made)
		w.ended <- ending{step: i, obj: obj, err: err}
	}()
}

// finish books the end of a step and lets go what it held up.
func (w *walk) finish(e ending) {
	s, r := w.steps[e.step], &w.results[e.step]
	target := w.targets[e.step]
	w.pool(e.step).running--
	delete(w.lanes, target)
	for _, i := range w.parked[target] {
		w.push(i)
	}
	delete(w.parked, target)

	r.Step, r.Object, r.Err = s, e.obj, e.err
	r.Duration = time.Since(r.Started)
	if e.err != nil {
		r.State, r.Detail = StepFailed, e.err.Error()
		w.opt.Progress(Event{State: StepFailed, Step: s, Elapsed: r.Duration, Detail: r.Detail, Err: e.err})
		w.skipUsers(e.step)
		return
	}
	r.State = StepDone
	if s.Op == plan.OpCreate {
		w.made[target] = e.obj
	}
	w.opt.Progress(Event{State: StepDone, Step: s, Elapsed: r.Duration})
	for _, user := range w.users[e.step] {
		w.missing[user]--
		if w.missing[user] == 0 {
			w.push(user)
		}
	}
}

// skipUsers skips all that depends on a step that failed.
func (w *walk) skipUsers(failed int) {
	s := w.steps[failed]
	why := fmt.Sprintf("%s of %s failed", s.Op, s.Target)
	todo := w.users[failed]
	for len(todo) > 0 {
		i := todo[0]
		todo = todo[1:]
		if w.results[i].State != "" {
			continue
		}
		w.skip(i, why)
		todo = append(todo[:len(todo):len(todo)], w.users[i]...)
	}
}

func (w *walk) skip(i int, why string) {
	w.results[i].State, w.results[i].Detail = StepSkipped, why
	w.opt.Progress(Event{State: StepSkipped, Step: w.steps[i], Detail: why})
}

// readyHeap holds steps that may start, the first of them on top.
type readyHeap struct {
	items []int
	less  func(a, b int) bool
}

func (h *readyHeap) Len() int           { return len(h.items) }
func (h *readyHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *readyHeap) Swap(i, j int)      { h.items[i], h.items[j] = h.items[j], h.items[i] }
func (h *readyHeap) Push(x any)         { h.items = append(h.items, x.(int)) }
func (h *readyHeap) Pop() any {
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	return last
}
