// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"strconv"
)

// wishStarted decides whether the current object is to be started.
func (v *view) wishStarted(d *decision) {
	if d.idle || d.res.Want != WantRunning && d.res.Want != WantOnce {
		return
	}
	switch d.current.State {
	case StateRunning:
		v.noteDeaf(d)
		if !v.outlived(d) {
			v.wishRestarted(d)
		}
		return
	case StatePaused:
		if v.restartAsked(d) && d.res.Want != WantOnce && !d.current.Keep {
			v.wishRestarted(d)
			return
		}
		d.departed(CodePaused, "it is paused")
	case StateCreated: // starting it counts as nothing
		if v.wasFinished(d) {
			return
		}
		if d.current.Started.IsZero() { // by a pass that did not get further
			d.because(CodeUnfinished, "it was created and never started")
		} else {
			d.departed(CodeStopped, "it has not been started since the host was")
		}
	case StateExited:
		if d.res.Want != WantOnce && v.startDue(d) {
			break
		}
		if v.finished(d) || v.exhausted(d) || v.crashLoops(d) {
			return
		}
		if cause := v.restarts(d).cause; cause != "" {
			d.departed(CodeUnhealthy, "it "+cause)
		} else {
			d.departed(CodeStopped, "it "+d.ended())
		}
		d.records = append(d.records, v.countRestart(d))
	default:
		return
	}
	d.start = true
	if len(d.actions) == 0 || d.actions[0] != ActionReplace {
		d.action(ActionStart)
	}
}

// finished notes an exited object that its restart rule leaves alone.
func (v *view) finished(d *decision) bool {
	var text string
	switch {
	case d.res.Want == WantOnce:
		text = "it ran and " + exited(d.current.ExitCode)
	case d.res.Restart.Policy == RestartNever:
		text = "it " + d.ended() + " and is never restarted"
	case d.res.Restart.Policy == RestartOnFailure && d.current.ExitCode == 0 && v.restarts(d).cause == "":
		text = "it exited with 0 and is restarted on failure only"
	default:
		return false
	}
	d.note = &hold{reasons: []Reason{{CodeFinished, text, d.origin}}, benign: true}
	v.noteFinished(d)
	return true
}

// wishPortsKept has the ports that the runtime chose recorded, so that a
// replacement takes them again.
func (v *view) wishPortsKept(d *decision) {
	taken := v.records[recordKey{d.id, RecordPorts}].Data
	chosen, all := map[string]string{}, true
	for _, p := range d.res.Spec.ports() {
		if p.HostPort != 0 {
			continue
		}
		key := portKey(p)
		if _, ok := hostPort(taken[key]); ok {
			continue
		}
		all = false
		if d.current != nil {
			if host := published(*d.current, p); host != 0 {
				chosen[key] = strconv.Itoa(int(host))
			}
		}
	}
	rec := Record{ID: d.id, Kind: RecordPorts, At: v.opts.Now}
	switch {
	case all:
		return
	case d.create != "": // the created object says which
	case d.current == nil || len(chosen) == 0:
		return
	default:
		rec.Data = maps.Clone(taken)
		if rec.Data == nil {
			rec.Data = map[string]string{}
		}
		maps.Copy(rec.Data, chosen)
	}
	d.records = append(d.records, rec)
}

// ports returns the ports a new object of d publishes, those chosen earlier
// filled in.
func (v *view) ports(d *decision) []Port {
	taken := v.records[recordKey{d.id, RecordPorts}].Data
	var ports []Port
	for _, p := range d.res.Spec.ports() {
		if host, ok := hostPort(taken[portKey(p)]); ok && p.HostPort == 0 {
			p.HostPort = host
		}
		ports = append(ports, p)
	}
	return ports
}

func hostPort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n != 0
}

// published returns the host port that o has for container port p, or 0.
func published(o Object, p Port) uint16 {
	for _, q := range o.Ports {
		if q.Container == p.Container && q.Protocol == p.Protocol {
			return q.HostPort
		}
	}
	return 0
}
