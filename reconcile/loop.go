// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
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
	// acted on, and what runs goes on.
	Fatal bool
	// Refused says why a newer state of the source is not what Desired says, such
	// as a commit without a good signature.
	Refused []plan.Reason
}

// LoopOptions say how a Loop works. Load is required.
type LoopOptions struct {
	// Load says what should be now. It must not wait for the network. An error
	// means that it is not known: what runs goes on, and Load is tried again.
	Load func(ctx context.Context, causes []Cause) (Loaded, error)
	// Plan returns the options of the next plan; Now is set by the loop. nil =
	// the defaults.
	Plan  func() plan.Options
	Apply ApplyOptions // Progress is called from the loop's goroutines, one event at a time
	// Interval is between two periodic looks, give or take a tenth; 0 = 1 minute.
	Interval time.Duration
	// Quiet is how long notifications are gathered before a look; 0 = 50 ms.
	Quiet time.Duration
	// Settle is how long what was started must have run before a pass ends.
	Settle time.Duration
	// Planned, Ended, if set, are told of each pass. Looks that change nothing
	// and find nothing new end too.
	Planned func(PassRecord, plan.Plan)
	Ended   func(PassRecord, PassResult, Loaded)
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

// Loop keeps the host as the workspace says. Notifications say "look again",
// never what to do.
type Loop struct{ opt LoopOptions }

// NewLoop returns a loop that has not begun.
func NewLoop(rt Runtime, k Keeper, o LoopOptions) *Loop { return &Loop{opt: o} }

// Notify asks for a look. It never blocks.
func (l *Loop) Notify(c Cause) {}

// Await asks for a look and returns the record of the first pass that began
// after the call and was not superseded.
func (l *Loop) Await(ctx context.Context, c Cause) (PassRecord, error) { panic("not built") }

// Run looks, plans and applies until ctx ends, and returns when every step that
// it started has ended.
func (l *Loop) Run(ctx context.Context) error { panic("not built") }
