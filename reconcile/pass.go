// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// Keeper is a Memory that a pass also writes to. A [Store] is one.
type Keeper interface {
	Memory
	Records
	PutSpec(digest string, spec json.RawMessage) error
	// PutContent keeps the text with the digest, sha256:HEX, or not.
	PutContent(digest string, b []byte) error
	// KeepSpecs forgets every spec but those with the digests, and the contents that
	// none of these names.
	KeepSpecs(digests []string) error
	PutConverged(ids []plan.ID) error
	// AppendHistory keeps what is worth keeping of a pass, and numbers it.
	AppendHistory(r PassRecord) (PassRecord, error)
	// History returns the records of the last passes, the newest first; limit
	// 0 = all.
	History(limit int) ([]PassRecord, error)
	// Accept remembers owners and roots whose objects were taken over by root,
	// which from then on is none of these. It is on disk before it returns.
	Accept(root string, ids ...string) error
}

// PassOptions say how one pass is done.
type PassOptions struct {
	Plan  plan.Options // Now is the time of the pass; zero = time.Now
	Apply ApplyOptions
	// Settle is how long what was started must have run before the last look, so
	// that what ends at once is seen to have ended. 0 = not at all.
	Settle time.Duration
	// Planned, if set, is given the plan before anything is done. Its error
	// ends the pass.
	Planned func(plan.Plan) error
	// Narrow, if set, is given the plan and what it was made from, before
	// anything is done, and returns the part of it that is carried out. Its error
	// ends the pass.
	Narrow func(plan.Plan, plan.Observed) (plan.Plan, error)
	// Reload, if set, says what should be after hooks have run on the host: one
	// may have changed the folder of an agent that other steps were planned for.
	// The pass then goes on with that, and Planned is told again. It is not called
	// when Narrow is set.
	Reload func(context.Context) (plan.Desired, error)
}

// PassResult is what one pass did.
type PassResult struct {
	Plan    plan.Plan
	Before  plan.Observed
	Outcome Outcome
	After   plan.Observed // as Before when there was nothing to do
	Status  []Status
	// Unsettled is what passes of a loop do again and again.
	Unsettled []Unsettled
	// Err is why the pass could not begin, why what should be could not be loaded,
	// or why the end of the pass could not be seen or kept; the rest is then what
	// is known.
	Err error
}

// afterTimeout bounds the look around after a pass that was interrupted.
const afterTimeout = 30 * time.Second

// passRounds bounds how often one pass loads anew what should be.
const passRounds = 3

// Pass converges once: it observes, plans, applies and observes again. Failed
// steps are in the outcome, see [Outcome.Err]; the error is for a pass that
// could not begin or whose end could not be seen, and the result then holds
// what is known.
func Pass(ctx context.Context, rt Runtime, k Keeper, d plan.Desired, o PassOptions) (PassResult, error) {
	if o.Plan.Now.IsZero() {
		o.Plan.Now = time.Now()
	}
	rounds := 1
	if o.Reload != nil && o.Narrow == nil {
		rounds = passRounds
	}
	var replans *replans
	round := func(more bool, failed []plan.Backoff) (PassResult, error) {
		opt := o
		replans = newReplans(o.Apply.Progress)
		if more {
			opt.Apply.Progress = replans.event
		}
		return pass(ctx, rt, k, d, opt, failed)
	}
	res, err := round(rounds > 1, nil)
	last, failed := res.Outcome, failures{}
	for n := 2; n <= rounds; n++ {
		if err != nil || ctx.Err() != nil || !ranHostHook(last) {
			break
		}
		var now plan.Desired
		began := time.Now()
		if now, err = o.Reload(ctx); err != nil || sameDesired(d, now) {
			break
		}
		replans.settle(d, now)
		failed.addAll(last, d, res.Before.Inputs, began)
		failed.forget(now, res.After.Inputs, nil, began, time.Now())
		d = now
		o.Plan.Now = time.Now()
		var more PassResult
		more, err = round(n < rounds, failed.facts())
		last, res = more.Outcome, more.after(res)
	}
	replans.settle(d, d)
	res.Err = err
	return res, err
}

// ranHostHook reports whether a hook has run on the host.
func ranHostHook(o Outcome) bool {
	return slices.ContainsFunc(o.Steps, func(r StepResult) bool { return r.Step.Op == plan.OpHost && r.State == StepDone })
}

