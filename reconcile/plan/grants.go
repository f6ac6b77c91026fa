// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// everyPower includes the relative ones in [view.powers].
const everyPower = true

// powers are what r can do beyond what every agent can, sorted, and with those
// that count only beside what it had before.
func (v *view) powers(r *Resource, relative bool) []power {
	c := r.Spec.Container
	if c == nil {
		return nil
	}
	ps := c.absolutePowers(r.Own)
	for _, p := range c.relativePowers() {
		switch {
		case p.kind == GrantNetwork && !v.ownNetwork(p.subject):
		case !relative, r.ID.Kind == Manifest && p.usual():
			continue
		}
		ps = append(ps, p)
	}
	return sortPowers(ps)
}

// usual reports whether p is a relative power that a manifest has no way to be
// without.
func (p power) usual() bool { return p.kind != GrantLimit || p.level == levelUnlimited }

func (v *view) ownNetwork(name string) bool {
	for id, r := range v.desired {
		if id.Kind == Network && r.Name == name {
			return true
		}
	}
	return false
}

// newPowers are what the creation of d lets it do that it could not before.
func (v *view) newPowers(d *decision) []power {
	c := d.res.Spec.Container
	if d.create == "" || c == nil {
		return nil
	}
	before, known := v.specBefore(d)
	if !known {
		return v.unlessPresent(v.powers(d.res, d.old != nil))
	}
	after := sortPowers(append(c.absolutePowers(d.res.Own), c.relativePowers()...))
	had := append(before.absolutePowers(nil), before.relativePowers()...)
	if before.dropsMore(c) {
		had = slices.DeleteFunc(had, func(p power) bool { return p.subject == defaultCapabilities })
	}
	return v.unlessPresent(slices.DeleteFunc(after, func(p power) bool { return includedIn(p, had) }))
}

// specBefore is what the object that d replaces was made from. False: there is
// none, or its spec is not known for certain.
func (v *view) specBefore(d *decision) (*ContainerSpec, bool) {
	if d.old == nil {
		return nil, false
	}
	if d.old.Digest == v.digestAs(d.res, d.old.Digest) {
		return d.res.Spec.Container, true
	}
	var spec Spec
	if json.Unmarshal(v.observed.Specs[d.old.Digest], &spec) != nil || spec.Container == nil {
		return nil, false
	}
	if spec.DigestAs(d.old.Digest) != d.old.Digest {
		return nil, false
	}
	return spec.Container, true
}

// unlessPresent leaves out registries from which a container came that is there.
func (v *view) unlessPresent(ps []power) []power {
	return slices.DeleteFunc(ps, func(p power) bool { return p.kind == GrantRegistry && v.registries[p.subject] })
}

// grants says ps for people and for the lock file.
func (v *view) grants(r *Resource, ps []power) []Grant {
	var gs []Grant
	approved := v.approved(r.ID)
	for _, p := range ps {
		gs = append(gs, Grant{
			ID: r.ID, Kind: p.kind, Text: p.text, Key: p.key(v.approvals.Folder), Approved: includedIn(p, approved),
			Origin: r.place(p),
		})
	}
	return gs
}

// place is what asks for p.
func (r *Resource) place(p power) string {
	return cmp.Or(r.Places[p.path], r.Origin)
}

// approved are the powers that id may have: by the lock file, or by the host's
// own records when an instance could have written that.
func (v *view) approved(id ID) []power {
	keys := v.approvals.Keys[id]
	if v.approvedHere {
		keys = nil
		for key := range v.records[recordKey{id, RecordApprovals}].Data {
			keys = append(keys, key)
		}
	}
	var ps []power
	for _, key := range keys {
		if p, ok := parsePower(key, v.approvals.Folder); ok {
			ps = append(ps, p)
		}
	}
	return ps
}

// indexAuthority finds out where images came from, and whether an instance can
// write the lock file, or could since somebody looked.
func (v *view) indexAuthority() {
	for _, objs := range v.objects {
		for _, o := range objs {
			for in := range o.Inputs {
				if image, ok := strings.CutPrefix(in, string(InputImage)+":"); ok {
					v.registries[registryOf(image)] = true
				}
			}
		}
	}
	for key, r := range v.records {
		v.approvedHere = v.approvedHere || key.kind == RecordApprover && r.Data[approverHeld] == "true"
	}
	for _, r := range v.desired {
		v.approvedHere = v.approvedHere || v.approver(r)
	}
}

func canonicalApprovals(a Approvals) Approvals {
	keys := make(map[ID][]string, len(a.Keys))
	for id, list := range a.Keys {
		keys[id.Canonical()] = append(keys[id.Canonical()], list...)
	}
	a.Keys = keys
	hooks, texts := make(map[ID]string, len(a.Hooks)), make(map[ID][]string, len(a.Texts))
	for id, digest := range a.Hooks {
		hooks[id.Canonical()] = digest
	}
	for id, text := range a.Texts {
		texts[id.Canonical()] = text
	}
	a.Hooks, a.Texts = hooks, texts
	return a
}

// approver reports whether r can write a file that approves.
func (v *view) approver(r *Resource) bool {
	if r.Spec.Container == nil {
		return false
	}
	return slices.ContainsFunc(r.Spec.Container.Mounts, func(m Mount) bool {
		return m.Type == MountDir && !m.ReadOnly && slices.ContainsFunc(v.approvals.Files, func(file string) bool {
			return inPath(file, m.Source)
		})
	})
}

// authorize sets what d would let an agent do, and holds it back when part of
// that has to be approved and is not.
func (v *view) authorize(d *decision) {
	if d.hold != nil {
		return
	}
	d.grants = v.grants(d.res, v.newPowers(d))
	v.authorizeHost(d)
	if v.approvals.Required || v.opts.RequireApproval {
		d.holdUnapproved()
	}
	if d.hold == nil {
		v.rememberApprover(d)
	}
}

// authorizeNew sets what the run or the revision that d makes lets an agent do that
// the one before it could not, and withholds it, alone of all that d does, when part
// of that has to be approved and is not.
func (v *view) authorizeNew(d *decision, withhold func(*decision, *hold)) {
	d.grants = v.grants(d.res, v.newPowers(d))
	if !v.approvals.Required && !v.opts.RequireApproval {
		return
	}
	if d.holdUnapproved(); d.hold == nil {
		return
	}
	h, grants := d.hold, d.grants
	d.hold = nil
	withhold(d, h)
	d.grants = grants
}

func (d *decision) holdUnapproved() {
	h := &hold{policy: true}
	for _, g := range d.grants {
		if !g.Approved && g.Kind != GrantHostHook {
			h.reasons = append(h.reasons, Reason{CodeAuthority, "not approved: it " + g.Text, g.Origin})
		}
	}
	if len(h.reasons) > 0 {
		h.reasons[0].Text += approveText(d.id)
		if d.hold != nil { // for its hook on the host
			h.reasons = slices.Concat(d.hold.reasons, h.reasons)
		}
		d.hold = h
	}
}

// rememberApprover has it recorded that d can write a file that approves, before
// it starts.
func (v *view) rememberApprover(d *decision) {
	known := v.records[recordKey{d.id, RecordApprover}].Data[approverHeld] == "true"
	if !known && v.approver(d.res) {
		d.records = append(d.records, Record{ID: d.id, Kind: RecordApprover, At: v.opts.Now, Data: map[string]string{approverHeld: "true"}})
	}
}
