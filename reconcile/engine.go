// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// runtimeRest is how long events of the runtime rest while a pass is under
// way: most of them are of its own steps.
const runtimeRest = time.Second

// churnFree is how many passes in a row may find something to do by themselves
// before the next one waits.
const churnFree = 3

// engine is a loop at work. Its fields belong to the goroutine of run.
type engine struct {
	loop   *Loop
	rt     Runtime
	keeper Keeper
	opt    LoopOptions
	x      *executor
	pass   *passage // under way; nil = none
	failed failures

	causes  []Cause // asked for, and not looked yet
	waiters []waiter
	asked   time.Time // when the first of them was; zero = none
	again   bool      // a look is owed at once
	// blockers are busy resources that keep others from being planned.
	blockers map[string]bool
	churn    int   // passes in a row that found something to do by themselves
	flaps    flaps // what passes do again and again, of one desired state
	repeats  repeats

	looking  bool
	looked   chan look
	lookFail int           // looks in a row that saw nothing
	retryAt  time.Time     // the next try to look; zero = the last one saw everything
	rests    bool          // until retryAt, unless somebody asks: nothing can be done before
	lookedAt time.Time     // when the last look ended
	good     *plan.Desired // what should be, when that was known last; nil = never

	intervalAt time.Time
	wakeAt     time.Time // when the last plan wants to be made again; zero = need not
	number     int       // of the next record
	status     LoopStatus
}

func newEngine(l *Loop) *engine {
	e := &engine{
		loop: l, rt: l.rt, keeper: l.keeper, opt: l.opt,
		x:      newExecutor(l.rt, l.keeper, l.opt.Apply),
		failed: failures{}, repeats: repeats{},
		looked: make(chan look),
		causes: []Cause{CauseStart},
		again:  true,
		number: 1,
	}
	e.countOn()
	e.intervalAt = time.Now().Add(jitter(e.opt.Interval))
	return e
}

// countOn finds out the number of the next record.
func (e *engine) countOn() {
	if last, err := e.keeper.History(1); err == nil && len(last) > 0 {
		e.number = last[0].Number + 1
	}
}

func (e *engine) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		e.x.start(ctx)
		if e.standAside(ctx) {
			continue
		}
		now := time.Now()
		e.rest(now)
		due := e.due()
		if !e.looking && !due.After(now) {
			e.look(ctx, now)
			continue
		}
		e.publish(due)
		if !e.looking {
			timer.Reset(due.Sub(now))
		}
		select {
		case <-e.loop.inbox.wake:
			e.ask(time.Now())
		case <-timer.C:
		case end := <-e.x.ended:
			e.finish(end)
		case l := <-e.looked:
			e.see(ctx, l)
		case <-e.loop.pings:
		case <-ctx.Done():
		}
	}
	e.end(ctx)
}

// ask takes what was asked for.
func (e *engine) ask(now time.Time) {
	causes, waiters := e.loop.inbox.take()
	if len(causes) == 0 {
		return
	}
	e.causes = addCauses(e.causes, causes...)
	e.waiters = append(e.waiters, waiters...)
	if e.asked.IsZero() {
		e.asked = now
	}
}

// rest notes when the last step of a pass has ended.
func (e *engine) rest(now time.Time) {
	if e.pass == nil || !e.x.idle() || !e.pass.settled.IsZero() {
		return
	}
	e.pass.settled = now
	if !e.pass.started.IsZero() {
		e.pass.settled = e.pass.started.Add(e.opt.Settle)
	}
}

// due is when to look again.
func (e *engine) due() time.Time {
	if e.again {
		return time.Time{}
	}
	at := earlier(e.intervalAt, e.wakeAt)
	if len(e.causes) > 0 {
		at = earlier(at, e.askedFor())
	}
	if !e.retryAt.IsZero() {
		at = earlier(at, e.retryAt)
	}
	if e.pass != nil && !e.pass.settled.IsZero() {
		at = earlier(at, e.pass.settled)
	}
	return at
}

// askedFor is when to look because somebody asked. What only says that time
// passed, or that the runtime did something, waits with the next try when
// nothing can be done, and is not worth a look each while a pass is under way.
func (e *engine) askedFor() time.Time {
	at := e.asked.Add(e.opt.Quiet)
	idle := !slices.ContainsFunc(e.causes, Cause.fresh)
	switch {
	case idle && e.rests && !e.retryAt.IsZero():
		return e.retryAt
	case idle && e.pass != nil:
		if rested := e.lookedAt.Add(runtimeRest); rested.After(at) {
			return rested
		}
	}
	return at
}

// finish books the end of a step.
func (e *engine) finish(end ending) {
	r, ok := e.x.finish(end)
	target := end.task.target
	if ok {
		e.bookStep(end.task, r)
	}
	if e.blockers[target] && !e.pending(target) {
		e.again = true
	}
}

func (e *engine) bookStep(t *task, r StepResult) {
	now := time.Now()
	switch {
	case r.State == StepFailed:
		var inputs map[plan.Input]plan.Fact
		if e.pass != nil {
			inputs = e.pass.before.Inputs
		}
		e.failed.add(r.Step, r.Err, t.walk.desired, inputs, now)
		e.wakeAt = earlier(e.wakeAt, e.failed.next(now))
		e.again = e.again || t.walk.givenUp(r) // to record it
	case e.x.walk.done(t.target):
		delete(e.failed, t.target)
	}
	if r.State == StepDone && r.Step.Op == plan.OpStart && e.pass != nil {
		e.pass.started = now
	}
}

// end waits for what is under way, and ends the pass.
func (e *engine) end(ctx context.Context) {
	for !e.x.idle() || e.looking {
		select {
		case end := <-e.x.ended:
			e.finish(end)
		case <-e.looked:
			e.looking = false
		}
	}
	if e.pass != nil {
		lookCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTimeout)
		defer cancel()
		after, err := Observe(lookCtx, e.rt, e.keeper, *e.pass.desired)
		e.endPass(e.x.close(ctx), after, err)
	}
	e.loop.inbox.close()
	e.publish(time.Time{})
}

// publish shows what the loop is about to other goroutines.
func (e *engine) publish(next time.Time) {
	s := e.status
	s.Running, s.Next = e.pass != nil, next
	s.Busy = nil
	for _, t := range e.x.lanes {
		s.Busy = append(s.Busy, t.step.Target)
	}
	slices.SortFunc(s.Busy, plan.ID.Compare)
	s.Facts.Backoff = e.failed.facts()
	e.loop.status.Store(&s)
}
