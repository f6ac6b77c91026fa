// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

// The defaults of [ApplyOptions].
const (
	DefaultParallel       = 4
	DefaultStepTimeout    = 2 * time.Minute
	DefaultPrepareTimeout = 30 * time.Minute
	DefaultGrace          = time.Minute
)

// hookGrace is what a hook may take beyond its time: whoever runs it ends it, and
// what it started.
const hookGrace = 30 * time.Second

// waitsPerStep is how many waits may be under way for each other step: they
// cost the runtime little, and one that takes long must hold nothing up.
const waitsPerStep = 16

// ApplyOptions say how a plan is walked. The zero value is useful.
type ApplyOptions struct {
	// Parallel is how many steps may be under way at once, waits left out; 0 =
	// DefaultParallel.
	Parallel int
	// StepTimeout bounds every step whose resource says nothing else; 0 =
	// DefaultStepTimeout.
	StepTimeout time.Duration
	// PrepareTimeout bounds prepares, which pull images; 0 =
	// DefaultPrepareTimeout.
	PrepareTimeout time.Duration
	// Grace bounds what a step that must not be cut may still take after the
	// context ended; 0 = DefaultGrace.
	Grace time.Duration
	// Progress, if set, is told what happens, one event at a time and from the
	// goroutine that called Apply. The walk goes on when it returns.
	Progress func(Event)
}

// StepState is how far a step is.
type StepState string

// The states of steps. Skipped: something before it failed, or the walk was
// interrupted. Replanned, only of an [Event]: a later round of the same pass plans
// for it anew; of the step that found out why, Detail says so.
const (
	StepQueued  StepState = "queued"
	StepStarted StepState = "started"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped"

	StepReplanned StepState = "replanned"
)

// Event is one thing that happened to a step.
type Event struct {
	State   StepState
	Step    plan.Step
	Elapsed time.Duration // since the step started; done and failed
	Detail  string        // failed, skipped: why, in words for a person
	Err     error         // failed
}

// StepResult is how a step ended: done, failed or skipped.
type StepResult struct {
	Step     plan.Step
	State    StepState
	Object   plan.Object // done: what was created or acted on, if anything
	Err      error       // failed
	Detail   string      // failed, skipped: why
	Started  time.Time   // zero for skipped
	Duration time.Duration
}

// Outcome is how a plan ended, step by step in the order of the plan.
type Outcome struct {
	Steps       []StepResult
	Interrupted bool // the context ended while something was left to do
	Superseded  bool // a newer plan took over what was left to do
}

// Err joins the errors of all failed steps, in the order of the plan, and says
// when the walk was interrupted.
func (o Outcome) Err() error {
	var errs []error
	for _, r := range o.Steps {
		if r.State == StepFailed {
			errs = append(errs, r.Err)
		}
	}
	if o.Interrupted {
		errs = append(errs, errInterrupted)
	}
	return errors.Join(errs...)
}

var errInterrupted = errors.New("interrupted")

// Apply walks the graph of p. It decides nothing: a step runs when all that it
// is After succeeded, a step that fails or takes too long skips what depends on
// it and nothing else, and no two steps of one resource run at once.
//
// When ctx ends no step starts any more; prepares, waits and hooks are cancelled,
// and all other steps get o.Grace to end by themselves. Apply returns when every
// step that it started has returned.
func Apply(ctx context.Context, rt Runtime, rec Records, p plan.Plan, d plan.Desired, o ApplyOptions) Outcome {
	x := newExecutor(rt, rec, o)
	x.take(p, d)
	for {
		x.start(ctx)
		if x.idle() {
			return x.close(ctx)
		}
		x.finish(<-x.ended)
	}
}

func (o ApplyOptions) withDefaults() ApplyOptions {
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	if o.StepTimeout <= 0 {
		o.StepTimeout = DefaultStepTimeout
	}
	if o.PrepareTimeout <= 0 {
		o.PrepareTimeout = DefaultPrepareTimeout
	}
	if o.Grace <= 0 {
		o.Grace = DefaultGrace
	}
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	return o
}

