// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// look is one look at what should be and what is.
type look struct {
	began   time.Time
	causes  []Cause
	waiters []waiter
	options plan.Options

	intent
	observed plan.Observed // of desired, if there is one
	err      error         // nothing could be observed

	// idle: nothing of the pass under way was left to be done when the look
	// began, and after is what is then, of that pass's desired state.
	idle     bool
	final    bool // what the pass started has settled as well
	after    plan.Observed
	afterErr error

	// aside: it was no look, but something that the loop stood aside for.
	aside bool
}

// look begins a look. It ends in a goroutine of its own, since loading and
// observing may take a while.
func (e *engine) look(ctx context.Context, now time.Time) {
	e.ask(now)
	l := look{began: now, causes: e.causes, waiters: e.waiters}
	if !e.intervalAt.After(now) {
		l.causes = addCauses(l.causes, CauseInterval)
	}
	if !e.retryAt.IsZero() && !e.retryAt.After(now) {
		l.causes = addCauses(l.causes, CauseRetry)
	}
	if !e.wakeAt.IsZero() && !e.wakeAt.After(now) {
		l.causes = addCauses(l.causes, e.wakeCause(now))
		e.wakeAt = time.Time{}
	}
	e.causes, e.waiters, e.asked, e.again = nil, nil, time.Time{}, false
	if slices.ContainsFunc(l.causes, Cause.manual) {
		clear(e.failed)
		clear(e.repeats)
		e.lookFail = 0
	}
	l.options = e.opt.Plan()
	l.options.Supervise = true
	var pass *plan.Desired
	if e.pass != nil && e.x.idle() {
		settled := !e.pass.settled.IsZero() && !e.pass.settled.After(now)
		// What waited for something busy is still to be planned.
		l.idle, l.final = true, settled && len(e.blockers) == 0
		pass = e.pass.desired
	}
	e.x.mark()
	e.looking = true
	good := e.good
	go func() {
		loaded, err := e.opt.Load(ctx, l.causes)
		l.intent = newIntent(loaded, err, good)
		l.see(ctx, e.rt, e.keeper, pass)
		e.looked <- l
	}()
}

// manual causes have everything tried again at once.
func (c Cause) manual() bool { return c == CauseCommand || c == CauseSignal || c == CausePush }

// fresh causes come from outside, and not from what the loop itself did.
func (c Cause) fresh() bool {
	return c != CauseRuntime && c != CauseInterval && c != CauseWake && c != CauseRetry
}

// wakeCause says what a look at now was waited for.
func (e *engine) wakeCause(now time.Time) Cause {
	for _, f := range e.failed {
		if !f.until.After(now) {
			return CauseRetry
		}
	}
	return CauseWake
}

// see observes; pass is the desired state of the pass that the look may end, or
// nil.
func (l *look) see(ctx context.Context, r Reader, m Memory, pass *plan.Desired) {
	if l.desired != nil {
		l.observed, l.err = Observe(ctx, r, m, *l.desired)
	}
	switch {
	case pass == nil:
	case l.planned() && sameDesired(*pass, *l.desired):
		l.after = l.observed
	default:
		l.after, l.afterErr = Observe(ctx, r, m, *pass)
	}
}

// planned reports whether there is something to plan with.
func (l *look) planned() bool { return l.desired != nil && l.err == nil }

// see acts on what a look saw.
func (e *engine) see(ctx context.Context, l look) {
	if l.aside {
		e.goOn()
		return
	}
	now := time.Now()
	e.looking, e.lookedAt = false, now
	if ctx.Err() != nil {
		return
	}
	e.intervalAt = now.Add(jitter(e.opt.Interval))
	var p plan.Plan
	var o plan.Observed
	e.blockers = nil
	e.book(l, now)
	switch {
	case l.planned():
		p, o = e.plan(&l, now)
		e.opt.Looked(*l.desired, o, p)
		e.wakeAt = earlier(p.Wake, e.failed.next(now))
	case l.loaded.Fatal:
		e.wakeAt = time.Time{}
	}
	e.promise(l, now)
	if l.final {
		told := e.pass.known() == l.known()
		e.endPass(e.x.close(ctx), l.after, l.afterErr)
		if l.planned() && (told && len(l.causes) == 0 && len(p.Steps) == 0 || e.churns(l, p, now)) {
			return
		}
	}
	switch {
	case !l.planned():
		e.endEmpty(l)
	case e.pass == nil:
		e.beginPass(ctx, l, o, p)
	case e.joins(l, o, p):
		e.joinPass(l, o, p)
	case l.idle:
		e.endPass(e.x.close(ctx), l.after, l.afterErr)
		e.beginPass(ctx, l, o, p)
	case e.x.idle():
		// Its last step ended while the look was under way, which may have seen
		// things as they were before.
		e.causes, e.waiters = addCauses(l.causes, e.causes...), append(l.waiters, e.waiters...)
		e.asked, e.again = l.began, true
	default:
		e.supersede(&l)
		e.beginPass(ctx, l, o, p)
	}
}

