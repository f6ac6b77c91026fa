// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// usedInSession names an object of a dispatch session that may use what d removes, the
// first by name; "" = none does. Slots come and go as long as their TaskAgent is there:
// what just any of them held would be held for ever.
func (v *view) usedInSession(d *decision) string {
	for _, o := range v.inSession {
		if v.mayUse(o, d) {
			return o.Name
		}
	}
	return ""
}

func (v *view) mayUse(o Object, d *decision) bool {
	if o.Role == RoleRelay {
		return d.id.Kind == Network && d.doomsNamed(o.ID.Name)
	}
	spec, known := v.launched(o)
	return !known || d.takesFrom(spec)
}

// keepServing holds the removal of what executions of a TaskAgent are made with, unless
// they are made without it from this plan on.
func (v *view) keepServing(all decisions) {
	for _, d := range all {
		if !d.acts() || d.res != nil || d.id.Kind.Role() != RoleSupport {
			continue
		}
		for _, id := range v.ids {
			if rev, serves := v.serving(id); serves && d.takesFrom(rev.Spec) && !all[id].switches() {
				d.hold = &hold{benign: true, reasons: []Reason{{CodeBlockedBy, rev.Name() + " stays and uses it", d.origin}}}
				break
			}
		}
	}
}

// serving is the revision that executions of a TaskAgent are made from; false = none
// are made.
func (v *view) serving(id ID) (Revision, bool) {
	if _, active := v.settingsOf(id); !active {
		return Revision{}, false
	}
	rev := newest(v.usable[id])
	if rev == nil {
		return Revision{}, false
	}
	return *rev, true
}

// switches reports whether executions of a TaskAgent are made from another revision from
// now on, or none are any more.
func (d *decision) switches() bool {
	return d != nil && d.hold == nil && d.revision != nil && (d.revision.record != nil || d.revision.remove)
}

// takesFrom reports whether d, which removes a network, a volume or a secret, takes it
// from what is made of spec.
func (d *decision) takesFrom(spec Spec) bool {
	switch d.id.Kind {
	case Network:
		return d.doomsNamed(spec.Container.Network)
	case Volume:
		return slices.ContainsFunc(spec.Container.Mounts, func(m Mount) bool { return d.doomsNamed(m.Source) })
	}
	return slices.ContainsFunc(spec.Inputs(), func(in Input) bool { return in.Kind == InputSecret })
}

// doomsNamed reports whether d removes the object with a name.
func (d *decision) doomsNamed(name string) bool {
	return slices.ContainsFunc(d.doomed, func(gone Object) bool { return gone.Name == name })
}

// launched is the spec that a container of a session was made from, if its revision is
// remembered.
func (v *view) launched(o Object) (Spec, bool) {
	for _, rev := range v.usable[o.ID] {
		if KnownDigest(o.Digest) && rev.Spec.DigestAs(o.Digest) == o.Digest {
			return rev.Spec, true
		}
	}
	return Spec{}, false
}
