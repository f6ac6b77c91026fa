// SPDX-License-Identifier: Apache-2.0

package plan

import "fmt"

// outlived decides about the current object, which runs, once it has run for as long
// as it may, and reports whether it has: it is stopped, and what becomes of it then
// is for its restart rule to say.
func (v *view) outlived(d *decision) bool {
	limit := d.res.Restart.Lifetime
	if limit <= 0 || d.current.Started.IsZero() {
		return false
	}
	if at := d.current.Started.Add(limit); at.After(v.opts.Now) {
		d.wakeAt(at)
		return false
	}
	text := fmt.Sprintf("it has run for %s, as long as it may", spanText(limit))
	if d.current.Keep {
		d.note = &hold{reasons: []Reason{{CodeKept, text + ", and is marked to be kept", d.origin}}, benign: true}
		return false
	}
	d.because(CodeLifetime, text)
	policy, limited := d.res.Restart.Policy, d.res.Restart.Max > 0 && v.restarts(d).count >= d.res.Restart.Max
	switch {
	case policy == RestartNever || limited:
		d.action(ActionStop)
	case !v.opts.Supervise && policy != RestartOnFailure: // nobody sees it exit
		d.records = append(d.records, v.countRestart(d))
		d.restart = true
		d.action(ActionRestart)
		return true
	default:
		d.action(ActionRestart)
	}
	d.halted = append(d.halted, *d.current)
	return true
}

// noteFinished has it recorded that the current object of a daemon is done: what a
// runtime says of it does not outlive the host's next start.
func (v *view) noteFinished(d *decision) {
	if r := v.restarts(d); d.res.Restart.Curve == CurveDaemon && r.finished != d.current.Handle {
		r.finished = d.current.Handle
		d.records = append(d.records, v.restartsRecord(d, r))
	}
}

// wasFinished notes that the current object, which the host's start has reset, was
// done before that.
func (v *view) wasFinished(d *decision) bool {
	policy := d.res.Restart.Policy
	always := policy != RestartOnFailure && policy != RestartNever
	if always || v.restarts(d).finished != d.current.Handle || v.startAsked(d) {
		return false
	}
	d.note = &hold{reasons: []Reason{{CodeFinished, "it was finished before the host was started", d.origin}}, benign: true}
	return true
}