// book notes what a look came to know, and when to try again what it did not.
func (e *engine) book(l look, now time.Time) {
	switch {
	case l.loadErr == nil && l.err == nil:
		e.lookFail, e.retryAt = 0, time.Time{}
	case !e.retryAt.After(now): // what fails before the next try is of the same failure
		e.lookAgainLater(now)
	}
	e.rests = !l.planned()
	if l.planned() {
		e.status.Facts.Health = healthOf(l.observed.Objects)
	}
	if !l.known() {
		return
	}
	e.good = l.desired
	if l.err == nil {
		e.status.Looked = now
	}
}

// promise has the loop look again when what was loaded asks for it.
func (e *engine) promise(l look, now time.Time) {
	if l.loaded.LookAgain > 0 {
		e.wakeAt = earlier(e.wakeAt, now.Add(l.loaded.LookAgain))
	}
}

// lookAgainLater has what could not be seen or kept tried again.
func (e *engine) lookAgainLater(now time.Time) {
	e.lookFail++
	e.retryAt, e.rests = now.Add(backoffDelay(e.lookFail)), true
}

// churns reports whether pass after pass finds something to do although nobody
// asks for anything and nothing fails. The next one then waits. Runs that begin
// and end are none of that: each does so once.
func (e *engine) churns(l look, p plan.Plan, now time.Time) bool {
	if len(p.Steps) == 0 || recordsRuns(p.Steps) || slices.ContainsFunc(l.causes, Cause.fresh) {
		e.churn = 0
		return false
	}
	e.churn++
	if e.churn < churnFree {
		return false
	}
	e.retryAt, e.rests = now.Add(backoffDelay(e.churn-churnFree+1)), true
	e.waiters = append(e.waiters, l.waiters...)
	return true
}

// plan makes a plan of what was seen and of what the executor is about.
func (e *engine) plan(l *look, now time.Time) (plan.Plan, plan.Observed) {
	o := l.observed
	e.failed.forget(*l.desired, o.Inputs, e.x.hooked(), l.began, now)
	o.Backoff = e.failed.facts()
	for _, id := range e.x.touched {
		o.Busy = append(o.Busy, id)
	}
	slices.SortFunc(o.Busy, plan.ID.Compare)
	o.HostHooks = e.x.withoutOwn(o.HostHooks)
	l.options.Now = now
	p, o := decide(e.keeper, *l.desired, o, l.options)
	if waits := e.repeats.see(p, *l.desired, now); len(waits) > 0 {
		o.Backoff = append(o.Backoff, waits...)
		p, o = decide(e.keeper, *l.desired, o, l.options)
	}
	return p, o
}

// watchBusy has the loop look again when what could not be planned because
// something was busy can be.
func (e *engine) watchBusy(d plan.Desired, o plan.Observed, p plan.Plan) {
	e.blockers = nil
	if len(o.Busy) == 0 {
		return
	}
	busy, held, needs := map[string]bool{}, map[string]bool{}, map[string][]plan.Need{}
	for _, id := range o.Busy {
		busy[id.String()] = true
	}
	for _, c := range p.Held {
		held[c.ID.String()] = true
	}
	for _, r := range d.Resources {
		needs[r.ID.String()] = r.Needs
	}
	blockers, seen := map[string]bool{}, map[string]bool{}
	var follow func(id string)
	follow = func(id string) {
		if seen[id] {
			return
		}
		seen[id] = true
		if busy[id] {
			blockers[id] = true
		}
		for _, n := range needs[id] {
			if on := n.On.String(); busy[on] || held[on] {
				follow(on)
			}
		}
	}
	for _, c := range p.Held {
		if id := c.ID.String(); !c.Benign && !e.pending(id) && !e.x.walk.done(id) || e.carried(id) {
			follow(id)
		}
	}
	for id := range blockers {
		e.again = e.again || !e.pending(id)
	}
	e.blockers = blockers
}

// carried reports whether the step under way for a resource is of an earlier
// plan.
func (e *engine) carried(id string) bool {
	t := e.x.lanes[id]
	return t != nil && t.index < 0
}
