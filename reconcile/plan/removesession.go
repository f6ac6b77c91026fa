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
	goes := func(name string) bool {
		return slices.ContainsFunc(d.doomed, func(gone Object) bool { return gone.Name == name })
	}
	if o.Role == RoleRelay {
		return d.id.Kind == Network && goes(o.ID.Name)
	}
	spec, known := v.launched(o)
	switch {
	case !known:
		return true
	case d.id.Kind == Network:
		return goes(spec.Container.Network)
	case d.id.Kind == Volume:
		return slices.ContainsFunc(spec.Container.Mounts, func(m Mount) bool { return goes(m.Source) })
	}
	return slices.ContainsFunc(spec.Inputs(), func(in Input) bool { return in.Kind == InputSecret })
}

// launched is the spec that a container of a session was made from, if its revision is
// remembered.
func (v *view) launched(o Object) (Spec, bool) {
	for _, rev := range v.revisions[o.ID] {
		if rev.Usable() && KnownDigest(o.Digest) && rev.Spec.DigestAs(o.Digest) == o.Digest {
			return rev.Spec, true
		}
	}
	return Spec{}, false
}
