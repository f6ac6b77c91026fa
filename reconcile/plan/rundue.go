// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dueRuns decides which run is to be started, if there is room for it.
func (v *view) dueRuns(d *decision, runs []run, all decisions) {
	candidates := v.candidates(d, runs)
	_, stop := v.stopAskedOf(d.id)
	blocked := v.standing(d.res)
	if blocked != nil {
		d.note = blocked
		pending := !slices.ContainsFunc(blocked.reasons, func(r Reason) bool { return r.Code != CodePending })
		blocked.benign = pending && d.res.Run.Cron == nil && (len(candidates) == 0 || stop)
	}
	if len(candidates) == 0 {
		last := lastRun(runs)
		d.todo.completed = last != nil && last.state.Phase == RunCompleted
		return
	}
	if stop {
		for _, l := range candidates {
			v.endDue(d, l, FailedStopped, Reason{CodeWish, stopAsked, d.origin})
		}
		return
	}
	if blocked != nil {
		return
	}
	l := candidates[0]
	if cron := d.res.Run.Cron; cron != nil && cron.Policy == CronReplace {
		l = candidates[len(candidates)-1]
		for _, r := range runs {
			if r.key != l.key && (r.goesOn() || r.halting() || r.waits()) {
				l.replaces = append(l.replaces, r)
			}
			if r.up() && r.object.Keep && (r.goesOn() || r.halting()) {
				d.withhold(&hold{reasons: []Reason{{CodeKept, "the run before it is marked to be kept, and not stopped", d.origin}}, benign: true})
				return
			}
		}
	} else if on := v.goingOn(d, runs); on != nil && (cron == nil || cron.Policy != CronAllow) {
		d.withhold(&hold{reasons: []Reason{{CodeQueued, "it runs again when the run that goes on has ended", d.origin}}, benign: true})
		return
	}
	v.prepareLaunch(d, l, all)
	if d.todo.launch == nil {
		return
	}
	for _, other := range candidates {
		if other != l && len(l.replaces) == 0 && other.record == nil {
			v.enqueue(d, other)
			d.wakeAt(v.opts.Now.Add(time.Second))
		}
	}
}

// goingOn returns a run that goes on and is not stopped, or is about to be for some
// time already; nil = none does.
func (v *view) goingOn(d *decision, runs []run) *run {
	for _, r := range runs {
		if r.goesOn() && !d.todo.stops(r) || r.halting() {
			return &r
		}
	}
	return nil
}

// candidates are the runs that are due, those that wait first.
func (v *view) candidates(d *decision, runs []run) []*launch {
	var ls []*launch
	since := v.opts.Now
	for _, r := range runs {
		switch {
		case !r.waits():
		case d.res.Run.Cron == nil && !r.of(d.res.Run.Key): // it was edited while it waited
			if r.record.At.Before(since) {
				since = r.record.At
			}
			d.todo.forgets = append(d.todo.forgets, Record{ID: d.id, Kind: RecordRun, Key: r.key, At: v.opts.Now, Forget: true})
		default:
			reason := Reason{CodeNew, "there is room for it", d.origin}
			ls = append(ls, &launch{run: r, due: dueRun{key: r.key, reason: reason}, at: r.record.At})
		}
	}
	add := func(due dueRun, slots []Record) {
		l := &launch{run: run{key: due.key}, due: due, at: since, slots: slots}
		for _, r := range runs {
			if r.key == due.key {
				l.run = r
			}
		}
		l.state.Order = cmp.Or(l.state.Order, nextOrder(runs)+len(ls))
		if l.record == nil && !slices.ContainsFunc(ls, func(o *launch) bool { return o.key == l.key }) {
			ls = append(ls, l)
		}
	}
	if d.res.Run.Cron == nil {
		if due, ok := v.taskDue(d, runs); ok && len(ls) == 0 {
			add(due, nil)
		}
		return ls
	}
	slots := v.records[recordKey{d.id, RecordSlot}].Data
	if slots[slotLast] == assumedHandle && slots[slotSchedule] == d.res.Run.Cron.scheduleText() {
		return ls
	}
	due, recs, wake, why := v.slots(d, runs)
	d.wakeAt(wake)
	rerun, asked := v.cronRerun(d, runs)
	if why == nil && !asked && !wake.IsZero() {
		why = d.scheduleNote(slots, wake)
	}
	if why != nil && d.note == nil {
		d.note = why
	}
	for _, x := range due {
		add(x, recs)
	}
	if len(due) == 0 || len(ls) == 0 {
		d.records = append(d.records, recs...)
	}
	if asked && len(due) == 0 {
		add(rerun, nil)
	}
	return ls
}