// cuttable reports whether a step may be given up halfway without leaving
// anything behind. A hook that is given up is run again, whatever it did.
func cuttable(s plan.Step) bool {
	switch s.Op {
	case plan.OpPrepare, plan.OpWait, plan.OpExec, plan.OpHost:
		return true
	case plan.OpCreate: // of an image, which is to run its install hook
		return s.Target.Kind.Role() == plan.RoleImage
	}
	return false
}

// stepContext is the context of one step: bounded, and deaf to the end of ctx
// for the grace period when the step must not be cut.
func stepContext(ctx context.Context, s plan.Step, timeout, grace time.Duration) (context.Context, context.CancelFunc) {
	if cuttable(s) {
		return context.WithTimeoutCause(ctx, timeout, errTimeout(timeout))
	}
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	inner, cancel := context.WithTimeoutCause(base, timeout, errTimeout(timeout))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { cut(fmt.Errorf("%w, and not done within %s", errInterrupted, grace)) })
		context.AfterFunc(inner, func() { timer.Stop() })
	})
	return inner, func() {
		stop()
		cancel()
		cut(nil)
	}
}

func errTimeout(d time.Duration) error { return fmt.Errorf("not done within %s", d) }

// timeout is how long a step may take.
func (o ApplyOptions) timeout(s plan.Step, r plan.Resource) time.Duration {
	t := o.StepTimeout
	if r.StartTimeout > 0 {
		t = r.StartTimeout
	}
	switch {
	case s.Op == plan.OpPrepare:
		return max(t, o.PrepareTimeout)
	case s.Hook != nil && s.Hook.Timeout > 0:
		return s.Hook.Timeout + hookGrace
	case s.Op == plan.OpCreate && cuttable(s):
		return t + hookGrace
	case s.Op == plan.OpStop && r.Spec.Container != nil:
		// A stop takes what the container may take, and then kills it.
		return t + time.Duration(r.Spec.Container.StopTimeout)*time.Second
	}
	return t
}

// perform carries out one step of w. It changes neither x nor w, and may run
// beside anything that does.
func (x *executor) perform(ctx context.Context, w *walk, s plan.Step, made plan.Object) (plan.Object, error) {
	inner, cancel := stepContext(ctx, s, x.opt.timeout(s, w.resources[s.Target.String()]), x.opt.Grace)
	defer cancel()
	obj, err := x.dispatch(inner, w.desired, s, made)
	switch {
	case err == nil:
		return obj, nil
	case cuttable(s) && ctx.Err() != nil:
		err = errInterrupted
	case inner.Err() != nil && errors.Is(err, inner.Err()) && s.Op != plan.OpWait:
		err = context.Cause(inner)
	case inner.Err() != nil:
		err = cutOff(inner, err)
	}
	return plan.Object{}, fmt.Errorf("%s %s: %w", s.Op, s.Target, err)
}

// cutOff is the error of a step that took too long: what it was about then, and
// once why it is no more.
func cutOff(ctx context.Context, err error) error {
	cause, text := context.Cause(ctx), err.Error()
	text = strings.TrimSuffix(text, " ("+cause.Error()+")")
	for _, end := range []error{ctx.Err(), cause} {
		text = strings.TrimSuffix(strings.TrimSuffix(text, end.Error()), ": ")
	}
	if text == "" {
		return cause
	}
	return fmt.Errorf("%w: %s", cause, text)
}

func (x *executor) dispatch(ctx context.Context, d plan.Desired, s plan.Step, made plan.Object) (plan.Object, error) {
	if s.Op == plan.OpRecord {
		r, err := record(s, made)
		if err != nil {
			return plan.Object{}, err
		}
		return plan.Object{}, x.rec.Put(ctx, r)
	}
	if s.OfDispatch() {
		return plan.Object{}, nil // what it tells is in the records
	}
	if s.Object == "" && needsObject(s) {
		return plan.Object{}, errors.New("the plan names no object and creates none")
	}
	return x.rt.Do(ctx, s, d)
}

// needsObject reports whether a step acts on an object that exists. A delete may be
// of what is left of a run whose object is gone.
func needsObject(s plan.Step) bool {
	switch s.Op {
	case plan.OpPrepare, plan.OpCreate, plan.OpHost:
		return false
	case plan.OpDelete:
		return s.Run == ""
	}
	return true
}
