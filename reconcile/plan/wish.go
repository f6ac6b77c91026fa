// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
)

// wish sets what should happen to what is desired, were nothing in its way.
func (v *view) wish(d *decision, all decisions) {
	if d.res.Want == WantStopped {
		v.wishStopped(d)
		return
	}
	d.idle = v.stopWished(d.res)
	switch {
	case d.keptGoesOn():
		d.keepRival()
		return
	case d.current == nil && len(d.rivals) == 0 && d.idle:
		d.noteStopped()
		return
	case d.current == nil && len(d.rivals) == 0:
		v.wishNew(d)
	case d.current == nil:
		v.wishReplaced(d)
	case d.id.Kind.Role() == RoleInstance:
		v.wishTidy(d)
		v.wishStarted(d)
	case d.id.Kind.Role() == RoleSupport:
		v.wishTidy(d)
	}
	if d.hold != nil {
		return
	}
	if d.create != "" {
		d.bound = v.bind(d.res, all)
		d.start = !d.idle && (d.res.Want == WantRunning || d.res.Want == WantOnce)
	}
	if d.idle {
		v.wishIdle(d)
	}
	v.wishHooks(d)
	v.wishPortsKept(d)
}

// wishStopped stops what runs and leaves it there.
func (v *view) wishStopped(d *decision) {
	d.create, d.note = "", nil
	for _, o := range v.objects[d.id] {
		if !o.Keep && (o.State == StateRunning || o.State == StatePaused) {
			d.halted = append(d.halted, o)
		}
	}
	if len(d.halted) > 0 {
		if d.current != nil {
			d.records = append(d.records, v.restartsRecord(d, restarts{stopped: true}))
		}
		d.action(ActionStop)
		d.because(CodeKept, "it is to be stopped")
		return
	}
	d.note = &hold{reasons: []Reason{{CodeKept, "it is to stay stopped", d.origin}}, benign: true}
}

// keptGoesOn reports whether an object that must stay is in the place of the
// one that should be there.
func (d *decision) keptGoesOn() bool {
	if d.id.Kind.Role() == RoleImage { // of those there can be several
		return false
	}
	return slices.ContainsFunc(d.rivals, func(r rival) bool {
		if !r.object.Keep {
			return false
		}
		inPlace := r.object.State == StateRunning || r.object.State == StatePaused || r.object.Name == d.name
		return d.current == nil || inPlace && d.current.State != StateRunning
	})
}

// keepRival lets an object that differs go on, since it must not be deleted.
func (d *decision) keepRival() {
	for _, r := range d.rivals {
		if r.object.Keep {
			d.current = &r.object
			d.hold = &hold{reasons: append(slices.Clone(r.faults),
				Reason{CodeKept, "it differs, and it is marked to be kept", d.origin}), benign: true}
			return
		}
	}
}

func (v *view) wishNew(d *decision) {
	if v.existed[d.id] {
		d.departed(CodeMissing, "it was there after the last pass and is gone")
	} else {
		d.because(CodeNew, "it is new")
	}
	d.create = v.freeName(d)
	if d.res.Want == WantOnce {
		d.action(ActionRun)
	} else {
		d.action(ActionCreate)
	}
}

func (v *view) wishReplaced(d *decision) {
	image := d.id.Kind.Role() == RoleImage // always made beside the old one
	switch {
	case !image && (d.res.Replace == Overlap || d.res.Replace == Finish):
		d.holdBack(CodeUnsupported, fmt.Sprintf("replacing with %q is not supported by this build", d.res.Replace))
		return
	}
	old := d.rivals[0]
	d.old = &old.object
	d.reasons = slices.Clone(old.faults)
	for _, r := range old.faults {
		if !intent(r.Code) {
			d.drift = append(d.drift, r)
		}
	}
	d.paths = v.replacePaths(d.res, old)
	if !image {
		d.doomAll()
	}
	d.create = v.freeName(d)
	d.action(ActionReplace)
}

// wishTidy finishes a replacement that was interrupted, removes duplicates and
// gives the current object its proper name.
func (v *view) wishTidy(d *decision) {
	replacing := false
	for _, r := range d.rivals {
		switch {
		case r.object.Keep:
			d.note = &hold{reasons: []Reason{{CodeKept, "a second object is marked to be kept", d.origin}}, benign: true}
		case len(r.faults) == 0:
			d.departed(CodeDuplicate, fmt.Sprintf("a second object, %s, has the same id", r.object.Name))
			d.action(ActionUpdate)
		default:
			d.because(CodeUnfinished, fmt.Sprintf("%s was left by an interrupted pass", r.object.Name))
			replacing = true
		}
	}
	if replacing {
		d.actions = []Action{ActionReplace}
	}
	d.doomAll()
	if d.current.Name == d.name || d.id.Kind.Role() != RoleInstance || d.borneByKept() {
		return
	}
	d.activate = true
	text := fmt.Sprintf("its name is %s and should be %s", d.current.Name, d.name)
	if replacing || d.current.State == StateCreated {
		d.because(CodeUnfinished, text)
	} else {
		d.departed(CodeRenamed, text)
	}
	if !replacing {
		d.action(ActionUpdate)
	}
}

// borneByKept reports whether an object of this ID that must stay has the
// proper name.
func (d *decision) borneByKept() bool {
	return slices.ContainsFunc(d.rivals, func(r rival) bool { return r.object.Keep && r.object.Name == d.name })
}

func (d *decision) doomAll() {
	for _, r := range d.rivals {
		if !r.object.Keep {
			d.doomed = append(d.doomed, r.object)
		}
	}
	slices.SortFunc(d.doomed, func(a, b Object) int { return cmp.Compare(a.Handle, b.Handle) })
}

// freeName returns the name to create under: the proper one unless an object
// of ours has it, which a support object gives up first, since only containers
// can be renamed.
func (v *view) freeName(d *decision) string {
	b := bearingOf(d.id, d.name)
	if len(v.bearers[b]) == 0 || d.id.Kind.Role() == RoleImage {
		return d.name
	}
	if d.id.Kind.Role() == RoleSupport {
		d.deleteOld = true
		return d.name
	}
	d.activate = true
	for n := 1; ; n++ {
		b.name = d.name + "-next"
		if n > 1 {
			b.name = fmt.Sprintf("%s-next%d", d.name, n)
		}
		_, foreign := v.foreign[b]
		if !foreign && !v.wanted[b] && len(v.bearers[b]) == 0 {
			return b.name
		}
	}
}

// bind returns the facts that a new object of r is made with.
func (v *view) bind(r *Resource, all decisions) map[string]string {
	bound := map[string]string{}
	for _, in := range r.Spec.Inputs() {
		if f := v.observed.Inputs[in]; f.Value != "" {
			bound[in.String()] = f.Value
		}
	}
	for _, n := range r.Needs {
		if on := all[n.On]; n.Bound && on != nil {
			if gen := on.generation(); gen != "" {
				bound[Input{InputNeed, n.On.String()}.String()] = gen
			}
		}
	}
	return bound
}
