// SPDX-License-Identifier: Apache-2.0

package plan

import "maps"

// remove decides about an ID that nothing asks for.
func (v *view) remove(id ID) *decision {
	objs := v.objects[id]
	d := &decision{id: id, name: id.Name, origin: v.origin(id)}
	if len(objs) > 0 {
		d.name = objs[0].Name
	}
	d.action(ActionDelete)
	if v.destroy {
		d.because(CodeDestroy, "everything is to go")
	} else {
		d.because(CodeRemoved, "no longer in the workspace")
	}
	if d.hold = v.spare(d, objs); d.hold == nil {
		d.hold = v.backedOff(id, "", d.origin)
	}
	if d.hold == nil {
		d.doomed = objs
		if len(v.runs[id]) > 0 || id.Kind == Task || id.Kind == CronTask {
			v.removeRuns(d)
		}
		if id.Kind == TaskAgent && v.leftovers[id] {
			v.removeRevisions(d)
		}
	}
	return d
}

// spare returns why objects that nothing asks for stay all the same, or nil.
func (v *view) spare(d *decision, objs []Object) *hold {
	wish := func(text string) *hold {
		return &hold{reasons: []Reason{{CodeKept, text, d.origin}}, benign: true}
	}
	for _, o := range objs {
		switch {
		case v.lost(o):
			return &hold{reasons: []Reason{{CodeRecordsLost, lostText, d.origin}}, policy: true}
		case d.id.Kind == Volume: // data, whether or not it is marked
			if !v.destroy || !v.volumes {
				return wish("a volume goes only by a destroy that asks for it")
			}
		case o.Keep:
			return wish("it is marked to be kept")
		}
	}
	if h := v.busyHold(d.id, d.origin); h != nil {
		return h
	}
	switch {
	case v.destroy:
		return nil
	case v.emptied():
		return &hold{reasons: []Reason{{CodeEmptyWorkspace, "the workspace is empty", d.origin}}, policy: true}
	case v.noFile && d.id.Kind == Manifest:
		return &hold{reasons: []Reason{{CodeEmptyWorkspace, "there is no workspace file", d.origin}}, policy: true}
	case len(v.partial) > 0:
		return &hold{reasons: []Reason{{CodePartial, "not pruned: " + v.partial[0].Text, v.partial[0].Origin}}}
	case len(v.unseen) > 0:
		return &hold{reasons: []Reason{{CodeUnknown, "not pruned: " + v.unseen[0].Text, d.origin}}}
	}
	return nil
}

// keepUsed holds the removal of networks, volumes and secrets while something
// that may use them stays.
func (v *view) keepUsed(all decisions) {
	stays, h := v.staying(all)
	for _, d := range all {
		if !d.acts() || d.id.Kind.Role() != RoleSupport {
			continue
		}
		user, held := stays, h
		if user == "" {
			user, held = v.usedInSession(d), hold{benign: true}
		}
		if user != "" {
			held.reasons = []Reason{{CodeBlockedBy, user + " stays and may use it", d.origin}}
			d.hold = &held
		}
	}
}

// staying names an instance that stays though nothing asks for it, or that a step is
// under way for; "" = there is none. What it uses is held as it is.
func (v *view) staying(all decisions) (user string, h hold) {
	for _, id := range sortedIDs(maps.Keys(v.busy)) { // an object of it may be in the making
		if id.Kind.Role() == RoleInstance {
			return id.String(), hold{}
		}
	}
	for _, id := range v.ids {
		if d := all[id]; d != nil && d.hold != nil && id.Kind.Role() == RoleInstance {
			h.inherit(d)
			return id.String(), h
		}
	}
	return "", hold{}
}

const (
	lostText = "it was made with other records"
	busyText = "a step for it is under way"
)
