// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"
)

// The brake trips when more than brakeFloor instances, and more than half of
// all, would go away in one pass.
const brakeFloor = 3

// otherRoots returns one refusal for each other place that the workspace is
// run from. Nothing at all is planned then.
func (v *view) otherRoots() []Reason {
	roots := map[string]bool{}
	for _, objs := range v.objects {
		for _, o := range objs {
			if v.elsewhere(o) && !v.accepted(o.Root) && !v.accepted(o.Owner) && !v.opts.Adopt {
				roots[o.Root] = true
			}
		}
	}
	var rs []Reason
	if len(roots) == 0 && len(v.objects) > 0 && v.accepted(v.root) && !v.opts.Adopt {
		rs = append(rs, Reason{CodeOtherRoot, fmt.Sprintf("workspace %s was taken over from %s, and is run from elsewhere now", v.workspace, v.root), v.source})
	}
	for _, root := range slices.Sorted(maps.Keys(roots)) {
		rs = append(rs, Reason{CodeOtherRoot, fmt.Sprintf("workspace %s is run from %s", v.workspace, root), v.source})
	}
	return rs
}

func (v *view) elsewhere(o Object) bool { return o.Root != "" && o.Root != v.root }

func (v *view) accepted(what string) bool {
	return slices.Contains(v.observed.Records.Accepted, what)
}

// lost reports whether o was made with records that this pass does not have.
// Whether somebody wished it stopped, or how often it failed, is then unknown.
func (v *view) lost(o Object) bool {
	switch {
	case o.Owner == v.observed.Records.Owner, v.accepted(o.Owner), v.opts.AcceptLostRecords:
		return false
	case v.elsewhere(o) && (v.opts.Adopt || !v.accepted(o.Root)):
		return false // taken over with its owner now, or otherRoots has refused
	}
	return true
}

// refusals returns what else stops part of the pass by policy.
func (v *view) refusals() []Reason {
	n, lost, manifests := 0, 0, 0
	for _, objs := range v.objects {
		n += len(objs)
		for _, o := range objs {
			if v.lost(o) {
				lost++
			}
			if o.ID.Kind == Manifest {
				manifests++
			}
		}
	}
	var rs []Reason
	if lost > 0 {
		rs = append(rs, Reason{CodeRecordsLost, fmt.Sprintf(
			"%d of %d objects were made with other records: they were lost, or another state directory is in use", lost, n), v.source})
	}
	if v.emptied() && n > 0 {
		rs = append(rs, Reason{CodeEmptyWorkspace, fmt.Sprintf(
			"%s has neither a workspace file nor an object, while %d objects of workspace %s exist", v.root, n, v.workspace), v.source})
	}
	if v.noFile && !v.emptied() && !v.destroy && manifests > 0 {
		rs = append(rs, Reason{CodeEmptyWorkspace, fmt.Sprintf(
			"%s has no workspace file, while instances exist that only one can ask for (%d)", v.root, manifests), v.source})
	}
	return rs
}

func (v *view) emptied() bool { return v.empty && !v.destroy }

// brake holds every removal when too many instances would go away at once, and
// says so. Once tripped it stays so for as long as one of them is still to go. What
// somebody has disabled by name does not count.
func (v *view) brake(all decisions) []Reason {
	if v.destroy || v.opts.AllowMassDelete {
		return nil
	}
	total, going, before := 0, 0, 0
	for _, id := range v.ids {
		if !v.counted(id) {
			continue
		}
		total++
		if d := all[id]; d != nil && d.acts() && !v.disabled(id) {
			going++
			if v.braked(id) {
				before++
			}
		}
	}
	if before == 0 && (going <= brakeFloor || 2*going <= total) {
		return nil
	}
	r := Reason{CodeMassDelete, fmt.Sprintf("%d of %d instances would go away in one pass", going, total), v.source}
	if before > 0 {
		r.Text = fmt.Sprintf("%d of %d instances would go away, and too many in one pass before", going, total)
	}
	for id, d := range all {
		if !d.acts() || v.disabled(id) {
			continue
		}
		d.hold = &hold{reasons: []Reason{r}, policy: true}
		if v.counted(id) && !v.braked(id) && v.backedOff(id, "", d.origin) == nil {
			d.records = append(d.records, v.brakeRecord(id, "true"))
		}
	}
	return []Reason{r}
}

// counted reports whether the objects of id are an instance that would be missed:
// what has run to its end would not.
func (v *view) counted(id ID) bool {
	if id.Kind.Role() != RoleInstance {
		return false
	}
	return v.dispatched(id) || slices.ContainsFunc(v.objects[id], func(o Object) bool { return o.Run == "" || o.up() })
}

func (v *view) braked(id ID) bool {
	return v.records[recordKey{id, RecordBrake}].Data["held"] == "true"
}

func (v *view) brakeRecord(id ID, held string) Record {
	return Record{ID: id, Kind: RecordBrake, At: v.opts.Now, Data: map[string]string{"held": held}}
}
