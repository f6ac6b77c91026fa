// SPDX-License-Identifier: Apache-2.0

package plan

// remove adds the steps of what nothing asks for. What is held is only
// recorded.
func (g *graph) remove(d *decision) {
	if d.hold != nil {
		for _, rec := range d.records {
			g.add(Step{Op: OpRecord, Target: d.id, Record: &rec, Reason: d.hold.reasons[0]}, string(rec.Kind))
		}
		return
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

// orderRemovals has what is removed go after what used it. Where needs are
// known, in a destroy, they say so; otherwise a network, volume or secret goes
// last, since no object says what it used.
func (g *graph) orderRemovals() {
	var instances []string
	for _, id := range g.v.ids {
		d := g.all[id]
		if d == nil || d.hold != nil || id.Kind.Role() == RoleSupport {
			continue
		}
		if r := g.v.desired[id]; r != nil && d.res == nil {
			g.orderByNeeds(d, r)
			continue
		}
		for _, o := range d.doomed {
			instances = append(instances, deleteOf(o))
		}
	}
	for _, id := range g.v.ids {
		d := g.all[id]
		if d == nil || d.hold != nil || id.Kind.Role() == RoleInstance || d.deleteOld {
			continue
		}
		for _, o := range d.doomed {
			g.after(deleteOf(o), instances...)
		}
	}
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

func stopOf(o Object) string { return "stop:" + o.ID.String() + "@" + o.Handle }

func deleteOf(o Object) string { return "delete:" + o.ID.String() + "@" + o.Handle }
