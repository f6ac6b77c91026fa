// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"
)

// graph collects the steps of a plan.
type graph struct {
	v     *view
	all   decisions
	steps map[string]*Step
	freed map[string][]string // host port → stops of removed objects that publish it
}

// buildSteps turns what was decided into steps, in order. What cannot be
// ordered, which the rules of this package exclude, is left out and returned.
func (v *view) buildSteps(all decisions) (steps, unordered []Step) {
	g := &graph{v: v, all: all, steps: map[string]*Step{}, freed: map[string][]string{}}
	for _, id := range v.ids {
		if d := all[id]; d != nil && d.res == nil {
			g.remove(d)
		}
	}
	for _, id := range v.order {
		if d := all[id]; d != nil && d.res != nil && d.hold == nil {
			g.converge(d)
		}
	}
	g.orderImages()
	g.orderRemovals()
	after := map[string][]string{}
	for id, s := range g.steps {
		slices.Sort(s.After)
		s.After = slices.Compact(s.After)
		after[id] = s.After
	}
	order, rest := sortGraph(slices.Collect(maps.Keys(g.steps)), after)
	for _, id := range order {
		steps = append(steps, *g.steps[id])
	}
	for _, id := range rest {
		unordered = append(unordered, *g.steps[id])
	}
	return steps, unordered
}

// add puts s into the graph, under an ID made of its op, target, object and
// what, and returns that ID. Empty strings in after are ignored.
func (g *graph) add(s Step, what string, after ...string) string {
	s.ID = stepID(s.Op, s.Target, s.Object, what)
	if g.steps[s.ID] == nil {
		g.steps[s.ID] = &s
	}
	g.after(s.ID, after...)
	return s.ID
}

func stepID(op Op, target ID, object, what string) string {
	id := string(op) + ":" + target.String()
	if object != "" {
		id += "@" + object
	}
	if what != "" {
		id += "#" + what
	}
	return id
}

func (g *graph) after(id string, after ...string) {
	for _, a := range after {
		if a != "" && a != id {
			g.steps[id].After = append(g.steps[id].After, a)
		}
	}
}

// converge adds the steps of one desired resource. Nothing is stopped before
// its replacement is created, and before what that needs to start is there.
func (g *graph) converge(d *decision) {
	if d.todo != nil {
		g.runs(d)
		return
	}
	if d.revision != nil {
		g.revisions(d)
		return
	}
	handle := ""
	if d.create == "" && d.current != nil {
		handle = d.current.Handle
	}
	reason := d.reason()
	step := func(op Op) Step { return Step{Op: op, Target: d.id, Object: handle, Reason: reason} }

	// ready holds what the next step comes after; waits is empty once it is
	// covered by ready.
	var ready, waits []string
	if d.host != nil && !d.host.hook.InCopy {
		ready = []string{g.host(d)}
	}
	if d.needsPrepared() {
		s := step(OpPrepare)
		if d.create != "" {
			s.Digest, s.Bound = d.digest, d.bound
		}
		d.made.prepare = g.add(s, "", ready...)
		ready = []string{d.made.prepare}
	}
	if d.host != nil && d.host.hook.InCopy {
		ready = []string{g.host(d, ready...)}
	}
	if d.create != "" {
		ready = []string{g.create(d, step(OpCreate), ready)}
	}
	if d.starts() {
		waits = g.needs(d)
	}
	for _, o := range d.halted {
		s := Step{Op: OpStop, Target: d.id, Object: o.Handle, Reason: reason}
		if d.idle {
			s.Reason = Reason{CodeWish, stopAsked, d.origin}
		}
		ready = append(ready, g.add(s, ""))
	}
	if len(d.doomed) > 0 && !d.deleteOld && d.id.Kind.Role() != RoleImage {
		ready, waits = g.doom(d, slices.Concat(ready, waits)), nil
	}
	if d.activate {
		s := step(OpActivate)
		s.Name = d.name
		ready = []string{g.add(s, "", slices.Concat(ready, g.takeover(d))...)}
	}
	for _, rec := range d.records {
		s := step(OpRecord)
		s.Record, s.Reason = &rec, d.recordReason(rec.Kind)
		ready, waits = []string{g.add(s, recordWhat(rec), slices.Concat(ready, waits)...)}, nil
	}
	// The restart after hooks is the restart that is due anyway, but what is paused
	// or fails its probe is restarted first: nothing can be run in it.
	if d.restart && (len(d.execs) == 0 || d.current.State != StateRunning || g.v.unhealthy(d)) {
		ready, waits = []string{g.add(step(OpStop), "", slices.Concat(ready, waits, g.portsFreed(d))...)}, nil
		ready = []string{g.add(step(OpStart), "", ready...)}
	}
	if d.start {
		ready, waits = []string{g.add(step(OpStart), "", slices.Concat(ready, waits, g.portsFreed(d))...)}, nil
	}
	if len(d.execs) > 0 {
		ready = g.execs(d, step, slices.Concat(ready, waits, g.portsFreed(d)))
	}
	if len(ready) > 0 {
		d.made.last = ready[len(ready)-1]
	}
	if _, needed := g.v.needed[d.id]; d.starts() && (needed || d.res.Want == WantRunning && d.res.Spec.gated()) {
		g.wait(d, Need{On: d.id, Until: UntilReady}, d.id)
	}
}

// host adds the run of a hook on the host.
func (g *graph) host(d *decision, after ...string) string {
	h := d.host.hook
	h.Digest = d.res.runDigest(h)
	d.made.host = g.add(Step{Op: OpHost, Target: d.id, Hook: &h, Reason: d.host.reason}, string(h.Name), after...)
	return d.made.host
}

