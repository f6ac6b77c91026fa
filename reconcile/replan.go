// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"reconcile/reconcile/plan"
)

const textReplanned = "its folder changed under a hook on this host; it is planned again"

// replans keeps events of a pass to itself that a later round of the pass may make
// untrue: that something could not be prepared after a hook ran on the host, and what was
// skipped for that. The hook may have changed what it was planned for.
type replans struct {
	tell   func(Event)
	hooked bool // a hook has run on the host
	held   []Event
	why    map[string]plan.ID // of steps that are skipped
}

func newReplans(tell func(Event)) *replans {
	if tell == nil {
		tell = func(Event) {}
	}
	return &replans{tell: tell, why: map[string]plan.ID{}}
}

// event passes an event on, or keeps it for now.
func (r *replans) event(e Event) {
	_, follows := r.why[e.Detail]
	switch {
	case e.Step.Op == plan.OpHost && e.State == StepDone:
		r.hooked = true
	case e.Step.Op == plan.OpPrepare && e.State == StepFailed && r.hooked:
		r.why[skippedFor(e.Step)] = e.Step.Target
		r.held = append(r.held, e)
		return
	case e.State == StepSkipped && follows:
		r.held = append(r.held, e)
		return
	}
	r.tell(e)
}

// settle passes on what was kept: of what is asked for otherwise in now than it
// was in before, that it is planned again.
func (r *replans) settle(before, now plan.Desired) {
	for _, e := range r.held {
		id, first := e.Step.Target, e.State == StepFailed
		if !first {
			id = r.why[e.Detail]
		}
		if asked(id, before, nil).digest != asked(id, now, nil).digest {
			e.State, e.Err, e.Detail = StepReplanned, nil, ""
			if first {
				e.Detail = textReplanned
			}
		}
		r.tell(e)
	}
	r.held = nil
}
