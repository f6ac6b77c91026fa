// SPDX-License-Identifier: Apache-2.0

package reconcile

import "reconcile/reconcile/plan"

// flapTimes is how many passes of one desired state in a row must leave the same
// to be done before that is said to be unsettled: the first may have met somebody
// who was at work.
const flapTimes = 2

// flaps counts, by resource, for how many passes in a row what a pass did was to
// be done again right after it. The loop goes on trying, later and later, see
// churns.
type flaps struct {
	desired plan.Desired // that was counted for
	times   map[plan.ID]int
}

// see takes the end of a pass, and next, the plan of the same desired state that
// was made then. It returns what does not settle. What only runs and ends is a
// crash loop, and none of these.
func (f *flaps) see(d plan.Desired, o Outcome, next plan.Plan) []Unsettled {
	if f.times == nil || !sameDesired(f.desired, d) {
		f.desired, f.times = d, map[plan.ID]int{}
	}
	again := map[plan.ID]Unsettled{}
	for _, u := range FindUnsettled(next) {
		if !onlyStarts(u.Actions) {
			again[u.ID] = u
		}
	}
	for id := range f.times {
		if _, ok := again[id]; !ok {
			delete(f.times, id)
		}
	}
	for id := range doneIn(o) {
		if _, ok := again[id]; ok {
			f.times[id]++
		}
	}
	var out []Unsettled
	for _, u := range FindUnsettled(next) {
		if f.times[u.ID] >= flapTimes {
			out = append(out, u)
		}
	}
	return out
}

// doneIn returns the resources of which every step was done.
func doneIn(o Outcome) map[plan.ID]bool {
	done, failed := map[plan.ID]bool{}, map[plan.ID]bool{}
	for _, st := range o.Steps {
		if st.State == StepDone {
			done[st.Step.Target] = true
		} else {
			failed[st.Step.Target] = true
		}
	}
	for id := range failed {
		delete(done, id)
	}
	return done
}

func onlyStarts(actions []plan.Action) bool {
	for _, a := range actions {
		if a != plan.ActionStart && a != plan.ActionRestart && a != plan.ActionRun {
			return false
		}
	}
	return true
}
