// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"

	"reconcile/reconcile/plan"
)

// Reader observes. It is all that a dry run gets.
type Reader interface {
	// Observe returns what exists for d's workspace: our objects, foreign ones
	// that hold a name d wants, and a fact for every input of d. Records, Busy,
	// Specs and Converged are left empty. What could not be read is in
	// Observed.Incomplete; an error means that nothing could be read at all.
	Observe(ctx context.Context, d plan.Desired) (plan.Observed, error)
}

// Runtime observes and acts.
type Runtime interface {
	Reader
	// Do carries out one step. A step that is already done succeeds. The
	// returned object is the one created or acted on; it is zero for steps
	// without one. Record steps never reach a Runtime. An error says what went
	// wrong and need not name the step. Do returns soon after ctx ended.
	Do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error)
	Capabilities() plan.Capabilities
}

// Records keeps what neither git nor the runtime can hold.
type Records interface {
	Load() (plan.Records, error)
	// Put is on disk before it returns.
	Put(ctx context.Context, r plan.Record) error
}