// once is how long what failed in one round of a pass is left alone: for the rest
// of the pass.
const once = 24 * time.Hour

// addAll books the steps that failed.
func (fs failures) addAll(o Outcome, d plan.Desired, inputs map[plan.Input]plan.Fact, now time.Time) {
	for _, r := range o.Steps {
		if r.State == StepFailed {
			fs.add(r.Step, r.Err, d, inputs, now)
			fs[r.Step.Target.String()].until = now.Add(once)
		}
	}
}

// after is the result of a pass that went on from first. What did not succeed
// there, and is asked for otherwise now, has been planned anew; the rest ended as
// it did.
func (r PassResult) after(first PassResult) PassResult {
	anew, failed := map[plan.ID]bool{}, map[plan.ID]bool{}
	for _, s := range r.Plan.Steps {
		anew[s.Target] = true
	}
	var steps []plan.Step
	var ended []StepResult
	for _, st := range first.Outcome.Steps {
		if st.State == StepDone || !anew[st.Step.Target] {
			steps, ended = append(steps, st.Step), append(ended, st)
			failed[st.Step.Target] = failed[st.Step.Target] || st.State == StepFailed
		}
	}
	r.Before = first.Before
	for _, c := range first.Plan.Changes {
		if !slices.ContainsFunc(r.Plan.Changes, func(more plan.Change) bool { return more.ID == c.ID }) && r.Plan.Unchanged > 0 {
			r.Plan.Unchanged-- // since it was changed before
		}
	}
	r.Plan.Changes = mergeChanges(r.Plan.Changes, first.Plan.Changes)
	r.Plan.Drift = mergeChanges(r.Plan.Drift, first.Plan.Drift)
	r.Plan.Held = slices.DeleteFunc(r.Plan.Held, func(c plan.Change) bool { return failed[c.ID] })
	r.Plan.Steps = slices.Concat(steps, r.Plan.Steps)
	r.Outcome.Steps = slices.Concat(ended, r.Outcome.Steps)
	return r
}

// pass is one round of a Pass; failed is what is not tried again in it.
func pass(ctx context.Context, rt Runtime, k Keeper, d plan.Desired, o PassOptions, failed []plan.Backoff) (PassResult, error) {
	var res PassResult
	before, err := Observe(ctx, rt, k, d)
	if err != nil {
		return res, err
	}
	before.Backoff = failed
	res.Plan, res.Before = decide(k, d, before, o.Plan)
	res.After = res.Before
	if o.Narrow != nil {
		if res.Plan, err = o.Narrow(res.Plan, res.Before); err != nil {
			return res, err
		}
	}
	if o.Planned != nil {
		if err := o.Planned(res.Plan); err != nil {
			return res, err
		}
	}
	if err := accept(k, d, res.Before, o.Plan); err != nil {
		return res, err
	}
	if len(res.Plan.Steps) > 0 {
		res.Outcome = Apply(ctx, rt, k, res.Plan, d, o.Apply)
		settle(ctx, res.Outcome, o.Settle)
		err := res.lookAround(ctx, rt, k, d)
		if err == nil {
			err = res.giveUp(ctx, rt, k, d, o)
		}
		if err != nil {
			res.Status = Summarize(d, res.After, res.Plan)
			return res, err
		}
	}
	next := res.Plan
	if len(res.Plan.Steps) > 0 {
		next, _ = decide(k, d, res.After, o.Plan)
	}
	res.Status = Summarize(d, res.After, next)
	if err := remember(k, d, res); err != nil {
		return res, err
	}
	return res, nil
}

// lookAround observes what is after the steps.
func (r *PassResult) lookAround(ctx context.Context, rt Runtime, k Keeper, d plan.Desired) error {
	lookCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterTimeout)
	defer cancel()
	after, err := Observe(lookCtx, rt, k, d)
	if err == nil {
		r.After = after
	}
	return err
}

