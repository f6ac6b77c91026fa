// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// New compares what should be with what is and says what to do. The same
// input, in whatever order, gives the same plan.
//
// The plan is safe to interrupt: after any prefix of its steps, and after any
// set of steps that failed with what depends on them, a plan made anew leads
// to the same end.
func New(d Desired, o Observed, opts Options) Plan {
	v := newView(d, o, opts)
	p := Plan{
		Workspace:  d.Workspace,
		Revision:   d.Revision,
		Incomplete: slices.Concat(v.partial, v.unseen),
	}
	if p.Refused = v.otherRoots(); len(p.Refused) > 0 {
		return p
	}
	all, braked := v.decide()
	p.Refused = slices.Concat(v.refusals(), braked)
	steps, unordered := v.buildSteps(all)
	p.Steps = steps
	for _, id := range v.ids {
		if d := all[id]; d != nil {
			p.report(v, d)
		}
	}
	for _, s := range unordered {
		p.Held = append(p.Held, Change{ID: s.Target, Reasons: []Reason{{
			CodeInvalid, fmt.Sprintf("step %s waits for itself", s.ID), s.Reason.Origin,
		}}})
	}
	p.Wake = v.wakeForWish(p.Wake)
	p.Complete = len(p.Incomplete) == 0 && len(p.Refused) == 0 &&
		!slices.ContainsFunc(p.Held, func(c Change) bool { return !c.Benign })
	return p
}

// report enters a decision under the headings it belongs to.
func (p *Plan) report(v *view, d *decision) {
	base := Change{ID: d.id, Name: d.name}
	if len(d.drift) > 0 {
		c := base
		c.Actions, c.Reasons = d.actions, d.drift
		p.Drift = append(p.Drift, c)
	}
	p.Authority = append(p.Authority, d.grants...)
	if d.acts() {
		c := base
		c.Actions, c.Reasons, c.ReplacePaths, c.Hook = d.actions, d.reasons, d.paths, v.hookChange(d)
		c.Before, c.After = v.specs(d)
		p.Changes = append(p.Changes, c)
	}
	if h := d.held(); h != nil {
		p.wakeAt(h.until)
		c := base
		c.Actions, c.Reasons, c.Policy, c.Benign = d.actions, h.reasons, h.policy, h.benign
		if d.hold != nil {
			c.Hook = v.hookChange(d)
		}
		p.Held = append(p.Held, c)
	}
	p.wakeAt(d.wake)
	if d.res != nil && !d.acts() && (d.held() == nil || d.held().benign) {
		p.Unchanged++
	}
}

// wakeAt has somebody look again at a time; zero is none.
func (p *Plan) wakeAt(at time.Time) {
	if !at.IsZero() && (p.Wake.IsZero() || at.Before(p.Wake)) {
		p.Wake = at
	}
}

// specs returns what a change starts from and leads to, as far as known.
func (v *view) specs(d *decision) (before, after json.RawMessage) {
	switch {
	case d.old != nil:
		before = v.spec(*d.old)
	case d.res == nil && len(d.doomed) > 0:
		before = v.spec(d.doomed[0])
	}
	if d.create != "" || d.todo != nil && d.todo.launch != nil {
		after = d.res.Spec.canonicalJSON()
	}
	return before, after
}

func (v *view) spec(o Object) json.RawMessage {
	raw := v.observed.Specs[o.Digest]
	if !json.Valid(raw) {
		return nil
	}
	return raw
}
