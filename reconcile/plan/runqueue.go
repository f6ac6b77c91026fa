// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// room is how many runs of one group go on.
type room struct {
	used  int      // those that are stopped in this plan among them
	freed []string // the stops of those
}

// occupies reports whether the run counts for the limit of its group.
func (r run) occupies() bool {
	return r.goesOn() && (r.object == nil || r.object.State != StateExited) || r.halting()
}

// admit decides which of the runs that are due are started, first come first
// served, and has the others wait.
func (v *view) admit(all decisions) {
	rooms := v.rooms(all)
	var waiting []*decision
	for _, id := range v.order {
		if d := all[id]; d != nil && d.todo != nil && d.hold == nil && d.todo.launch != nil {
			waiting = append(waiting, d)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *decision) int {
		return cmp.Or(a.todo.launch.at.Compare(b.todo.launch.at), a.id.Compare(b.id))
	})
	for _, d := range waiting {
		v.admitOne(d, rooms)
	}
}

// rooms counts what goes on. Of what a step is under way for one more run may
// have been started since anybody looked.
func (v *view) rooms(all decisions) map[string]*room {
	rooms := map[string]*room{}
	at := func(group string) *room {
		if rooms[group] == nil {
			rooms[group] = &room{}
		}
		return rooms[group]
	}
	for id, runs := range v.runs {
		d := all[id]
		for _, r := range runs {
			if !r.occupies() {
				continue
			}
			rm := at(r.state.Group)
			rm.used++
			if d != nil && d.hold == nil && d.todo.stops(r) {
				rm.freed = append(rm.freed, stopOf(*r.object))
			}
		}
	}
	for id := range v.busy {
		res := v.desired[id]
		if res == nil || res.Run == nil {
			continue
		}
		on := slices.ContainsFunc(v.runs[id], run.occupies)
		if !on || res.Run.Cron != nil {
			at(res.Run.Group).used++
		}
	}
	return rooms
}

func (v *view) admitOne(d *decision, rooms map[string]*room) {
	l, limit := d.todo.launch, d.res.Run.Max
	rm := rooms[d.res.Run.Group]
	if rm == nil {
		rm = &room{}
		rooms[d.res.Run.Group] = rm
	}
	own := 0
	for _, r := range l.replaces {
		if r.occupies() && r.state.Group == d.res.Run.Group {
			own++
		}
	}
	switch {
	case d.res.Run.Group == "" || limit <= 0:
	case rm.used-own < limit:
		rm.used += 1 - own
	case rm.used-own-len(rm.freed) < limit:
		rm.used += 1 - own
		l.after = slices.Clone(rm.freed)
	default:
		v.wait(d, l, max(limit, rm.used-len(rm.freed)))
		return
	}
	v.launch(d, l)
}

// launch has l started, and stopped what it replaces.
func (v *view) launch(d *decision, l *launch) {
	for _, r := range l.replaces {
		v.stopRun(d, r, FailedReplaced, Reason{CodeSlot, "a later run replaces it", d.origin})
		if r.up() {
			l.after = append(l.after, stopOf(*r.object))
		}
	}
	l.state.Phase, l.state.Started, l.state.Kept = RunRunning, v.opts.Now, true
	d.action(ActionRun)
	d.because(l.due.reason.Code, l.due.reason.Text)
	v.rememberApprover(d)
}

// wait has l wait for room.
func (v *view) wait(d *decision, l *launch, used int) {
	_, agent, _ := strings.Cut(d.res.Run.Group, "/")
	text := fmt.Sprintf("%d of %d runs of %s go on", used, d.res.Run.Max, cmp.Or(agent, d.res.Run.Group))
	if used == 1 && d.res.Run.Max == 1 {
		text = fmt.Sprintf("1 of 1 run of %s goes on", cmp.Or(agent, d.res.Run.Group))
	}
	for _, r := range l.replaces {
		if r.waits() {
			v.stopRun(d, r, FailedReplaced, Reason{CodeSlot, "a later run replaces it", d.origin})
		}
	}
	d.withhold(&hold{reasons: []Reason{{CodeQueued, text, d.origin}}, benign: true})
	v.enqueue(d, l)
}

// enqueue has it recorded that l waits, once.
func (v *view) enqueue(d *decision, l *launch) {
	if l.record != nil {
		return
	}
	s := RunState{
		Key: l.key, Name: d.res.RunName(l.key), Order: cmp.Or(l.state.Order, nextOrder(v.runs[d.id])),
		Group: d.res.Run.Group, Phase: RunQueued,
	}
	d.records = append(d.records, s.Record(d.id, l.at))
	d.records = append(d.records, l.slots...)
}
