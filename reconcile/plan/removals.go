// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// remove adds the steps of what nothing asks for. What is held is only
// recorded.
func (g *graph) remove(d *decision) {
	if d.hold != nil {
		for _, rec := range d.records {
			g.add(Step{Op: OpRecord, Target: d.id, Record: &rec, Reason: d.hold.reasons[0]}, string(rec.Kind))
		}
		return
	}
	if d.todo != nil {
		g.runs(d)
	}
	if d.revision != nil {
		g.revisions(d)
	}
	g.doom(d, nil)
	for _, o := range d.doomed {
		stop := stopOf(o)
		if g.steps[stop] == nil {
			continue
		}
		for _, p := range o.Ports {
			g.freed[hostKey(p)] = append(g.freed[hostKey(p)], stop)
		}
	}
}

// orderRemovals has what is removed go after what used it. In a destroy, needs
// say who that is; for an object that was made from another spec nothing does,
// so networks, volumes and secrets go after all of those.
func (g *graph) orderRemovals() {
	var users []string
	for _, id := range g.v.ids {
		d := g.all[id]
		if d == nil || d.hold != nil || id.Kind.Role() == RoleSupport {
			continue
		}
		r := g.v.desired[id]
		if r != nil && d.res == nil {
			g.orderByNeeds(d, r)
		}
		if id.Kind.Role() == RoleImage {
			continue
		}
		if d.revision != nil && d.revision.remove {
			users = append(users, stepID(OpDelete, id, "", ""))
		}
		for _, o := range d.doomed {
			if r == nil || d.res != nil || o.Digest != g.v.digestAs(r, o.Digest) {
				users = append(users, deleteOf(o))
			}
		}
	}
	for _, id := range g.v.ids {
		d := g.all[id]
		if d == nil || d.hold != nil || id.Kind.Role() != RoleSupport || d.deleteOld {
			continue
		}
		after := append(slices.Clone(users), g.switched(d)...)
		for _, o := range d.doomed {
			g.after(deleteOf(o), after...)
		}
	}
}

// switched are the steps from which on no execution is made with what d removes.
func (g *graph) switched(d *decision) []string {
	var steps []string
	for _, id := range g.v.ids {
		on := g.all[id]
		if rev, serves := g.v.serving(id); serves && on.switches() && on.made.last != "" && d.takesFrom(rev.Spec) {
			steps = append(steps, on.made.last)
		}
	}
	return steps
}

// orderByNeeds has what r needs stop after the objects of r are gone.
func (g *graph) orderByNeeds(d *decision, r *Resource) {
	for _, n := range r.Needs {
		on := g.all[n.On]
		if on == nil || on.hold != nil || g.v.cyclic[n.On] {
			continue
		}
		for _, needed := range on.doomed {
			first := stopOf(needed)
			if g.steps[first] == nil {
				first = deleteOf(needed)
			}
			for _, o := range d.doomed {
				g.after(first, deleteOf(o))
			}
		}
	}
}

func stopOf(o Object) string { return stepID(OpStop, o.ID, o.Handle, "") }

func deleteOf(o Object) string { return stepID(OpDelete, o.ID, o.Handle, "") }
