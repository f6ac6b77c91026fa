// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// executor carries out one plan after another, with at most one step of a
// resource under way at any time, whatever plan it is of. Its fields belong to
// the goroutine of its user; steps run in goroutines of their own and report
// through ended, which the user receives from until idle.
type executor struct {
	rt  Runtime
	rec Records
	opt ApplyOptions

	walk    *walk
	acting  pool
	waiting pool
	parked  map[string][]int // ready, but another step of the resource runs
	lanes   map[string]*task // steps under way, by resource
	// touched are the resources with a step under way that is not cuttable, now
	// or at any time since the last mark, or with a hook that has ended since.
	touched map[string]plan.ID
	ended   chan ending
}

// pool holds the steps that may start and counts those under way.
type pool struct {
	ready   readyHeap
	running int
	limit   int
}

// task is a step under way.
type task struct {
	step    plan.Step
	target  string
	walk    *walk // it was started in
	index   int   // in the walk in hand; -1 = it is of an earlier one
	dropped bool  // it was cancelled, and how it ends counts for nothing
	started time.Time
	cancel  context.CancelCauseFunc
}

type ending struct {
	task *task
	obj  plan.Object
	err  error
}

// stepForgotten is the state of what did not succeed and is tried again.
const stepForgotten StepState = "forgotten"

var errSuperseded = errors.New("cancelled: a newer plan does without it")

const (
	textSuperseded = "superseded by a newer plan"
	textGoesOn     = "it goes on under a newer plan"
)

func newExecutor(rt Runtime, rec Records, o ApplyOptions) *executor {
	o = o.withDefaults()
	x := &executor{
		rt: rt, rec: rec, opt: o,
		lanes: map[string]*task{}, touched: map[string]plan.ID{}, ended: make(chan ending),
	}
	x.acting.limit, x.waiting.limit = o.Parallel, o.Parallel*waitsPerStep
	x.take(plan.Plan{}, plan.Desired{})
	return x
}

// drop gives up the plan in hand and returns how it ended. Nothing of it
// starts any more; what is under way goes on until a plan is taken.
func (x *executor) drop() Outcome {
	w := x.walk
	under := map[int]bool{}
	for _, t := range x.lanes {
		if t.index >= 0 {
			under[t.index] = true
		}
	}
	o := Outcome{}
	for i := range w.results {
		switch {
		case w.results[i].State != "":
			continue
		case under[i]:
			w.results[i].State, w.results[i].Detail = StepSkipped, textGoesOn
		default:
			x.skip(i, textSuperseded)
		}
		o.Superseded = true
	}
	o.Steps = w.outcome()
	return o
}

// take takes a plan in hand. Of what is under way, a step that the plan has as
// well goes on as a step of it, a cuttable one that it lacks is cancelled, and
// any other goes on by itself and is reported with the plan's own.
func (x *executor) take(p plan.Plan, d plan.Desired) {
	w := newWalk(p, d)
	x.walk, x.parked = w, map[string][]int{}
	x.acting.ready, x.waiting.ready = readyHeap{less: w.less}, readyHeap{less: w.less}
	kept := map[int]bool{}
	for _, target := range slices.Sorted(maps.Keys(x.lanes)) {
		t := x.lanes[target]
		t.index = -1
		if t.dropped {
			continue
		}
		if i := w.find(t.step); i >= 0 {
			t.index, kept[i] = i, true
			w.steps[i].Object, w.results[i].Started = t.step.Object, t.started
			w.begun[target] = w.begun[target] || !cuttable(t.step)
			continue
		}
		if cuttable(t.step) {
			t.dropped = true
			t.cancel(errSuperseded)
			x.opt.Progress(Event{State: StepSkipped, Step: t.step, Detail: errSuperseded.Error()})
		}
	}
	x.queue(0, kept)
}

// extend adds steps to the plan in hand. Their resources have no step left in
// it and none under way.
func (x *executor) extend(steps []plan.Step) { x.queue(x.walk.add(steps), nil) }

// queue has the steps from first on wait for their turn, save for those that
// are under way already.
func (x *executor) queue(first int, under map[int]bool) {
	for i := first; i < len(x.walk.steps); i++ {
		if under[i] {
			continue
		}
		x.opt.Progress(Event{State: StepQueued, Step: x.walk.steps[i]})
		if x.walk.missing[i] == 0 {
			x.push(i)
		}
	}
}

// pool returns where a step of the op waits for its turn.
func (x *executor) pool(op plan.Op) *pool {
	if op == plan.OpWait {
		return &x.waiting
	}
	return &x.acting
}

func (x *executor) push(i int) { heap.Push(&x.pool(x.walk.steps[i].Op).ready, i) }

// start starts every step that may start now; none when ctx has ended.
func (x *executor) start(ctx context.Context) {
	for _, p := range []*pool{&x.acting, &x.waiting} {
		for p.running < p.limit && p.ready.Len() > 0 && ctx.Err() == nil {
			i := heap.Pop(&p.ready).(int)
			target := x.walk.targets[i]
			if x.lanes[target] != nil {
				x.parked[target] = append(x.parked[target], i)
				continue
			}
			p.running++
			x.begin(ctx, i)
		}
	}
}

