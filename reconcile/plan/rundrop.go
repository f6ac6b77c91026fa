// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"time"
)

// dropRuns has removed what is left of runs that are no longer kept, and what was
// created for no run. While not everything is seen nothing is removed.
func (v *view) dropRuns(d *decision, runs []run) {
	if len(v.unseen) > 0 {
		return
	}
	drop := map[string]bool{}
	if d.res.Run.Cron != nil {
		for _, r := range v.history(d, runs) {
			drop[r.key] = true
		}
	}
	for _, r := range runs {
		v.dropSpare(d, r)
		switch {
		case r.up() || r.object != nil && r.object.Keep:
		case drop[r.key] && r.ended():
			v.dropRun(d, r, true, "there are as many later ones as are kept")
		case r.ended() && (r.object != nil || r.state.Kept):
			v.expire(d, r)
		case r.record == nil && r.unstarted() && (d.todo.launch == nil || d.todo.launch.key != r.key):
			w := d.todo.work(r, Reason{CodeUnfinished, fmt.Sprintf("%s was created for a run that is not due", r.object.Name), d.origin})
			if w.end == nil {
				w.remove = true
				d.action(ActionDelete)
				d.because(w.reason.Code, w.reason.Text)
			}
		}
	}
}

// expire has what is left of an ended run removed when its time has come.
func (v *view) expire(d *decision, r run) {
	ttl := d.res.Run.TTL
	if ttl <= 0 || r.over().IsZero() {
		return
	}
	if at := r.over().Add(ttl); at.After(v.opts.Now) {
		d.wakeAt(at)
		return
	}
	v.dropRun(d, r, false, fmt.Sprintf("it is kept for %s after its end", spanText(ttl)))
}

// dropRun has what is left of an ended run removed, and the run forgotten.
func (v *view) dropRun(d *decision, r run, forget bool, why string) {
	reason := Reason{CodeEnded, fmt.Sprintf("its run %s goes: %s", d.res.RunName(r.key), why), d.origin}
	w := d.todo.work(r, reason)
	s := r.state
	s.Kept = false
	rec := s.Record(d.id, v.opts.Now)
	if r.record != nil && !r.found { // the time of an end is that of its record
		rec.At = r.record.At
	}
	rec.At, rec.Forget = v.opts.Now, forget
	w.removed = &rec
	if r.object == nil && !r.state.Kept {
		return
	}
	w.remove = true
	d.action(ActionDelete)
	d.because(reason.Code, reason.Text)
	for _, o := range r.spare {
		if !o.up() && !o.Keep {
			d.todo.work(run{key: r.key, object: &o}, reason).remove = true
		}
	}
}

// dropSpare has removed what was created for a run a second time.
func (v *view) dropSpare(d *decision, r run) {
	for _, o := range r.spare {
		if o.State == StateCreated && o.Started.IsZero() && !o.Keep {
			reason := Reason{CodeUnfinished, fmt.Sprintf("%s was created for a run and is not what it is started in", o.Name), d.origin}
			d.todo.work(run{key: r.key, object: &o}, reason).remove = true
			d.because(reason.Code, reason.Text)
			d.action(ActionDelete)
		}
	}
}

// spanText is a duration for people, in its largest whole unit.
func spanText(t time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if t >= u.size && t%u.size == 0 {
			return fmt.Sprintf("%d%s", t/u.size, u.name)
		}
	}
	return t.String()
}

// removeRuns decides about the runs of an ID that nothing asks for. The records of
// a Task outlive it: should it come back it is not run again.
func (v *view) removeRuns(d *decision) {
	d.todo = &runPlan{}
	forget := d.id.Kind == CronTask && !v.destroy
	act := false
	for _, r := range v.runs[d.id] {
		w := d.todo.work(r, d.reason())
		w.remove = r.object != nil || r.state.Kept
		w.stop = r.up()
		act = act || w.remove
		s := r.state
		switch {
		case r.waits() || r.record != nil && forget:
			w.removed = &Record{ID: d.id, Kind: RecordRun, Key: r.key, At: v.opts.Now, Forget: true}
			continue
		case s.Phase == "": // created, and nothing more
			continue
		case r.goesOn():
			s.fail(FailedStopped, v.opts.Now)
			v.endRun(d, w, s)
		case r.found:
			v.endRun(d, w, s)
		}
		if w.remove {
			s.Kept = false
			rec := s.Record(d.id, v.opts.Now)
			w.removed = &rec
		}
	}
	for _, r := range v.runs[d.id] {
		for _, o := range r.spare {
			w := d.todo.work(run{key: r.key, object: &o}, d.reason())
			w.remove, w.stop = true, o.up()
			act = true
		}
	}
	if rec, ok := v.records[recordKey{d.id, RecordSlot}]; ok && forget {
		d.todo.forgets = append(d.todo.forgets, Record{ID: d.id, Kind: RecordSlot, Key: rec.Key, At: v.opts.Now, Forget: true})
	}
	for _, key := range []string{WishRerun, WishStop} {
		if _, ok := v.wishOf(d.id, key); ok && (forget || key == WishStop && !v.destroy) {
			d.todo.forgets = append(d.todo.forgets, Record{ID: d.id, Kind: RecordWish, Key: key, At: v.opts.Now, Forget: true})
		}
	}
	d.todo.works = slices.DeleteFunc(d.todo.works, func(w *runWork) bool {
		return !w.stop && !w.remove && w.end == nil && w.removed == nil
	})
	if !act && !slices.ContainsFunc(v.objects[d.id], func(o Object) bool { return o.Run == "" }) {
		d.actions = nil
	}
}

// leftBehind are the IDs of which runs, or what is remembered of them, are to be
// removed, with or without objects.
func (v *view) leftBehind() map[ID]bool {
	ids := map[ID]bool{}
	for id, runs := range v.runs {
		if v.desired[id] != nil && !v.destroy {
			continue
		}
		forgets := !v.destroy && (id.Kind == CronTask || slices.ContainsFunc(runs, run.waits))
		if forgets || slices.ContainsFunc(runs, func(r run) bool { return r.goesOn() || r.state.Kept }) {
			ids[id] = true
		}
	}
	for key := range v.records {
		if key.kind == RecordSlot && v.desired[key.id] == nil && !v.destroy {
			ids[key.id] = true
		}
	}
	for key := range v.keyed {
		if key.kind == RecordWish && key.id.Kind == CronTask && v.desired[key.id] == nil && !v.destroy {
			ids[key.id] = true
		}
	}
	return ids
}
