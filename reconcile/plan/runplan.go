// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"time"

	"reconcile/schedule"
)

// runPlan is what is to happen to the runs of one ID.
type runPlan struct {
	works  []*runWork
	launch *launch
	// forgets are records that are removed when all else has succeeded.
	forgets []Record
	// completed: the last run was, and no other is due.
	completed bool
	times     *schedule.Schedule // see [decision.times]; nil = not read yet
}

// runWork is what happens to one run, in the order of the fields: what a run that is
// stopped makes of that must not be taken for how it ended by itself, so that it is
// stopped is recorded before. Without an object there is nothing to stop, and what
// is removed is what is left of the run on the host.
type runWork struct {
	key     string
	object  *Object
	start   bool // it is recorded, and was not, or no longer, running
	end     *Record
	stop    bool
	remove  bool
	removed *Record // that it is no longer kept, or that it is forgotten
	reason  Reason
}

// launch is a run that is to be started now.
type launch struct {
	run
	due      dueRun
	runName  string
	at       time.Time // since when it waits
	replaces []run
	slots    []Record // to be recorded before the start
	after    []string // steps that make room for it
}

// work returns what happens to a run, to be added to.
func (p *runPlan) work(r run, reason Reason) *runWork {
	for _, w := range p.works {
		if w.key == r.key && sameObject(w.object, r.object) {
			if w.reason.Code == CodeEnded || w.reason.Code == CodeUnfinished {
				w.reason = reason
			}
			return w
		}
	}
	w := &runWork{key: r.key, object: r.object, reason: reason}
	p.works = append(p.works, w)
	return w
}

func sameObject(a, b *Object) bool {
	return a == b || a != nil && b != nil && a.Handle == b.Handle
}

// stops reports whether a run is stopped.
func (p *runPlan) stops(r run) bool {
	return p != nil && slices.ContainsFunc(p.works, func(w *runWork) bool { return w.stop && w.key == r.key })
}

// runsIdle reports whether nothing at all is to be done.
func (d *decision) runsIdle() bool {
	return len(d.todo.works)+len(d.todo.forgets)+len(d.records) == 0 && d.todo.launch == nil
}

// convergeRuns decides about the runs of what is desired. Which of those that are
// due are started is decided by [view.admit], once all that want to be are known.
func (v *view) convergeRuns(d *decision, all decisions) {
	runs := v.runs[d.id]
	d.todo = &runPlan{}
	last := lastRun(runs)
	if last != nil {
		d.current = last.object
	}
	if d.hold = v.busyHold(d.id, d.origin); d.hold != nil {
		return
	}
	if slices.ContainsFunc(v.objects[d.id], v.lost) {
		d.hold = &hold{reasons: []Reason{{CodeRecordsLost, lostText, d.origin}}, policy: true}
		return
	}
	v.sortUnstarted(d, runs)
	v.recordFound(d, runs)
	v.continueRuns(d, runs)
	v.stopRuns(d, runs)
	v.dueRuns(d, runs, all)
	v.dropRuns(d, runs)
	if v.braked(d.id) {
		d.records = append(d.records, v.brakeRecord(d.id, "false"))
	}
	if h := v.backedOff(d.id, d.digest, d.origin); h != nil && !v.imageFailed(d) && !d.runsIdle() {
		d.withhold(h)
		d.hold, d.note = h, nil
		return
	}
	if d.note == nil && d.todo.launch == nil && last != nil {
		v.noteInputs(d, *last)
	}
}

// withhold takes back that a run is started, and says why.
func (d *decision) withhold(h *hold) {
	d.todo.launch, d.create, d.bound, d.old, d.paths, d.grants = nil, "", nil, nil, nil, nil
	if d.note == nil || d.note.benign {
		d.note = h
	}
}

// sortUnstarted has each run that is not recorded as started go on in a container
// that was created as it would be now, if there is one.
func (v *view) sortUnstarted(d *decision, runs []run) {
	for i := range runs {
		r := &runs[i]
		if !r.unstarted() || r.goesOn() || r.ended() {
			continue
		}
		all := append([]Object{*r.object}, r.spare...)
		r.object, r.spare = nil, nil
		for _, o := range all {
			if r.object == nil && v.asDue(d.res, o) {
				r.object = &o
			} else {
				r.spare = append(r.spare, o)
			}
		}
	}
}

