// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// OfDispatch reports whether the step only tells that a TaskAgent takes requests by
// its records from now on, or takes none any more. No runtime has anything to do for
// it: executions belong to whoever dispatches them.
func (s Step) OfDispatch() bool {
	return s.Target.Kind == TaskAgent && s.Object == "" && (s.Op == OpActivate || s.Op == OpDelete)
}

// revisions adds the steps of a TaskAgent: what a revision takes is had before it
// is recorded, and that is before it takes requests.
func (g *graph) revisions(d *decision) {
	p := d.revision
	step := func(op Op) Step { return Step{Op: op, Target: d.id, Reason: d.reason()} }
	record := func(rec Record, reason Reason, after ...string) string {
		s := step(OpRecord)
		s.Record, s.Reason = &rec, reason
		what := recordWhat(rec)
		if rec.Forget {
			what += "-forget"
		}
		return g.add(s, what, after...)
	}
	var ready, last []string
	if p.prepare != nil {
		s := step(OpPrepare)
		s.Digest, s.Bound = p.prepare.Digest, p.prepare.Inputs
		d.made.prepare = g.add(s, "")
		ready = append(g.exist(d), d.made.prepare)
		last = ready
	}
	if p.record != nil {
		ready = []string{record(*p.record, d.reason(), ready...)}
		last = ready
	}
	if p.settings != nil {
		var after []string
		if p.waits {
			after = ready
		}
		last = append(slices.Clone(last), record(*p.settings, p.why, after...))
	}
	if p.prepare != nil || p.settings != nil {
		last = []string{g.add(step(OpActivate), "", last...)}
		d.made.last = last[0]
	}
	if p.remove {
		last = []string{g.add(step(OpDelete), "")}
	}
	for _, rec := range p.forgets {
		record(rec, Reason{CodeEnded, "it is older than those that are kept, or not there any more", d.origin}, last...)
	}
	for _, rec := range d.records {
		record(rec, d.recordReason(rec.Kind))
	}
	if d.res != nil {
		g.doom(d, last)
	}
}

// exist returns the creations of what must be there for an execution.
func (g *graph) exist(d *decision) []string {
	var ids []string
	for _, n := range d.res.Needs {
		if on := g.all[n.On]; on != nil && on.res != nil {
			ids = append(ids, on.made.create)
		}
	}
	return ids
}
