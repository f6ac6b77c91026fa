// SPDX-License-Identifier: Apache-2.0

package plan

import "time"

// wished returns what somebody asked for with a command. False: nobody did, or,
// the clock having been set back, they have yet to.
func (v *view) wished(id ID, key string) (Record, bool) {
	rec, ok := v.wishOf(id, key)
	return rec, ok && !rec.At.After(v.opts.Now)
}

func (v *view) wishOf(id ID, key string) (Record, bool) {
	rec, ok := v.keyed[keyedRecord{recordKey{id, RecordWish}, key}]
	return rec, ok
}

// wakeForWish is wake, or the time of a wish that is yet to come.
func (v *view) wakeForWish(wake time.Time) time.Time {
	for key, rec := range v.keyed {
		future := key.kind == RecordWish && key.key != WishStop && rec.At.After(v.opts.Now)
		if future && v.desired[key.id] != nil && (wake.IsZero() || rec.At.Before(wake)) {
			wake = rec.At
		}
	}
	return wake
}

// stopWished reports whether r, a process, is to be stopped for as long as nobody
// asks for something else.
func (v *view) stopWished(r *Resource) bool {
	rec, _ := v.wishOf(r.ID, WishStop)
	return r.ID.Kind.Role() == RoleInstance && rec.Data["wanted"] == "true"
}

// restartAsked reports whether the current object runs since before somebody
// asked for it to be started anew.
func (v *view) restartAsked(d *decision) bool {
	rec, asked := v.wished(d.id, WishRestart)
	return asked && !d.current.Started.IsZero() && !d.current.Started.After(rec.At)
}

// startAsked reports whether somebody has asked for the current object, which
// has exited, to be started, and it has not been since.
func (v *view) startAsked(d *decision) bool {
	if v.restartAsked(d) {
		return true
	}
	rec, asked := v.wished(d.id, WishStop)
	last := d.current.Finished
	if last.IsZero() {
		last = d.current.Started
	}
	return asked && rec.Data["wanted"] == "false" && !last.IsZero() && !last.After(rec.At)
}

// forgiven reports whether somebody has taken it in hand since at, so that how
// often it failed before counts for nothing.
func (v *view) forgiven(id ID, at time.Time) bool {
	for _, key := range []string{WishStop, WishRestart, WishRefresh} {
		if rec, asked := v.wished(id, key); asked && at.Before(rec.At) {
			return true
		}
	}
	return false
}

const stopAsked = "reconcile stop asked for it"

// noteStopped says that it is as somebody asked for.
func (d *decision) noteStopped() {
	if d.note == nil {
		d.note = &hold{reasons: []Reason{{CodeWish, "stopped by reconcile stop", d.origin}}, benign: true}
	}
}

// wishIdle has what runs stopped. What is to replace it is made all the same, so
// that it can be started at once.
func (v *view) wishIdle(d *decision) {
	if d.current != nil && d.create == "" && !d.current.Keep && d.current.up() {
		v.halt(d, *d.current)
		return
	}
	d.noteStopped()
}

// halt has o stopped as somebody wished.
func (v *view) halt(d *decision, o Object) {
	d.halted = append(d.halted, o)
	if len(d.halted) > 1 {
		return
	}
	if d.current != nil {
		d.records = append(d.records, v.restartsRecord(d, restarts{stopped: true}))
	}
	d.action(ActionStop)
	d.because(CodeWish, stopAsked)
}

// up reports whether o has a process.
func (o Object) up() bool { return o.State == StateRunning || o.State == StatePaused }

// stopAnyway has what is held stopped, when somebody asked for that: whatever
// keeps it from being replaced or repaired does not keep it from that.
func (v *view) stopAnyway(d *decision, all decisions) {
	if d.hold == nil || !v.stopWished(d.res) {
		return
	}
	s := &decision{id: d.id, name: d.name, origin: d.origin, res: d.res, digest: d.digest, idle: true}
	s.current, s.rivals = d.current, d.rivals
	if s.current == nil && len(d.rivals) > 0 {
		s.current = &d.rivals[0].object
	}
	for _, o := range v.objects[d.id] {
		if o.up() && !o.Keep {
			v.halt(s, o)
		}
	}
	if len(s.halted) == 0 || v.veto(s, all) != nil {
		return
	}
	s.note = d.hold
	*d = *s
}
