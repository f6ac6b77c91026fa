// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// assumedHandle is the handle of objects that exist by assumption only.
const assumedHandle = "assumed"

// Assume returns the host on which d has converged with the facts: one healthy
// object for each resource, also for those that are blocked. With it [New]
// compares two desired states, without a runtime:
//
//	plan.New(d, plan.Assume(old, facts), plan.Options{})
//
// The facts are those that New gets as well, so that none of them is a change by
// itself; what has none is unknown. What is not known of d is not known of the
// host either. Labels are as New writes them, ports those that the specs fix, and
// Specs holds the spec of every object.
func Assume(d Desired, facts map[Input]Fact) Observed {
	d.Destroy, d.Empty, d.NoFile = false, false, false
	v := newView(d, Observed{Inputs: facts}, Options{})
	o := Observed{Inputs: facts, Incomplete: v.partial, Specs: map[string]json.RawMessage{}, HostHooks: map[ID]HostHook{}}
	made := decisions{}
	for _, id := range v.order {
		r := v.desired[id]
		obj := Object{
			ID: id, Handle: assumedHandle, Name: r.Name, Workspace: d.Workspace, Root: d.Root,
			Role: id.Kind.Role(), Digest: v.digests[id], Inputs: v.bind(r, made),
			Revision: d.Revision, Keep: r.Keep, State: assumedState(r), Ports: fixedPorts(r.Spec),
		}
		made[id] = &decision{id: id, current: &obj}
		o.Specs[obj.Digest] = r.Spec.canonicalJSON()
		o.assumeHooks(r)
		if r.Run != nil {
			o.assumeRun(r, obj)
			continue
		}
		if r.Dispatch != nil {
			o.assumeRevision(r, obj)
			continue
		}
		o.Objects = append(o.Objects, obj)
	}
	slices.SortFunc(o.Objects, compareObjects)
	return o
}

// assumeRun has r run to its end, and its container gone. The slots of a CronTask
// are as they should be at any time.
func (o *Observed) assumeRun(r *Resource, as Object) {
	key := r.Run.Key
	if c := r.Run.Cron; c != nil {
		key = assumedHandle
		data := map[string]string{slotLast: assumedHandle, slotSchedule: c.scheduleText()}
		o.Records.Records = append(o.Records.Records, Record{ID: r.ID, Kind: RecordSlot, Data: data})
	}
	s := RunState{
		Key: key, Name: r.RunName(key), Order: 1, Group: r.Run.Group, Phase: RunCompleted,
		Digest: as.Digest, Inputs: as.Inputs, Kept: true,
	}
	o.Records.Records = append(o.Records.Records, s.Record(r.ID, time.Time{}))
}

// assumeRevision has r take requests by one revision, whatever its number.
func (o *Observed) assumeRevision(r *Resource, as Object) {
	rev := Revision{ID: r.ID, Number: 1, Digest: as.Digest, Inputs: as.Inputs, Spec: r.Spec}
	o.Records.Records = append(o.Records.Records, rev.Record(), Record{ID: r.ID, Kind: RecordDispatch, Data: r.Dispatch.Data()})
}

// assumeHooks has every hook of r run, so that only another one is due.
func (o *Observed) assumeHooks(r *Resource) {
	for _, h := range r.Hooks {
		if h.Host() {
			o.HostHooks[r.ID] = HostHook{Digest: r.runDigest(h), State: HookDone}
			continue
		}
		rec := ranRecord(r.ID, h)
		rec.Data[hookContainer] = assumedHandle
		o.Records.Records = append(o.Records.Records, rec)
	}
}

// assumedState is the state in which a resource is left alone.
func assumedState(r *Resource) State {
	if r.ID.Kind.Role() != RoleInstance {
		return StateExists
	}
	switch cmp.Or(r.Want, WantRunning) {
	case WantPrepared:
		return StateCreated
	case WantStopped, WantOnce:
		return StateExited
	}
	return StateRunning
}

// fixedPorts are the published ports that a runtime has no choice about.
func fixedPorts(s Spec) []Port {
	return slices.DeleteFunc(slices.Clone(s.ports()), func(p Port) bool { return p.HostPort == 0 })
}
