// SPDX-License-Identifier: Apache-2.0

package plan

import "fmt"

// wishRestarted decides whether the current object, which runs, is to be stopped
// and started, or stopped until the crash loop lets it start.
func (v *view) wishRestarted(d *decision) {
	if d.res.Want == WantOnce { // it is run anew by another key, and never restarted
		return
	}
	hook, owed := v.restartOwed(d)
	due := v.restartAsked(d) || v.unhealthy(d) || owed
	switch {
	case due && d.current.Keep:
		if d.note == nil {
			d.note = &hold{reasons: []Reason{{CodeKept, "it is marked to be kept, and not restarted", d.origin}}, benign: true}
		}
		return
	case v.restartAsked(d):
		d.because(CodeWish, "reconcile restart asked for it")
	case owed: // whether it is well is told by the run after that
		d.because(CodeHook, fmt.Sprintf("its restart after the %s hook is owed", hook))
	case v.unhealthy(d):
		if !v.wishHealed(d) {
			return
		}
	default:
		return
	}
	d.restart = true
	if len(d.actions) == 0 || d.actions[0] != ActionReplace {
		d.action(ActionRestart)
	}
}

// startDue decides that the current object, which has exited, is to be started
// whatever its restart rule says.
func (v *view) startDue(d *decision) bool {
	if v.startAsked(d) {
		d.because(CodeWish, "somebody asked for it to be started")
		d.records = append(d.records, v.restartsRecord(d, restarts{}))
		return true
	}
	if hook, owed := v.restartOwed(d); owed {
		d.because(CodeHook, fmt.Sprintf("its restart after the %s hook is owed", hook))
		return true
	}
	return false
}

// restartOwed returns the hook that ran in the current object since it was
// started last.
func (v *view) restartOwed(d *decision) (HookName, bool) {
	for _, h := range d.res.Hooks {
		rec, ran := v.keyed[keyedRecord{recordKey{d.id, RecordHook}, string(h.Name)}]
		if ran && !rec.At.IsZero() && rec.Data[hookContainer] == d.current.Handle &&
			!d.current.Started.IsZero() && !rec.At.Before(d.current.Started) {
			return h.Name, true
		}
	}
	return "", false
}

// unhealthy reports whether the liveness probe of the current object fails.
func (v *view) unhealthy(d *decision) bool {
	o := d.current
	return o.State == StateRunning && o.Health.alive() == VerdictFailing && !o.Health.Liveness.Since.Before(o.Started)
}

// wishHealed decides about an object whose liveness probe fails, and reports
// whether it is to be restarted at once. Who supervises only stops it: it is
// started like anything that exits by itself.
func (v *view) wishHealed(d *decision) bool {
	const text = "its liveness probe fails"
	limit, r := d.res.Restart.Max, v.restarts(d)
	switch {
	case d.res.Restart.Policy == RestartNever:
		d.note = &hold{reasons: []Reason{{CodeUnhealthy, text + ", and it is never restarted", d.origin}}}
		return false
	case limit > 0 && r.count >= limit:
		d.note = &hold{reasons: []Reason{{
			CodeRestartLimit, fmt.Sprintf("%s, and it was restarted %d times, as often as allowed", text, limit), d.origin,
		}}}
		return false
	}
	d.departed(CodeUnhealthy, text)
	if !v.opts.Supervise {
		d.records = append(d.records, v.countRestart(d))
		return true
	}
	r.cause = "failed its liveness probe"
	d.records = append(d.records, v.restartsRecord(d, r))
	d.halted = append(d.halted, *d.current)
	d.action(ActionRestart)
	return false
}
