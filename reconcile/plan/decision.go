// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"time"
)

// decision is what is to happen to one ID. It is a wish first; a hold on it
// takes the whole wish back.
type decision struct {
	id     ID
	name   string // proper name, for people
	origin string
	res    *Resource // nil: nothing asks for it

	current *Object  // goes on under this ID
	old     *Object  // what is replaced by something created
	rivals  []rival  // the other objects, best first
	doomed  []Object // to be stopped and deleted
	halted  []Object // to be stopped and kept
	idle    bool     // it is not to run, since somebody asked for that

	digest    string // of the desired spec
	create    string // name to create under; "" = nothing is created
	bound     map[string]string
	deleteOld bool // the doomed go before the creation, which takes their name
	activate  bool
	takeover  []Object // removed objects of other IDs that bear the proper name
	start     bool
	restart   bool     // the current object is stopped and started
	execs     []exec   // run in it once it runs, with one restart after them
	host      *hostRun // run on the host before it is prepared
	records   []Record // to be written before the start

	actions []Action
	reasons []Reason
	drift   []Reason
	paths   []string

	grants []Grant // what it could not do before

	todo     *runPlan      // of what is run; nil = it is not
	revision *revisionPlan // of a TaskAgent; nil = it is none

	wake time.Time // when there is something to do about it; zero = never

	hold *hold // nothing is done
	note *hold // worth saying, though what is wished is done

	made made
}

// made names the steps that others order themselves after; "" = none.
type made struct{ host, prepare, create, last string }

// rival is an object that is not current, and why.
type rival struct {
	object Object
	faults []Reason // none: it could be current as well
}

// hold says why something is not done.
type hold struct {
	reasons        []Reason
	policy, benign bool
	until          time.Time // when it ends by itself; zero = it does not
}

type decisions map[ID]*decision

// acts reports whether the decision changes anything.
func (d *decision) acts() bool { return d.hold == nil && len(d.actions) > 0 }

// held returns what is to be reported as held, or nil.
func (d *decision) held() *hold {
	if d.hold != nil {
		return d.hold
	}
	return d.note
}

func (d *decision) holdBack(code Code, text string) {
	d.hold = &hold{reasons: []Reason{{code, text, d.origin}}}
}

func (d *decision) because(code Code, text string) {
	d.reasons = append(d.reasons, Reason{code, text, d.origin})
}

func (d *decision) departed(code Code, text string) {
	d.because(code, text)
	d.drift = append(d.drift, Reason{code, text, d.origin})
}

func (d *decision) action(a Action) {
	if !slices.Contains(d.actions, a) {
		d.actions = append(d.actions, a)
	}
}

// wakeAt has somebody look again at a time; zero is none.
func (d *decision) wakeAt(at time.Time) {
	if !at.IsZero() && (d.wake.IsZero() || at.Before(d.wake)) {
		d.wake = at
	}
}

// reason is the reason of the steps that stand for the whole decision. What
// has none is only recorded.
func (d *decision) reason() Reason {
	if len(d.reasons) == 0 {
		return Reason{Origin: d.origin}
	}
	return d.reasons[0]
}

// starts reports whether something is started.
func (d *decision) starts() bool {
	return d.start || d.restart || len(d.execs) > 0 || d.todo != nil && d.todo.launch != nil
}

// stops reports whether what is desired is not to run.
func (d *decision) stops() bool { return d.idle || d.res != nil && d.res.Want == WantStopped }

// decide decides about every ID: removals first, since they free names, then
// what is desired, what is needed before what needs it, and at last the images
// that nothing uses any more.
func (v *view) decide() (decisions, []Reason) {
	all := decisions{}
	for _, id := range v.ids {
		if v.destroy || v.desired[id] == nil {
			if len(v.objects[id]) > 0 {
				all[id] = v.remove(id)
			} else if v.leftovers[id] {
				if d := v.remove(id); d.hold == nil || d.id.Kind == TaskAgent { // else it can wait
					all[id] = d
				}
			}
		}
	}
	v.keepUsed(all)
	braked := v.brake(all)
	if v.destroy {
		v.collectImages(all)
		return all, braked
	}
	for _, id := range v.order {
		all[id] = v.converge(v.desired[id], all)
	}
	v.admit(all)
	v.keepServing(all)
	v.holdImages(all)
	v.collectImages(all)
	return all, braked
}

// converge decides about what is desired.
func (v *view) converge(r *Resource, all decisions) *decision {
	d := &decision{id: r.ID, name: r.Name, origin: r.Origin, res: r, digest: v.digests[r.ID]}
	if r.Want == WantOnce && r.Run != nil {
		v.convergeRuns(d, all)
		return d
	}
	if r.Dispatch != nil {
		v.convergeRevisions(d, all)
		return d
	}
	v.choose(d, all)
	if d.hold = v.busyHold(d.id, d.origin); d.hold != nil {
		return d
	}
	if d.hold = v.standing(r); d.hold == nil {
		v.wish(d, all)
		if d.hold == nil && len(d.actions) > 0 {
			d.hold = v.veto(d, all)
		}
		v.authorize(d)
	}
	v.stopAnyway(d, all)
	if v.braked(d.id) {
		d.records = append(d.records, v.brakeRecord(d.id, "false"))
	}
	if h := v.backedOff(d.id, d.digest, d.origin); h != nil && d.hold == nil && len(d.actions) == 0 && len(d.records) > 0 {
		d.records = nil
		if d.note == nil {
			d.note = h
		}
	}
	return d
}