// execs adds the runs of hooks in what runs now, each with its record, and one
// restart after them. It returns what comes last.
func (g *graph) execs(d *decision, step func(Op) Step, ready []string) []string {
	for _, x := range d.execs {
		s := step(OpExec)
		s.Hook, s.Reason = &x.hook, x.reason
		ready = []string{g.add(s, string(x.hook.Name), ready...)}
		rec := ranRecord(d.id, x.hook)
		s = step(OpRecord)
		s.Record, s.Reason = &rec, x.reason
		ready = []string{g.add(s, recordWhat(rec), ready...)}
	}
	for _, op := range []Op{OpStop, OpStart} {
		s := step(op)
		s.Reason = Reason{CodeHook, "a restart follows its hooks", d.origin}
		ready = []string{g.add(s, "restart", ready...)}
	}
	return ready
}

// recordWhat tells the record steps of one resource apart.
func recordWhat(r Record) string {
	if r.Key == "" {
		return string(r.Kind)
	}
	return string(r.Kind) + "-" + r.Key
}

// needsPrepared reports whether something is started that may lack its image
// or folders. What is only to be unpaused has both.
func (d *decision) needsPrepared() bool {
	switch {
	case d.id.Kind.Role() != RoleInstance:
		return false
	case d.create != "", d.restart, len(d.execs) > 0, d.host != nil && d.host.hook.InCopy:
		return true
	}
	return d.start && (d.current.State != StatePaused || len(d.doomed) > 0)
}

// recordReason is the reason of a record, which may be all that is done.
func (d *decision) recordReason(kind RecordKind) Reason {
	switch {
	case kind == RecordBrake:
		return Reason{CodeUnfinished, "it is desired again", d.origin}
	case kind == RecordHook:
		return Reason{CodeUnfinished, "what its update hook is compared with is not recorded yet", d.origin}
	case kind == RecordApprover:
		return Reason{CodeUnfinished, "that it can write the lock file is not recorded yet", d.origin}
	case kind == RecordSlot:
		return Reason{CodeUnfinished, "which of its slots have been is not recorded yet", d.origin}
	case kind == RecordRun:
		return Reason{CodeQueued, "it waits for room", d.origin}
	case kind == RecordSlot:
		return Reason{CodeSlot, "its slots are remembered", d.origin}
	case kind == RecordRestarts && len(d.reasons) == 0:
		return Reason{CodeFinished, "that it is finished is not recorded yet", d.origin}
	case len(d.reasons) == 0:
		return Reason{CodeUnfinished, "the ports it was given are not recorded yet", d.origin}
	}
	return d.reasons[0]
}

// create adds the creation of d, after what must exist for it.
func (g *graph) create(d *decision, s Step, after []string) string {
	s.Name, s.Digest, s.Bound, s.Ports = d.create, d.digest, d.bound, g.v.ports(d)
	for _, n := range d.res.Needs {
		if on := g.all[n.On]; on != nil && (n.Until == UntilExists || n.Bound) {
			after = append(after, on.made.create)
		}
	}
	if d.deleteOld {
		after = append(after, g.doom(d, nil)...)
	}
	d.made.create = g.add(s, "", after...)
	return d.made.create
}

// doom adds stop and delete for what d no longer wants, and returns the deletes.
func (g *graph) doom(d *decision, after []string) []string {
	var gone []string
	for _, o := range d.doomed {
		s := Step{Target: d.id, Object: o.Handle, Reason: d.reason()}
		first := after
		if o.State == StateRunning || o.State == StatePaused {
			s.Op = OpStop
			first = []string{g.add(s, "", after...)}
		}
		s.Op = OpDelete
		gone = append(gone, g.add(s, "", first...))
	}
	return gone
}

// needs returns the steps that must have succeeded before d may start.
func (g *graph) needs(d *decision) []string {
	var ids []string
	for _, n := range d.res.Needs {
		on := g.all[n.On]
		switch {
		case on == nil || on.res == nil:
		case n.Until == UntilExists && d.create != "": // its creation waits already
		case n.Until == UntilExists:
			ids = append(ids, on.made.create)
		case !on.runs():
			ids = append(ids, on.made.last)
		case n.Until == UntilFinished && on.succeeded():
		default:
			ids = append(ids, g.wait(on, n, d.id))
		}
	}
	return ids
}

// wait adds a wait for d that user needs.
func (g *graph) wait(d *decision, n Need, user ID) string {
	s := Step{Op: OpWait, Target: d.id, Until: n.Until, Reason: needReason(user, n)}
	if d.create == "" && d.current != nil {
		s.Object = d.current.Handle
	}
	what := string(n.Until)
	if n.Until == UntilReady {
		what = ""
		if first, needed := g.v.needed[d.id]; needed {
			s.Reason = first
		} else {
			s.Reason = Reason{CodeNeeds, "its readiness probe says when it is ready", d.origin}
		}
	}
	return g.add(s, what, d.made.last)
}

// takeover has removed objects of other IDs go on until the creation of what
// takes their name, and returns their deletes.
func (g *graph) takeover(d *decision) []string {
	var gone []string
	for _, o := range d.takeover {
		first, last := stopOf(o), deleteOf(o)
		if g.steps[first] == nil {
			first = last
		}
		g.after(first, d.made.create)
		gone = append(gone, last)
	}
	return gone
}

// portsFreed returns the stops of removed objects that publish a host port
// which d is about to take.
func (g *graph) portsFreed(d *decision) []string {
	var ids []string
	for _, p := range g.v.ports(d) {
		ids = append(ids, g.freed[hostKey(p)]...)
	}
	return ids
}

func hostKey(p Port) string { return fmt.Sprintf("%d/%s", p.HostPort, p.Protocol) }
