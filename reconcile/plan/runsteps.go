// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
)

// runs adds the steps of the runs of one ID, and returns the last ones.
func (g *graph) runs(d *decision) {
	slices.SortStableFunc(d.todo.works, func(a, b *runWork) int { return cmp.Compare(a.key, b.key) })
	var last []string
	ends := map[string]string{}
	for _, w := range d.todo.works {
		end := g.runWork(d, w)
		last = append(last, end)
		ends[w.key] = end
	}
	if l := d.todo.launch; l != nil {
		for _, r := range l.replaces {
			l.after = append(l.after, ends[r.key])
		}
		d.made.last = g.launch(d, l)
		last = append(last, d.made.last)
	} else {
		for _, rec := range d.records {
			last = append(last, g.recordRun(d, rec, nil, d.recordReason(rec.Kind)))
		}
	}
	for _, rec := range d.todo.forgets {
		g.recordRun(d, rec, nil, Reason{CodeEnded, "it is done with", d.origin}, last...)
	}
}

// runWork adds what happens to one run, each step after the one before, and
// returns the last.
func (g *graph) runWork(d *decision, w *runWork) string {
	var last string
	handle, what := "", w.key
	if w.object != nil {
		handle, what = w.object.Handle, ""
	}
	step := func(op Op, after ...string) {
		last = g.add(Step{Op: op, Target: d.id, Object: handle, Run: w.key, Reason: w.reason}, what, append(after, last)...)
	}
	if w.start {
		if w.object.State != StatePaused {
			step(OpPrepare)
		}
		step(OpStart, g.needs(d)...)
		g.steps[last].RunName = d.res.RunName(w.key)
	}
	if w.end != nil {
		last = g.recordRun(d, *w.end, w.object, w.reason, last)
	}
	if w.stop {
		step(OpStop)
	}
	if w.remove {
		step(OpDelete)
	}
	if w.removed != nil {
		last = g.recordRun(d, *w.removed, w.object, w.reason, last)
	}
	return last
}

// launch adds the start of a run: create, record, start.
func (g *graph) launch(d *decision, l *launch) string {
	handle, what := "", l.key
	if l.object != nil {
		handle, what = l.object.Handle, ""
	}
	var ready []string
	step := func(op Op, after ...string) {
		s := Step{Op: op, Target: d.id, Object: handle, Run: l.key, RunName: l.runName, Reason: l.due.reason}
		if l.object == nil && (op == OpPrepare || op == OpCreate) {
			s.Digest, s.Bound = d.digest, d.bound
		}
		if op == OpCreate {
			s.Name, s.Ports = d.create, g.v.ports(d)
		}
		ready = []string{g.add(s, what, append(after, ready...)...)}
	}
	step(OpPrepare)
	d.made.prepare = ready[0]
	if l.object == nil {
		var exist []string
		for _, n := range d.res.Needs {
			if on := g.all[n.On]; on != nil && (n.Until == UntilExists || n.Bound) {
				exist = append(exist, on.made.create)
			}
		}
		step(OpCreate, exist...)
		d.made.create = ready[0]
	}
	before := slices.Concat(l.after, g.needs(d))
	records := slices.Concat(d.records, []Record{l.state.Record(d.id, g.v.opts.Now)}, l.slots)
	for i, rec := range records {
		if i > 0 {
			before = nil
		}
		ready = []string{g.recordRun(d, rec, l.object, l.due.reason, slices.Concat(before, ready)...)}
	}
	step(OpStart)
	return ready[0]
}

// recordRun adds a record that belongs to a run.
func (g *graph) recordRun(d *decision, rec Record, o *Object, reason Reason, after ...string) string {
	s := Step{Op: OpRecord, Target: d.id, Record: &rec, Reason: reason}
	if rec.Kind == RecordRun {
		s.Run = rec.Key
	}
	if o != nil {
		s.Object = o.Handle
	}
	what := recordWhat(rec)
	if rec.Forget {
		what += "-forget"
	}
	if id := stepID(s.Op, s.Target, s.Object, what); g.steps[id] != nil {
		what += "-gone" // its end is recorded before what is left of it is removed
	}
	return g.add(s, what, after...)
}
