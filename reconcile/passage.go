// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// passage is a pass under way.
type passage struct {
	began   time.Time
	causes  []Cause
	waiters []waiter
	intent
	options plan.Options
	before  plan.Observed
	plan    plan.Plan // with what later looks added
	// basis is what the steps of each resource were planned for, by ID.
	basis   map[string]string
	started time.Time // when something was last started
	settled time.Time // when what was started has run for long enough; zero = steps are left
}

// beginPass begins a pass. One with nothing to do, and nothing to wait for, ends
// at once.
func (e *engine) beginPass(ctx context.Context, l look, o plan.Observed, p plan.Plan) {
	e.pass = &passage{
		began: l.began, causes: addCauses(nil, l.causes...), waiters: l.waiters,
		intent: l.intent, options: l.options, before: o, plan: p, basis: map[string]string{},
	}
	if len(e.pass.causes) == 0 {
		e.pass.causes = []Cause{CauseWake}
	}
	e.noteBasis(o, p.Steps)
	e.repeats.begin(p.Changes)
	putSpecs(e.keeper, *l.desired, p.Steps)
	e.opt.Planned(e.pass.record(e.number), p)
	if err := accept(e.keeper, *l.desired, o, l.options); err != nil {
		e.x.take(plan.Plan{}, *l.desired)
		e.lookAgainLater(time.Now())
		e.endPass(Outcome{}, o, err)
		return
	}
	e.x.take(p, *l.desired)
	e.x.start(ctx)
	e.watchBusy(*l.desired, o, p)
	if e.x.idle() && len(e.blockers) == 0 {
		e.endPass(e.x.close(ctx), o, nil)
	}
}

// joins reports whether what a look found is of the pass under way: the same
// should be, its steps are those that would be planned now, and what else is
// to be done can be done beside them.
func (e *engine) joins(l look, o plan.Observed, p plan.Plan) bool {
	if !sameDesired(*l.desired, *e.pass.desired) || !slices.Equal(p.Refused, e.pass.plan.Refused) {
		return false
	}
	now := bases(o, *l.desired)
	for target, n := range e.x.walk.open {
		if n > 0 && !e.x.walk.begun[target] && e.pass.basis[target] != now[target] {
			return false
		}
	}
	return !e.endsWait(p) && !e.x.walk.lacksRun(p) && e.x.walk.fits(e.added(p))
}

// endsWait reports whether p acts on what the pass under way only waits for any
// more: there is no use in waiting for what is to be stopped.
func (e *engine) endsWait(p plan.Plan) bool {
	return slices.ContainsFunc(p.Steps, func(s plan.Step) bool {
		acts := s.Op == plan.OpStop || s.Op == plan.OpDelete || s.Op == plan.OpStart || s.Op == plan.OpCreate
		return acts && e.x.walk.onlyWaits(s.Target.String())
	})
}

// added returns the steps of resources on which the pass under way has
// nothing left to do.
func (e *engine) added(p plan.Plan) []plan.Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s plan.Step) bool { return e.pending(s.Target.String()) })
}

func (e *engine) pending(target string) bool {
	return e.x.walk.open[target] > 0 || e.x.lanes[target] != nil
}

// joinPass adds to the pass under way what a look found. That what should be is
// not known any more is no fault of a pass that began when it was.
func (e *engine) joinPass(l look, o plan.Observed, p plan.Plan) {
	pass := e.pass
	if pass.known() && !l.known() {
		e.endEmpty(l)
	} else {
		pass.causes = addCauses(pass.causes, l.causes...)
		pass.waiters = append(pass.waiters, l.waiters...)
		pass.intent, pass.options = l.intent, l.options
	}
	steps := e.added(p)
	defer e.watchBusy(*l.desired, o, p)
	if len(steps) == 0 {
		return
	}
	news := map[plan.ID]bool{}
	for _, s := range steps {
		news[s.Target] = true
	}
	old := func(c plan.Change) bool { return !news[c.ID] }
	more := p
	more.Steps = steps
	more.Changes = slices.DeleteFunc(slices.Clone(p.Changes), old)
	more.Drift = slices.DeleteFunc(slices.Clone(p.Drift), old)
	pass.plan.Steps = slices.Concat(pass.plan.Steps, steps)
	pass.plan.Changes = mergeChanges(pass.plan.Changes, more.Changes)
	pass.plan.Drift = mergeChanges(pass.plan.Drift, more.Drift)
	pass.settled = time.Time{}
	e.noteBasis(o, steps)
	e.repeats.begin(more.Changes)
	putSpecs(e.keeper, *l.desired, steps)
	if !more.Empty() {
		e.opt.Planned(pass.record(e.number), more)
	}
	e.x.extend(steps)
}

// mergeChanges adds the changes of resources that are not in the list.
func mergeChanges(list, more []plan.Change) []plan.Change {
	list = slices.Clone(list)
	for _, c := range more {
		if !slices.ContainsFunc(list, func(have plan.Change) bool { return have.ID == c.ID }) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b plan.Change) int { return a.ID.Compare(b.ID) })
	return list
}