// asDue reports whether o was created as a run of r would be now.
func (v *view) asDue(r *Resource, o Object) bool {
	if o.State != StateCreated || !o.Started.IsZero() || o.Digest != v.digestAs(r, o.Digest) {
		return false
	}
	return !slices.ContainsFunc(r.Spec.Inputs(), func(in Input) bool {
		f := v.observed.Inputs[in]
		return f.State == FactKnown && o.Inputs[in.String()] != f.Value
	})
}

// recordFound has recorded what was found out of runs.
func (v *view) recordFound(d *decision, runs []run) {
	for _, r := range runs {
		if !r.found {
			continue
		}
		reason := Reason{CodeUnfinished, "that it was started is not recorded yet", d.origin}
		if r.ended() {
			reason = Reason{CodeEnded, "it " + r.state.outcome(), d.origin}
		}
		v.endRun(d, d.todo.work(r, reason), r.state)
	}
}

// endRun has a state of a run recorded.
func (v *view) endRun(d *decision, w *runWork, s RunState) {
	rec := s.Record(d.id, v.opts.Now)
	w.end = &rec
}

// continueRuns has started what is recorded as running and is not.
func (v *view) continueRuns(d *decision, runs []run) {
	if _, stop := v.stopAskedOf(d.id); stop || v.standing(d.res) != nil {
		return
	}
	for _, r := range runs {
		switch {
		case !r.goesOn() || r.object == nil:
		case v.lacksFolders(&decision{res: d.res, start: true}):
			d.note = &hold{reasons: []Reason{{CodeUnsupported, noFoldersText, d.origin}}}
		case r.unstarted():
			w := d.todo.work(r, Reason{CodeUnfinished, "it was created and never started", d.origin})
			w.start = true
			d.because(w.reason.Code, w.reason.Text)
			d.action(ActionStart)
		case r.object.State == StatePaused && !r.object.Keep:
			w := d.todo.work(r, Reason{CodePaused, "it is paused", d.origin})
			w.start = true
			d.departed(w.reason.Code, w.reason.Text)
			d.action(ActionStart)
		}
	}
}

// stopRuns has stopped what goes on or waits, when somebody asked for that, and
// what was recorded as stopped before it was.
func (v *view) stopRuns(d *decision, runs []run) {
	wish, present := v.wishOf(d.id, WishStop)
	present = present && wish.Data["wanted"] == "true"
	_, asked := v.stopAskedOf(d.id)
	for _, r := range runs {
		switch {
		case r.up() && asked, r.halting():
			if r.object.Keep {
				d.note = &hold{reasons: []Reason{{CodeKept, "it is marked to be kept, and not stopped", d.origin}}, benign: true}
				present = false
				continue
			}
			reason := Reason{CodeWish, stopAsked, d.origin}
			if !asked {
				reason = Reason{CodeUnfinished, "it is recorded as stopped, and goes on", d.origin}
			}
			v.stopRun(d, r, FailedStopped, reason)
		case asked && r.goesOn() && r.object == nil: // not seen
			present = false
		case asked && (r.goesOn() || r.waits()):
			v.stopRun(d, r, FailedStopped, Reason{CodeWish, stopAsked, d.origin})
		}
	}
	if present {
		d.todo.forgets = append(d.todo.forgets, Record{ID: d.id, Kind: RecordWish, Key: WishStop, At: v.opts.Now, Forget: true})
	}
}

// stopRun has a run stopped, and recorded as failed for the reason unless it has
// ended already.
func (v *view) stopRun(d *decision, r run, why string, reason Reason) {
	w := d.todo.work(r, reason)
	w.start = false
	if r.up() {
		w.stop = true
		d.action(ActionStop)
		d.because(reason.Code, reason.Text)
	}
	if r.ended() {
		return
	}
	s := r.state
	s.fail(why, v.opts.Now)
	s.Kept = r.object != nil
	v.endRun(d, w, s)
}