func (x *executor) begin(ctx context.Context, i int) {
	w, target := x.walk, x.walk.targets[i]
	s, made := w.steps[i], w.made[madeFor(w.steps[i])]
	if s.Object == "" && needsObject(s) {
		s.Object = made.Handle
		w.steps[i] = s
	}
	ctx, cancel := context.WithCancelCause(ctx)
	t := &task{step: s, target: target, walk: w, index: i, started: time.Now(), cancel: cancel}
	x.lanes[target] = t
	if !cuttable(s) {
		x.touched[target] = s.Target
		w.begun[target] = true
	}
	w.results[i].Started = t.started
	x.opt.Progress(Event{State: StepStarted, Step: s})
	go func() {
		obj, err := x.perform(ctx, w, s, made)
		x.ended <- ending{task: t, obj: obj, err: err}
	}()
}

// finish books the end of a step and lets go what it held up. It returns how
// the step ended; ok is false for one that was cancelled.
func (x *executor) finish(e ending) (r StepResult, ok bool) {
	t := e.task
	t.cancel(nil)
	x.pool(t.step.Op).running--
	delete(x.lanes, t.target)
	for _, i := range x.parked[t.target] {
		x.push(i)
	}
	delete(x.parked, t.target)
	if t.step.Op != plan.OpPrepare && t.step.Op != plan.OpWait {
		x.touched[t.target] = t.step.Target // also a hook: what was known before it ended is no longer so
	}
	if t.dropped {
		return StepResult{}, false
	}
	r = StepResult{
		Step: t.step, State: StepDone, Object: e.obj, Err: e.err,
		Started: t.started, Duration: time.Since(t.started),
	}
	if e.err != nil {
		r.State, r.Detail = StepFailed, e.err.Error()
	}
	x.opt.Progress(Event{State: r.State, Step: t.step, Elapsed: r.Duration, Detail: r.Detail, Err: r.Err})
	if t.index < 0 {
		x.walk.carried = append(x.walk.carried, r)
		return r, true
	}
	x.walk.results[t.index] = r
	x.walk.end(t.index, r.State)
	if e.err != nil {
		x.skipUsers(t.index)
		return r, true
	}
	if t.step.Op == plan.OpCreate {
		x.walk.made[madeFor(t.step)] = e.obj
	}
	for _, user := range x.walk.users[t.index] {
		x.walk.missing[user]--
		if x.walk.missing[user] == 0 && x.walk.waits(user) {
			x.push(user)
		}
	}
	return r, true
}

// idle reports whether nothing is under way.
func (x *executor) idle() bool { return len(x.lanes) == 0 }

// close ends the walk when nothing is under way and nothing starts any more,
// and returns how the plan ended. What is left was never reached: the walk was
// interrupted, or the plan has a cycle or names steps that it lacks.
func (x *executor) close(ctx context.Context) Outcome {
	w := x.walk
	for i := range w.results {
		switch {
		case w.results[i].State != "":
		case ctx.Err() != nil:
			x.skip(i, errInterrupted.Error())
		default:
			x.skip(i, fmt.Sprintf("the plan never gets to what it comes after: %q", w.steps[i].After))
		}
	}
	o := Outcome{Steps: w.outcome()}
	undone := func(r StepResult) bool { return r.State != StepDone }
	o.Interrupted = ctx.Err() != nil && slices.ContainsFunc(o.Steps, undone)
	return o
}

// skipUsers skips all that depends on a step that failed.
func (x *executor) skipUsers(failed int) {
	w := x.walk
	why := skippedFor(w.steps[failed])
	todo := w.users[failed]
	for len(todo) > 0 {
		i := todo[0]
		todo = todo[1:]
		if !w.waits(i) {
			continue
		}
		x.skip(i, why)
		todo = append(todo[:len(todo):len(todo)], w.users[i]...)
	}
}

// skippedFor is why what comes after s, which failed, is skipped.
func skippedFor(s plan.Step) string { return fmt.Sprintf("%s of %s failed", s.Op, s.Target) }

func (x *executor) skip(i int, why string) {
	x.walk.results[i].Detail = why
	x.walk.end(i, StepSkipped)
	x.opt.Progress(Event{State: StepSkipped, Step: x.walk.steps[i], Detail: why})
}

// withoutOwn leaves out of what is known of host hooks those that x is about: a
// plan that wants one of them has the step, and it goes on as that.
func (x *executor) withoutOwn(hooks map[plan.ID]plan.HostHook) map[plan.ID]plan.HostHook {
	own := func(id plan.ID, h plan.HostHook) bool {
		t := x.lanes[id.String()]
		return h.State == plan.HookRunning && t != nil && t.step.Op == plan.OpHost
	}
	hooks = maps.Clone(hooks)
	maps.DeleteFunc(hooks, own)
	return hooks
}

// hooked are the resources of which a hook is under way on the host.
func (x *executor) hooked() map[plan.ID]bool {
	out := map[plan.ID]bool{}
	for _, t := range x.lanes {
		if t.step.Op == plan.OpHost {
			out[t.step.Target] = true
		}
	}
	return out
}

// mark begins anew to note what is touched.
func (x *executor) mark() {
	clear(x.touched)
	for target, t := range x.lanes {
		if !cuttable(t.step) {
			x.touched[target] = t.step.Target
		}
	}
}
