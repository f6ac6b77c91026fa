// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// killedCode is the exit code of what was killed.
const killedCode = 137

// exited says how a process ended, as the end of "it …". That the kernel killed it
// for want of memory is not for every runtime to know.
func exited(code int) string {
	if code == killedCode {
		return fmt.Sprintf("ended with exit %d: killed, possibly out of memory", code)
	}
	return fmt.Sprintf("exited with %d", code)
}

// ended is exited of the current object, or that it was ended for having run for as
// long as it may. Some runtimes tell when a process ended in whole seconds.
func (d *decision) ended() string {
	o, limit := d.current, d.res.Restart.Lifetime
	if limit <= 0 || o.Started.IsZero() || o.Finished.Sub(o.Started) <= limit-time.Second {
		return exited(o.ExitCode)
	}
	return fmt.Sprintf("was ended after %s, as long as it may run (exit %d)", spanText(limit), o.ExitCode)
}

// exhausted notes an exited object that has been restarted as often as allowed.
func (v *view) exhausted(d *decision) bool {
	limit := d.res.Restart.Max
	if limit <= 0 || v.restarts(d).count < limit {
		return false
	}
	text := fmt.Sprintf("it %s and was restarted %d times, as often as allowed", d.ended(), limit)
	d.note = &hold{reasons: []Reason{{CodeRestartLimit, text, d.origin}}}
	return true
}

// crashLoops notes an exited object that it is too early to restart.
func (v *view) crashLoops(d *decision) bool {
	at := v.restartAt(d)
	if !at.After(v.opts.Now) {
		return false
	}
	r := v.restarts(d)
	text := fmt.Sprintf("CrashLoopBackOff until %s: it %s", v.clock(at), cmp.Or(r.cause, d.ended()))
	if n := r.count; n > 0 {
		text += fmt.Sprintf(" after restart %d", n)
	}
	d.note = &hold{reasons: []Reason{{CodeCrashLoop, text, d.origin}}, until: at}
	return true
}

// restartAt is when the exited object may be started again; zero = at once.
func (v *view) restartAt(d *decision) time.Time {
	r := v.restarts(d)
	if !v.opts.Supervise || d.current.Finished.IsZero() || r.stopped || r.atOnce || v.startAsked(d) {
		return time.Time{}
	}
	delay := d.res.Restart.Curve.times().delay(r.streak)
	at := d.current.Finished.Add(delay)
	if at.Sub(v.opts.Now) > delay { // the clock was set back
		return time.Time{}
	}
	return at
}

// clock is a time of day for people, in the zone of the pass.
func (v *view) clock(t time.Time) string { return t.In(v.opts.Now.Location()).Format("15:04:05") }

// restarts is what a RecordRestarts says of the present object.
type restarts struct {
	count, streak int
	stopped       bool
	atOnce        bool   // it ran for so long that it is restarted at once
	finished      string // the handle of what is done
	cause         string // why it was stopped, as the end of "it …"; "" = it exited
}

func (v *view) restarts(d *decision) restarts {
	rec, o := v.records[recordKey{d.id, RecordRestarts}], d.current
	if v.forgiven(d.id, rec.At) {
		rec.Data = nil
	}
	r := restarts{count: rec.Restarts(o.Digest), streak: rec.counted("streak", o.Digest)}
	r.stopped = rec.isOf(o.Digest) && rec.Data["stopped"] == "true"
	if rec.isOf(o.Digest) {
		r.finished = rec.Data["finished"]
	}
	if rec.isOf(o.Digest) && o.State == StateExited {
		r.cause = rec.Data["cause"]
	}
	end := o.Finished
	if o.up() {
		end = v.opts.Now
	}
	if t := d.res.Restart.Curve.times(); !o.Started.IsZero() && end.Sub(o.Started) >= t.stable {
		r.streak, r.atOnce = 0, t.atOnce
	}
	return r
}

func (v *view) countRestart(d *decision) Record {
	r := v.restarts(d)
	if r.stopped {
		return v.restartsRecord(d, restarts{})
	}
	if r.atOnce {
		return v.restartsRecord(d, restarts{count: r.count + 1})
	}
	return v.restartsRecord(d, restarts{count: r.count + 1, streak: r.streak + 1})
}

func (v *view) restartsRecord(d *decision, r restarts) Record {
	data := map[string]string{
		"count":  strconv.Itoa(r.count),
		"streak": strconv.Itoa(r.streak),
		"digest": d.current.Digest,
	}
	if r.stopped {
		data["stopped"] = "true"
	}
	if r.cause != "" {
		data["cause"] = r.cause
	}
	if r.finished != "" {
		data["finished"] = r.finished
	}
	return Record{ID: d.id, Kind: RecordRestarts, At: v.opts.Now, Data: data}
}
