// SPDX-License-Identifier: Apache-2.0

package plan

// assumed reports whether the revision exists by assumption only, see [Assume].
func (r Revision) assumed() bool { return r.Ready.IsZero() }

// vetoRevision returns why nothing new of d can get ready now, or nil. While
// records may be missing no revision gets a number: another may have it.
func (v *view) vetoRevision(d *decision, all decisions) *hold {
	p := d.revision
	if p.record == nil && p.prepare == nil && p.settings == nil {
		return nil
	}
	fault := func(code Code, text string) *hold {
		return &hold{reasons: []Reason{{code, text, d.origin}}}
	}
	if _, active := v.settingsOf(d.id); v.anyLost && !active {
		h := fault(CodeRecordsLost, "it may have revisions already: records were lost")
		h.policy = true
		return h
	}
	if len(v.unseen) > 0 && p.record != nil {
		return fault(CodeUnknown, "it may have revisions already: "+v.unseen[0].Text)
	}
	if p.record != nil {
		if h := v.missingInputs(d); h != nil {
			return h
		}
	}
	if h := v.needsHeld(d, all); h != nil {
		return h
	}
	return v.backedOff(d.id, d.digest, d.origin)
}

// withholdRevision takes back what has to be prepared, and says why. How an agent
// that takes requests is given work changes all the same, unless that is what
// failed.
func (v *view) withholdRevision(d *decision, h *hold) {
	p := d.revision
	if p.settings == nil || p.waits || p.prepare == nil || len(v.unseen) > 0 {
		d.hold = h
		return
	}
	*d = decision{
		id: d.id, name: d.name, origin: d.origin, res: d.res, digest: d.digest, note: h,
		actions: []Action{ActionUpdate}, reasons: []Reason{p.why}, revision: &revisionPlan{settings: p.settings, why: p.why},
	}
}