// scheduleNote says of a schedule that is seen for the first time when its first
// slot is; nil = it is not. slots is what is recorded of them.
func (d *decision) scheduleNote(slots map[string]string, next time.Time) *hold {
	r := Reason{CodeNew, "it is new: its first slot is " + slotText(next), d.origin}
	switch {
	case slots[slotSchedule] == d.res.Run.Cron.scheduleText():
		return nil
	case slots != nil:
		r.Code, r.Text = CodeSpec, "its schedule changed: its next slot is "+slotText(next)
	}
	return &hold{reasons: []Reason{r}, benign: true}
}

// taskDue returns the run of a Task that is due: the first of its key, or one that
// somebody asked for since the last one.
func (v *view) taskDue(d *decision, runs []run) (dueRun, bool) {
	key, ran := d.res.Run.Key, false
	others := 0
	var last time.Time
	for _, r := range runs {
		if r.waits() || r.record == nil && !r.found {
			continue
		}
		if r.of(key) {
			ran = true
		} else {
			others++
		}
		if at := r.begun(); at.After(last) {
			last = at
		}
	}
	wish, asked := v.wished(d.id, WishRerun)
	asked = asked && (ran || others > 0) && wish.At.After(last)
	switch {
	case asked && ran:
		return dueRun{key: nextKey(key, runs), reason: Reason{CodeRerun, "reconcile task --rerun asked for it", d.origin}}, true
	case asked:
		return dueRun{key: key, reason: Reason{CodeRerun, "reconcile task --rerun asked for it", d.origin}}, true
	case ran, d.res.Run.Once && others > 0:
		return dueRun{}, false
	case others > 0:
		return dueRun{key: key, reason: Reason{CodeSpec, "its spec changed", d.origin}}, true
	}
	return dueRun{key: key, reason: Reason{CodeNew, "it is new", d.origin}}, true
}

// nextKey is the key of one more run of a key that has run.
func nextKey(key string, runs []run) string {
	n := 1
	for _, r := range runs {
		if _, again, ok := strings.Cut(r.key, "."); ok && r.of(key) && r.record != nil {
			if i, err := strconv.Atoi(again); err == nil {
				n = max(n, i)
			}
		}
	}
	return fmt.Sprintf("%s.%d", key, n+1)
}

// prepareLaunch has l started unless something is in its way.
func (v *view) prepareLaunch(d *decision, l *launch, all decisions) {
	d.todo.launch = l
	if last := lastRun(v.runs[d.id]); last != nil && last.state.Digest != "" {
		d.old = &Object{ID: d.id, Digest: last.state.Digest}
		d.paths = v.specPaths(d.res, *d.old)
	}
	l.runName = d.res.RunName(l.key)
	if l.object == nil {
		d.create, d.bound = v.runObjectName(d, l), v.bind(d.res, all)
		l.state.Digest, l.state.Inputs = d.digest, d.bound
	} else {
		l.state.Container, l.state.Digest, l.state.Inputs = l.object.Handle, l.object.Digest, l.object.Inputs
	}
	l.state.Order = cmp.Or(l.state.Order, nextOrder(v.runs[d.id]))
	l.state.Key, l.state.Name, l.state.Group = l.key, l.runName, d.res.Run.Group
	if h := v.vetoRun(d, l, all); h != nil {
		d.withhold(h)
		return
	}
	if text, failed := v.imageText(d, l); failed {
		kept := l.object != nil || v.imageFailed(d)
		d.withhold(&hold{reasons: []Reason{{CodeImageMissing, text, d.origin}}})
		l.state.Kept, l.state.Detail = kept, text
		v.endDue(d, l, FailedImage, Reason{CodeImageMissing, text, d.origin})
		return
	}
	v.authorizeNew(d, (*decision).withhold)
}

// endDue has a run recorded as failed that is due and was never started.
func (v *view) endDue(d *decision, l *launch, why string, reason Reason) {
	s := l.state
	s.Key, s.Name, s.Group = l.key, cmp.Or(s.Name, d.res.RunName(l.key)), d.res.Run.Group
	s.Order = cmp.Or(s.Order, nextOrder(v.runs[d.id]))
	s.Kept = s.Kept || l.object != nil
	s.fail(why, v.opts.Now)
	v.endRun(d, d.todo.work(l.run, reason), s)
	d.records = append(d.records, l.slots...)
}

// runObjectName is the name of the container of a run: that of the resource for
// the first run of a Task.
func (v *view) runObjectName(d *decision, l *launch) string {
	base, name := d.res.Name, d.res.Name
	order := cmp.Or(l.state.Order, nextOrder(v.runs[d.id]))
	if d.res.Run.Cron != nil {
		base += "-" + strings.ReplaceAll(l.key, ".", "-")
		name, order = base, 1
	}
	for first := true; ; order, first = order+1, false {
		if order > 1 {
			name = fmt.Sprintf("%s-%d", base, order)
		}
		b := bearingOf(d.id, name)
		_, foreign := v.foreign[b]
		if foreign && first && order == 1 {
			return name // it is held for that
		}
		if !foreign && len(v.bearers[b]) == 0 && (name == d.res.Name || !v.wanted[b]) {
			return name
		}
	}
}
