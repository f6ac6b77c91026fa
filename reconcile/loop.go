// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"sync/atomic"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// Cause says why a Loop looks again. It is for people: every cause leads to the
// same look.
type Cause string

// The causes.
const (
	CauseStart    Cause = "start"
	CauseEdit     Cause = "edit" // a file of a watched directory
	CausePoll     Cause = "poll" // the remote has something new
	CausePush     Cause = "push" // a push to a repository of ours
	CauseWebhook  Cause = "webhook"
	CauseRuntime  Cause = "runtime"  // an event of the runtime
	CauseInterval Cause = "interval" // the periodic look for drift
	CauseWake     Cause = "wake"     // the last plan asked for it
	CauseRetry    Cause = "retry"    // something failed
	CauseSignal   Cause = "signal"   // SIGHUP
	CauseCommand  Cause = "command"  // somebody at a command line
)

// Loaded is what a Loop is told should be.
type Loaded struct {
	Desired     plan.Desired
	Diagnostics schema.Diagnostics
	// Fatal: the workspace has errors that stop the whole pass. Desired is not
	// acted on, and the loop goes on with what it was told before.
	Fatal bool
	// Refused says why a newer state of the source is not what Desired says, such
	// as a commit without a good signature.
	Refused []plan.Reason
	// RefusedRevision is that newer state; "" = it has no name.
	RefusedRevision string
	// LookAgain is when to look again although nobody will say so; 0 = never.
	LookAgain time.Duration
}

// LoopOptions say how a Loop works. Load is required.
type LoopOptions struct {
	// Load says what should be now. It must not wait for the network. An error
	// means that it is not known: the loop goes on with what it was told before,
	// and Load is tried again.
	Load func(ctx context.Context, causes []Cause) (Loaded, error)
	// Plan returns the options of the next plan; Now and Supervise are set by
	// the loop. nil = the defaults. It is called once for each look, before
	// Load.
	Plan  func() plan.Options
	Apply ApplyOptions // Progress is called from the loop's goroutines, one event at a time
	// Interval is between two periodic looks, give or take a tenth; 0 = 1 minute.
	Interval time.Duration
	// Quiet is how long notifications are gathered before a look; 0 = 50 ms.
	Quiet time.Duration
	// Settle is how long what was started must have run before a pass ends.
	Settle time.Duration
	// Planned, Ended, if set, are told of each pass, from the loop's goroutine,
	// which does nothing else meanwhile. Looks that change nothing and find
	// nothing new end too. Planned is told again of a pass to which a later look
	// adds, with what is added. The record that Ended gets has the number 0 when
	// it says nothing that the history does not.
	Planned func(PassRecord, plan.Plan)
	Ended   func(PassRecord, PassResult, Loaded)
	// Looked, if set, is told what each look saw, records included, and what the
	// plan made of it, from the loop's goroutine. It must not block.
	Looked func(plan.Desired, plan.Observed, plan.Plan)
}

// PassChange is what a pass did to one resource.
type PassChange struct {
	ID     plan.ID     `json:"id"`
	Action plan.Action `json:"action"`
	Done   bool        `json:"done"`
	Reason plan.Reason `json:"reason"`
}

// Result is how a pass ended.
type Result string

// The results.
const (
	ResultUnchanged   Result = "unchanged"   // nothing was to be done
	ResultConverged   Result = "converged"   // all that was to be done is done
	ResultFailed      Result = "failed"      // a step failed, or something could not be read
	ResultRefused     Result = "refused"     // policy; see exit code 3
	ResultSuperseded  Result = "superseded"  // a newer plan took over what was left
	ResultInterrupted Result = "interrupted" // the loop ended
)

// LoopStatus is what a loop is about.
type LoopStatus struct {
	Running bool       // a pass is under way
	Busy    []plan.ID  // with a step under way, sorted
	Last    PassRecord // of the last pass that ended; Ended zero = there is none
	// Statuses compare desired with actual as they were when the last pass
	// ended that knew both.
	Statuses []Status
	Facts    Facts     // as of the last look
	Looked   time.Time // when it was last known what should be and what is; zero = never
	Next     time.Time // when the loop looks again, if nobody asks before
}

// Loop keeps the host as the workspace says. Notifications say "look again",
// never what to do. Its methods may be called from any goroutine.
//
// A pass is of one desired state. It begins with a look that finds something
// to do, and it ends with another when every step of it has ended. A look in
// between that finds the same desired state adds to the pass what is to be done
// beside it; one that finds another desired state supersedes it: its steps that
// have not started are dropped, the pulls and waits that are done without are
// cancelled, and whatever else is under way goes on beside the next pass.
//
// While it is not known what should be, because Load fails or what it returns is
// Fatal, passes are of what was known last, if anything was: what departs from
// that is repaired, nothing is pruned, and every pass fails with what is wrong.
type Loop struct {
	rt     Runtime
	keeper Keeper
	opt    LoopOptions
	inbox  inbox
	pings  chan struct{}
	ended  chan struct{}
	status atomic.Pointer[LoopStatus]
}

// NewLoop returns a loop that has not begun.
func NewLoop(rt Runtime, k Keeper, o LoopOptions) *Loop {
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	if o.Quiet <= 0 {
		o.Quiet = 50 * time.Millisecond
	}
	if o.Plan == nil {
		o.Plan = func() plan.Options { return plan.Options{} }
	}
	if o.Planned == nil {
		o.Planned = func(PassRecord, plan.Plan) {}
	}
	if o.Ended == nil {
		o.Ended = func(PassRecord, PassResult, Loaded) {}
	}
	if o.Looked == nil {
		o.Looked = func(plan.Desired, plan.Observed, plan.Plan) {}
	}
	l := &Loop{rt: rt, keeper: k, opt: o, pings: make(chan struct{}), ended: make(chan struct{})}
	l.inbox.wake = make(chan struct{}, 1)
	l.status.Store(&LoopStatus{})
	return l
}

// Notify asks for a look. It never blocks. Notifications that come within
// Quiet of each other share one.
func (l *Loop) Notify(c Cause) { _ = l.inbox.put(c, nil) }

// Await asks for a look and returns the record of the first pass that began
// to load after the call, or was looked at again after it, and was not
// superseded. It is an error when ctx or the loop ends before.
func (l *Loop) Await(ctx context.Context, c Cause) (PassRecord, error) {
	w := make(waiter, 1)
	if err := l.inbox.put(c, w); err != nil {
		return PassRecord{}, err
	}
	select {
	case rec := <-w:
		return rec, nil
	case <-ctx.Done():
		return PassRecord{}, ctx.Err()
	case <-l.ended:
	}
	select {
	case rec := <-w: // told while the loop ended
		return rec, nil
	default:
		return PassRecord{}, errLoopEnded
	}
}

// Ping returns when the loop has answered: it is alive.
func (l *Loop) Ping(ctx context.Context) error {
	select {
	case l.pings <- struct{}{}:
		return nil
	case <-l.ended:
		return errLoopEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status is what the loop was about when something last happened in it.
func (l *Loop) Status() LoopStatus { return *l.status.Load() }

// Run looks, plans and applies until ctx ends, and returns when every step that
// it started has ended. A loop runs once.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.ended)
	e := newEngine(l)
	e.run(ctx)
	return nil
}
