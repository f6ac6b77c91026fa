// SPDX-License-Identifier: Apache-2.0

package plan

import "time"

// run is one run of a resource: what is recorded of it, what is there of it, or
// both. What this plan finds out of it, such as its end, is in its state already.
type run struct {
	key    string
	state  RunState
	record *Record // as it was before this plan; nil = there is none
	object *Object // the container; nil = there is none
}

// goesOn reports whether the run has been recorded as started and has not ended.
func (r run) goesOn() bool { return r.state.Phase == RunRunning }

// ended reports whether the run is recorded as over, well or not.
func (r run) ended() bool { return r.state.Phase == RunCompleted || r.state.Phase == RunFailed }

// begun is when the run was started, or, while it waits, since when it does.
func (r run) begun() time.Time {
	if !r.state.Started.IsZero() || r.record == nil {
		return r.state.Started
	}
	return r.record.At
}

// dueRun is a run that is to be started, if nothing is in its way.
type dueRun struct {
	key      string
	reason   Reason
	replaces []string // keys of runs that are stopped before it is started
}
