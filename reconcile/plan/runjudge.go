// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"time"
)

// judge finds out how far the runs of an ID are, from what is recorded and what is
// there of them. What is not recorded and was never started is no run yet.
func (v *view) judge(id ID) {
	runs := v.runs[id]
	for i := range runs {
		r := &runs[i]
		switch {
		case r.record == nil && r.object == nil:
			r.state = RunState{}
		case !r.goesOn() && !r.ended() && r.object != nil && !r.unstarted():
			v.adopt(id, r, nextOrder(runs))
			v.judgeRunning(id, r)
		case r.goesOn():
			v.judgeRunning(id, r)
		}
	}
}

// adopt takes the run for one that was started, as its container says.
func (v *view) adopt(id ID, r *run, order int) {
	o := r.object
	s := RunState{
		Key: r.key, Name: r.state.Name, Order: cmp.Or(r.state.Order, order), Group: r.state.Group, Phase: RunRunning,
		Container: o.Handle, Digest: o.Digest, Inputs: o.Inputs, Kept: true,
		Started: firstTime(o.Started, o.Created, v.opts.Now),
	}
	if res := v.desired[id]; res != nil && res.Run != nil {
		s.Name, s.Group = cmp.Or(s.Name, res.RunName(r.key)), cmp.Or(s.Group, res.Run.Group)
	}
	s.Name = cmp.Or(s.Name, id.Name)
	r.state, r.found = s, true
}

// judgeRunning finds out whether a run that was started has ended. Of what could
// not be looked at nothing is concluded.
func (v *view) judgeRunning(id ID, r *run) {
	if v.busy[id] {
		return
	}
	o := r.object
	switch {
	case o == nil && len(v.unseen) > 0:
	case o == nil:
		if how, known := v.outcomes[id][r.key]; known && !how.Finished.Before(r.state.Started) {
			r.end(how)
		} else {
			v.vanish(r)
		}
	case v.lost(*o):
	case o.Outcome != nil && !o.Outcome.Finished.Before(o.Started) && (o.up() || o.State == StateExited):
		r.end(*o.Outcome)
	case o.State == StateExited:
		r.end(Outcome{Code: o.ExitCode, Finished: firstTime(o.Finished, v.opts.Now)})
	case o.State == StateBroken, o.State == StateCreated && !o.Started.IsZero():
		v.vanish(r)
	}
	if wish, asked := v.stopAskedOf(id); asked && r.ended() && r.state.Reason != FailedVanished && !r.state.Finished.Before(wish.At) {
		r.state.fail(FailedStopped, r.state.Finished)
	}
}

func (v *view) vanish(r *run) {
	r.state.fail(FailedVanished, v.opts.Now)
	r.found = true
}

// end has the run end as its command did.
func (r *run) end(how Outcome) {
	r.found = true
	switch {
	case how.Timeout:
		r.state.fail(FailedTimeout, how.Finished)
	case how.Code != 0:
		r.state.fail(FailedExit, how.Finished)
		r.state.Code = how.Code
	default:
		r.state.Phase, r.state.Finished = RunCompleted, how.Finished
	}
}

// fail has the run fail for a reason at a time.
func (s *RunState) fail(reason string, at time.Time) {
	s.Phase, s.Reason, s.Code, s.Finished = RunFailed, reason, 0, at
}

// stopAskedOf returns the wish that the runs of an ID are stopped, unless it has
// been granted: then a run is recorded as stopped since.
func (v *view) stopAskedOf(id ID) (Record, bool) {
	wish, ok := v.wishOf(id, WishStop)
	if !ok || wish.Data["wanted"] != "true" {
		return Record{}, false
	}
	for _, r := range v.runs[id] {
		if r.record != nil && r.record.Data[runReason] == FailedStopped && !r.record.At.Before(wish.At) {
			return Record{}, false
		}
	}
	return wish, true
}

// firstTime returns the first of the times that is not zero.
func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
