// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
	"time"
)

// run is one run of a resource: what is recorded of it, what is there of it, or
// both. What this plan finds out of it, such as its end, is in its state already.
type run struct {
	key    string
	state  RunState
	record *Record // as it was before this plan; nil = there is none
	object *Object // the container; nil = there is none
	// spare are containers with the same key that the run is not in.
	spare []Object
	// found: the state is not what is recorded.
	found bool
}

// goesOn reports whether the run has been recorded as started and has not ended.
func (r run) goesOn() bool { return r.state.Phase == RunRunning }

// ended reports whether the run is recorded as over, well or not.
func (r run) ended() bool { return r.state.Ended() }

// waits reports whether the run is in the queue.
func (r run) waits() bool { return r.state.Phase == RunQueued }

// up reports whether the container of the run has a process.
func (r run) up() bool { return r.object != nil && r.object.up() }

// halting reports whether the run is recorded as stopped, and has yet to be.
func (r run) halting() bool { return r.up() && r.state.Halted() }

// unstarted reports whether the run has a container that has never been started.
func (r run) unstarted() bool {
	return r.object != nil && r.object.State == StateCreated && r.object.Started.IsZero()
}

// begun is when the run was started, or, where it was not, when it was last heard
// of.
func (r run) begun() time.Time {
	if !r.state.Started.IsZero() || r.record == nil {
		return r.state.Started
	}
	return r.record.At
}

// over is when the run ended.
func (r run) over() time.Time {
	if r.state.Finished.IsZero() && r.record != nil {
		return r.record.At
	}
	return r.state.Finished
}

// of reports whether the run is of a key: it has that, or was asked for again.
func (r run) of(key string) bool { return IsRunOf(r.key, key) }

// dueRun is a run that is to be started, if nothing is in its way.
type dueRun struct {
	key    string
	reason Reason
}

// indexRuns finds the runs of every ID that has some, and judges them.
func (v *view) indexRuns() {
	v.runs = map[ID][]run{}
	byKey := map[ID]map[string]*run{}
	at := func(id ID, key string) *run {
		if byKey[id] == nil {
			byKey[id] = map[string]*run{}
		}
		if byKey[id][key] == nil {
			byKey[id][key] = &run{key: key}
		}
		return byKey[id][key]
	}
	for key, rec := range v.keyed {
		if key.kind == RecordRun {
			rec.ID = key.id
			r := at(key.id, key.key)
			r.record, r.state = &rec, rec.RunState()
		}
	}
	for id, objs := range v.objects {
		v.anyLost = v.anyLost || slices.ContainsFunc(objs, v.lost)
		for _, o := range objs {
			if o.Run != "" {
				at(id, o.Run).hold(o)
			}
		}
	}
	for id, runs := range byKey {
		for _, r := range runs {
			v.runs[id] = append(v.runs[id], *r)
		}
		slices.SortFunc(v.runs[id], run.compare)
		v.judge(id)
	}
}

// hold enters one container of the run: the one that is recorded, or of those that
// could be it the one that is furthest.
func (r *run) hold(o Object) {
	if r.record != nil && r.state.Container != "" && r.state.Container != o.Handle {
		r.spare = append(r.spare, o)
		return
	}
	if r.object == nil {
		r.object = &o
		return
	}
	if r.object.Started.IsZero() && !o.Started.IsZero() {
		o, *r.object = *r.object, o
	}
	r.spare = append(r.spare, o)
}

// compare puts what was asked for first first; what is not recorded comes last.
func (r run) compare(other run) int {
	order := func(r run) int {
		if r.record == nil {
			return 1 << 30
		}
		return r.state.Order
	}
	made := func(r run) time.Time {
		if r.object == nil {
			return time.Time{}
		}
		return r.object.Created
	}
	return cmp.Or(cmp.Compare(order(r), order(other)), made(r).Compare(made(other)), cmp.Compare(r.key, other.key))
}

// nextOrder is the order of the next run of an ID.
func nextOrder(runs []run) int {
	n := 0
	for _, r := range runs {
		n = max(n, r.state.Order)
	}
	return n + 1
}

// lastRun returns the last run of those that were started or have ended; nil =
// there is none.
func lastRun(runs []run) *run {
	for _, r := range slices.Backward(runs) {
		if r.goesOn() || r.ended() {
			return &r
		}
	}
	return nil
}