// giveUp records of each run for which there was no image that it has failed: it
// is not tried again for that.
func (r *PassResult) giveUp(ctx context.Context, rt Runtime, k Keeper, d plan.Desired, o PassOptions) error {
	w := newWalk(plan.Plan{}, d)
	failed, given := failures{}, map[plan.ID]bool{}
	for _, st := range r.Outcome.Steps {
		if w.givenUp(st) {
			given[st.Step.Target] = true
		}
	}
	if len(given) == 0 || ctx.Err() != nil {
		return nil
	}
	failed.addAll(r.Outcome, d, r.Before.Inputs, time.Now())
	seen := r.After
	seen.Backoff = failed.facts()
	p, _ := decide(k, d, seen, o.Plan)
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s plan.Step) bool {
		return !given[s.Target] || s.Op != plan.OpRecord || len(s.After) > 0
	})
	if len(p.Steps) == 0 {
		return nil
	}
	more := Apply(ctx, rt, k, p, d, o.Apply)
	r.Outcome.Steps = slices.Concat(r.Outcome.Steps, more.Steps)
	r.Outcome.Interrupted = r.Outcome.Interrupted || more.Interrupted
	return r.lookAround(ctx, rt, k, d)
}

// settle waits until everything that was started has run for a while.
func settle(ctx context.Context, o Outcome, d time.Duration) {
	var last time.Time
	for _, r := range o.Steps {
		if ended := r.Started.Add(r.Duration); r.Step.Op == plan.OpStart && r.State == StepDone && ended.After(last) {
			last = ended
		}
	}
	if last.IsZero() {
		return
	}
	timer := time.NewTimer(time.Until(last.Add(d)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// accept remembers what the operator takes over with this pass, so that the
// next one needs not be told again.
func accept(k Keeper, d plan.Desired, o plan.Observed, opts plan.Options) error {
	var ids []string
	for _, obj := range o.Objects {
		elsewhere := obj.Root != "" && obj.Root != d.Root && !slices.Contains(o.Records.Accepted, obj.Root)
		if opts.Adopt && elsewhere {
			ids = append(ids, obj.Root, obj.Owner)
		}
		// What is run from another root is not lost: its records are there.
		if opts.AcceptLostRecords && obj.Owner != o.Records.Owner && !elsewhere {
			ids = append(ids, obj.Owner)
		}
	}
	back := opts.Adopt && slices.Contains(o.Records.Accepted, d.Root)
	if len(ids) == 0 && !back {
		return nil
	}
	return k.Accept(d.Root, ids...)
}

// remember keeps what the next pass explains its plan with: the specs of what
// exists, and which IDs do.
func remember(k Keeper, d plan.Desired, res PassResult) error {
	if len(res.After.Incomplete) > 0 {
		return nil
	}
	exist := map[string]bool{}
	var ids []plan.ID
	var digests []string
	for _, obj := range res.After.Objects {
		digests = append(digests, obj.Digest)
		if id := obj.ID.String(); !exist[id] {
			exist[id] = true
			ids = append(ids, obj.ID)
		}
	}
	wanted := map[string]bool{} // of a Task that is gone only the record is kept
	for _, r := range d.Resources {
		wanted[r.ID.String()] = true
	}
	for id, digest := range ranLast(res.After.Records) {
		if wanted[id.String()] || len(d.Partial) > 0 {
			digests = append(digests, digest)
		}
	}
	if len(res.Plan.Steps) == 0 && sameIDs(ids, res.After.Converged) {
		return nil
	}
	for _, r := range d.Resources {
		if !exist[r.ID.String()] {
			continue
		}
		spec, err := json.Marshal(r.Spec)
		if err != nil {
			return fmt.Errorf("remember %s: %w", r.ID, err)
		}
		if err := k.PutSpec(r.Spec.Digest(), spec); err != nil {
			return err
		}
		if err := putContents(k, d, r); err != nil {
			return err
		}
	}
	if err := k.KeepSpecs(digests); err != nil {
		return err
	}
	return k.PutConverged(ids)
}

// putSpecs keeps what is to be made from, so that a look before the end of the
// pass can name the fields that differ. A failure shows at that end.
func putSpecs(k Keeper, d plan.Desired, steps []plan.Step) {
	made := map[plan.ID]bool{}
	for _, s := range steps {
		made[s.Target] = made[s.Target] || s.Op == plan.OpCreate
	}
	for _, r := range d.Resources {
		if !made[r.ID] {
			continue
		}
		if spec, err := json.Marshal(r.Spec); err == nil {
			_ = k.PutSpec(r.Spec.Digest(), spec)
			_ = putContents(k, d, r)
		}
	}
}

// sameIDs reports whether two sorted lists hold the same IDs.
func sameIDs(a, b []plan.ID) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Compare(b[i]) != 0 {
			return false
		}
	}
	return true
}