// noteBasis remembers what the steps were planned for.
func (e *engine) noteBasis(o plan.Observed, steps []plan.Step) {
	if len(steps) == 0 {
		return
	}
	all := bases(o, *e.pass.desired)
	for _, s := range steps {
		target := s.Target.String()
		e.pass.basis[target] = all[target]
	}
}

// bases returns, by resource, all that a plan for it depends on, besides the
// desired state and other resources. Whether something is pruned depends on
// whether all of the desired state is known.
func bases(o plan.Observed, d plan.Desired) map[string]string {
	all := map[string]string{}
	for _, objs := range [][]plan.Object{o.Objects, o.Foreign} {
		for _, obj := range objs {
			all[obj.ID.String()] += fmt.Sprintf("%s %s %s %s %d %t\n", obj.Handle, obj.Name, obj.State, obj.Digest, len(obj.Drift), obj.Outcome != nil)
		}
	}
	for _, r := range o.Records.Records {
		if r.Kind == plan.RecordWish {
			all[r.ID.String()] += fmt.Sprintf("%s %d %s\n", r.Key, r.At.UnixNano(), r.Data["wanted"])
		}
	}
	wanted := map[string]bool{}
	for _, r := range d.Resources {
		wanted[r.ID.String()] = true
		for _, in := range r.Spec.Inputs() {
			all[r.ID.String()] += fmt.Sprintf("%s %s %s\n", in, o.Inputs[in].State, o.Inputs[in].Value)
		}
	}
	for id := range all {
		if !wanted[id] && len(d.Partial) > 0 {
			all[id] += "not pruned\n"
		}
	}
	return all
}

// supersede ends the pass under way for the sake of the one that l begins,
// which goes on for its causes as well, and for those who wait for it.
func (e *engine) supersede(l *look) {
	pass := e.pass
	e.pass = nil
	l.causes = addCauses(slices.Clone(pass.causes), l.causes...)
	l.waiters = slices.Concat(pass.waiters, l.waiters)
	out := e.x.drop()
	out.Superseded = true
	e.repeats.end(out, time.Now())
	res := PassResult{Plan: pass.plan, Before: pass.before, Outcome: out, After: pass.before}
	e.ended(RecordOf(res, pass.loaded, pass.causes, pass.began), res, pass.loaded, nil)
}

// endPass ends the pass under way; after is what is then, unless err says why
// that is not known.
func (e *engine) endPass(out Outcome, after plan.Observed, err error) {
	pass := e.pass
	e.pass = nil
	d := *pass.desired
	e.repeats.end(out, time.Now())
	res := PassResult{Plan: pass.plan, Before: pass.before, Outcome: out, After: pass.before, Err: err}
	next := pass.plan
	if err == nil {
		res.After = after
		if len(out.Steps)+len(pass.before.Busy) > 0 {
			res.After.Backoff = e.failed.facts()
			opts := pass.options
			opts.Now = time.Now()
			next, _ = decide(e.keeper, d, res.After, opts)
			// What was busy when the pass was planned is not held any more.
			res.Plan.Held, res.Plan.Refused = next.Held, next.Refused
			res.Plan.Incomplete, res.Plan.Complete = next.Incomplete, next.Complete
		}
		res.Unsettled = mergeUnsettled(e.flaps.see(d, out, next), e.repeats.unsettled())
		res.Err = remember(e.keeper, d, res)
	}
	res.Err = errors.Join(pass.loadErr, res.Err)
	res.Status = Summarize(d, res.After, next)
	e.status.Statuses = res.Status
	e.ended(RecordOf(res, pass.loaded, pass.causes, pass.began), res, pass.loaded, pass.waiters)
}

// endEmpty ends a pass that could not begin.
func (e *engine) endEmpty(l look) {
	res := PassResult{Err: errors.Join(l.loadErr, l.err)}
	e.ended(RecordOf(res, l.loaded, l.causes, l.began), res, l.loaded, l.waiters)
}

// ended keeps the record of a pass and tells those who wait for it.
func (e *engine) ended(rec PassRecord, res PassResult, l Loaded, waiters []waiter) {
	if rec.Result == ResultSuperseded && len(rec.Changes) == 0 {
		rec.Number = 0
	} else if kept, err := e.keeper.AppendHistory(rec); err != nil {
		rec.Errors = append(rec.Errors, err.Error())
	} else if rec = kept; kept.Number > 0 {
		e.number = kept.Number + 1
	}
	e.status.Last = rec
	e.opt.Ended(rec, res, l)
	for _, w := range waiters {
		w <- rec
	}
}

func (p *passage) record(number int) PassRecord {
	return PassRecord{
		Number: number, Began: p.began, Causes: slices.Clone(p.causes), Revision: p.loaded.Desired.Revision,
		Changes: []PassChange{}, Errors: []string{},
	}
}
