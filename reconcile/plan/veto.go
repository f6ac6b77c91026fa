// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"
)

// standing returns why nothing may be done about r whatever there is, or nil.
func (v *view) standing(r *Resource) *hold {
	var rs []Reason
	invalid := func(text, origin string) { rs = append(rs, Reason{CodeInvalid, text, origin}) }
	if v.cyclic[r.ID] {
		invalid("its needs lead back to itself", r.Origin)
	}
	if first, ok := v.clashes[r.ID]; ok {
		invalid(fmt.Sprintf("its name %s is that of %s", r.Name, first), r.Origin)
	}
	if of, made := r.makes(); made && v.desired[of] == nil {
		invalid(fmt.Sprintf("it is made for %s, which is not desired", of), r.Origin)
	}
	for _, n := range r.Needs {
		if v.desired[n.On] == nil {
			invalid(fmt.Sprintf("it needs %s, which is not desired", n.On), n.Origin)
		}
	}
	for _, b := range r.Blocked {
		if b.Origin == "" {
			b.Origin = r.Origin
		}
		rs = append(rs, b)
	}
	if len(rs) == 0 {
		return nil
	}
	return &hold{reasons: rs, policy: !slices.ContainsFunc(rs, func(r Reason) bool { return r.Code != CodePolicy })}
}

// veto returns why what is wished cannot be done now, or nil.
func (v *view) veto(d *decision, all decisions) *hold {
	fault := func(code Code, text string) *hold {
		return &hold{reasons: []Reason{{code, text, d.origin}}}
	}
	if slices.ContainsFunc(v.objects[d.id], v.lost) {
		h := fault(CodeRecordsLost, lostText)
		h.policy = true
		return h
	}
	if len(v.unseen) > 0 && (d.create != "" || len(d.doomed) > 0) {
		return fault(CodeUnknown, "it may exist already: "+v.unseen[0].Text)
	}
	if v.observed.NoCommit && d.create != "" && d.id.Kind.Role() == RoleImage {
		return fault(CodeUnsupported, "the runtime cannot make images, as its install hook needs it")
	}
	if v.lacksFolders(d) {
		return fault(CodeUnsupported, noFoldersText)
	}
	if h := v.missingInputs(d); h != nil {
		return h
	}
	if h := v.nameTaken(d, all); h != nil {
		return h
	}
	if h := v.needsHeld(d, all); h != nil && !d.stopsOnly() {
		return h
	}
	return v.backedOff(d.id, d.digest, d.origin)
}

// missingInputs holds a creation that cannot succeed.
func (v *view) missingInputs(d *decision) *hold {
	if d.create == "" {
		return nil
	}
	h := &hold{}
	for _, in := range d.res.Spec.Inputs() {
		f := v.observed.Inputs[in]
		if f.State != FactMissing {
			continue
		}
		code, name := CodeImageMissing, "image "+in.Name
		if in.Kind == InputSecret {
			code, name = CodeSecretMissing, "secret "+secretName(in)
		}
		text := name + " does not exist"
		switch {
		case strings.HasPrefix(f.Detail, name+" "): // it says of what
			text = f.Detail
		case f.Detail != "":
			text = name + ": " + f.Detail
		}
		h.reasons = append(h.reasons, Reason{code, text, d.origin})
	}
	if len(h.reasons) == 0 {
		return nil
	}
	return h
}

// nameTaken holds what cannot have its proper name. A container may take the
// name of one that is removed in the same pass.
func (v *view) nameTaken(d *decision, all decisions) *hold {
	if d.create == "" && !d.activate {
		return nil
	}
	b := bearingOf(d.id, d.name)
	if _, taken := v.foreign[b]; taken {
		return &hold{reasons: []Reason{{CodeForeign, fmt.Sprintf("the name %s belongs to an object that is not ours", d.name), d.origin}}}
	}
	for _, o := range v.bearers[b] {
		if o.ID == d.id || d.id.Kind.Role() == RoleImage {
			continue
		}
		on := all[o.ID]
		if on != nil && on.res == nil && on.acts() && d.id.Kind.Role() == RoleInstance {
			d.takeover = append(d.takeover, o)
			continue
		}
		h := &hold{reasons: []Reason{{CodeBlockedBy, fmt.Sprintf("its name %s is borne by %s", d.name, o.ID), d.origin}}}
		h.inherit(on)
		return h
	}
	return nil
}

// needsHeld holds what needs something that will not get as far as needed.
func (v *view) needsHeld(d *decision, all decisions) *hold {
	var h *hold
	for _, n := range d.res.Needs {
		on := all[n.On]
		if on == nil || d.idle && n.Until != UntilExists && !n.Bound {
			continue
		}
		var next *hold
		until := n.Until
		if d.idle { // it is made, and not started
			until = UntilExists
		}
		if !on.reaches(until) {
			next = &hold{reasons: []Reason{{CodeBlockedBy, fmt.Sprintf("it needs %s %s", n.On, n.Until), n.Origin}}}
			next.inherit(on)
		} else if next = v.waitBackedOff(d, n, on); next == nil {
			continue
		}
		if h == nil {
			h = next
			continue
		}
		h.reasons = append(h.reasons, next.reasons...)
		if h.until.IsZero() || !next.until.IsZero() && next.until.Before(h.until) {
			h.until = next.until
		}
		h.policy = h.policy && next.policy
		h.benign = h.benign && next.benign
	}
	return h
}

// inherit makes a hold as grave as the one it follows from: what somebody
// wished kept is not a fault of what waits for it, and neither is a policy.
func (h *hold) inherit(on *decision) {
	if on == nil {
		return
	}
	if len(on.halted) > 0 { // its note follows once it is stopped
		h.benign = on.stops()
		return
	}
	from := on.held()
	if from == nil {
		return
	}
	h.policy = from.policy
	h.benign = from.benign && slices.ContainsFunc(from.reasons, func(r Reason) bool { return r.Code == CodeKept || r.Code == CodeWish })
}

// reaches reports whether d will get as far as until, if its steps succeed.
func (d *decision) reaches(until Until) bool {
	if d.hold != nil && !d.hold.benign {
		return false
	}
	if d.todo != nil && until == UntilFinished {
		return d.succeeded() || d.current != nil || d.todo.launch != nil
	}
	there := d.current != nil || d.hold == nil && d.create != ""
	switch {
	case until == UntilExists || !d.runs():
		return there
	case d.stops():
		return false
	case until == UntilFinished:
		return d.succeeded() || d.held() == nil
	}
	return d.hold == nil && d.starts() || d.current != nil && d.current.State == StateRunning && len(d.halted) == 0
}

// runs reports whether the resource is a process, so that being ready is more
// than being there.
func (d *decision) runs() bool {
	return d.res != nil && d.res.Want != WantExists && d.res.Want != WantPrepared
}

// succeeded reports whether the current object ran to its end without a fault
// and is left so.
func (d *decision) succeeded() bool {
	if d.todo != nil {
		return d.todo.completed
	}
	return d.current != nil && !d.starts() && d.current.State == StateExited && d.current.ExitCode == 0
}
