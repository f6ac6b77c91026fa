// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// runWorld is a small runtime and record store for runs, in which time passes. It
// carries out steps, and reports as an error whatever no plan may ever ask for.
type runWorld struct {
	now     time.Time
	desired plan.Desired
	objects []plan.Object
	foreign []plan.Object
	facts   map[plan.Input]plan.Fact
	specs   map[string]json.RawMessage
	records []plan.Record
	backoff []plan.Backoff
	busy    []plan.ID

	incomplete bool
	handles    int
	starts     map[string]int // by ID and key, how often a process was begun
}

// limits are how many runs of each group may go on.
var limits = map[string]int{"agent/x": 1, "agent/y": 2}

func (w *runWorld) clone() *runWorld {
	c := *w
	c.objects, c.records = slices.Clone(w.objects), slices.Clone(w.records)
	c.specs, c.starts, c.facts = maps.Clone(w.specs), maps.Clone(w.starts), maps.Clone(w.facts)
	c.desired.Resources = slices.Clone(w.desired.Resources)
	return &c
}

func (w *runWorld) observe() plan.Observed {
	o := plan.Observed{
		Objects: slices.Clone(w.objects), Foreign: slices.Clone(w.foreign), Inputs: maps.Clone(w.facts), Specs: maps.Clone(w.specs),
		Records: plan.Records{Owner: testOwner, Records: slices.Clone(w.records)},
		Backoff: slices.Clone(w.backoff), Busy: slices.Clone(w.busy),
	}
	if w.incomplete {
		o.Objects = slices.DeleteFunc(o.Objects, func(o plan.Object) bool { return len(o.Handle)%2 == int(o.Handle[len(o.Handle)-1])%2 })
		o.Incomplete = []plan.Reason{{Code: plan.CodeUnknown, Text: "containers: timeout", Origin: "-"}}
	}
	return o
}

func (w *runWorld) plan() plan.Plan {
	return plan.New(w.desired, w.observe(), plan.Options{Now: w.now, AllowMassDelete: true})
}

func (w *runWorld) resource(id plan.ID) *plan.Resource {
	for i := range w.desired.Resources {
		if w.desired.Resources[i].ID == id {
			return &w.desired.Resources[i]
		}
	}
	return nil
}

func (w *runWorld) object(id plan.ID, handle string) *plan.Object {
	for i := range w.objects {
		if w.objects[i].ID == id && w.objects[i].Handle == handle {
			return &w.objects[i]
		}
	}
	return nil
}

func (w *runWorld) recorded(id plan.ID, kind plan.RecordKind, key string) (plan.Record, bool) {
	i := slices.IndexFunc(w.records, func(r plan.Record) bool { return r.ID == id && r.Kind == kind && r.Key == key })
	if i < 0 {
		return plan.Record{}, false
	}
	return w.records[i], true
}

func (w *runWorld) put(r plan.Record) {
	w.records = slices.DeleteFunc(w.records, func(o plan.Record) bool { return o.ID == r.ID && o.Kind == r.Kind && o.Key == r.Key })
	if !r.Forget {
		w.records = append(w.records, r)
	}
}

func isUp(o plan.Object) bool { return o.State == plan.StateRunning || o.State == plan.StatePaused }

// walk says how a plan is carried out.
type runWalk struct {
	limit   int    // steps until the pass is cut short; -1 = it is not
	fail    string // the step that fails
	effects bool   // it fails after it has had its effect
}

// apply carries out p in a random order that respects After.
func (w *runWorld) apply(p plan.Plan, rnd *rand.Rand, how runWalk) error {
	made, done, skipped := map[string]string{}, map[string]bool{}, map[string]bool{}
	left := slices.Clone(p.Steps)
	for n := 0; n != how.limit; n++ {
		var ready []int
		for i, s := range left {
			if slices.ContainsFunc(s.After, func(a string) bool { return skipped[a] }) {
				skipped[s.ID] = true
			}
			if !skipped[s.ID] && !slices.ContainsFunc(s.After, func(a string) bool { return !done[a] }) {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			break
		}
		i := ready[rnd.IntN(len(ready))]
		s := left[i]
		left = slices.Delete(left, i, i+1)
		if s.ID == how.fail {
			skipped[s.ID] = true
			if !how.effects {
				continue
			}
		}
		if err := w.do(s, made); err != nil {
			return fmt.Errorf("%s: %w", s.ID, err)
		}
		done[s.ID] = !skipped[s.ID]
	}
	return nil
}

func (w *runWorld) do(s plan.Step, made map[string]string) error {
	of := s.Target.String() + " " + s.Run
	if s.Op == plan.OpRecord {
		return w.record(s, made)
	}
	for _, b := range w.backoff {
		r := w.resource(s.Target)
		same := r == nil && b.Digest == "" || r != nil && b.Digest == r.Spec.Digest()
		if b.ID == s.Target && !b.Image && b.Until.After(w.now) && same {
			return fmt.Errorf("done though it failed a moment ago")
		}
	}
	if slices.Contains(w.busy, s.Target) {
		return fmt.Errorf("another step for it is under way")
	}
	handle := s.Object
	switch s.Op {
	case plan.OpPrepare:
		made["prepared "+of] = "yes"
		return nil
	case plan.OpCreate:
		if made["prepared "+of] == "" && s.Target.Kind.Role() == plan.RoleInstance {
			return fmt.Errorf("created before it was prepared")
		}
		return w.create(s, made)
	case plan.OpDelete:
		if handle == "" {
			return w.clear(s)
		}
	default:
		if handle == "" {
			handle = made[of]
		}
	}
	o := w.object(s.Target, handle)
	if o == nil {
		return fmt.Errorf("no object %q", handle)
	}
	if o.Keep && s.Op != plan.OpStart && s.Op != plan.OpPrepare {
		return fmt.Errorf("%s is to be kept", handle)
	}
	switch s.Op {
	case plan.OpStart:
		return w.start(o, s)
	case plan.OpStop:
		if err := w.mayStop(*o); err != nil {
			return err
		}
		o.State, o.ExitCode, o.Finished = plan.StateExited, 143, w.now
		return nil
	case plan.OpDelete:
		return w.remove(*o)
	}
	return fmt.Errorf("unknown op %s", s.Op)
}

func (w *runWorld) create(s plan.Step, made map[string]string) error {
	r := w.resource(s.Target)
	name := func(o plan.Object) bool { return o.Name == s.Name && o.ID.Kind.Role() == s.Target.Kind.Role() }
	switch {
	case r == nil || len(r.Blocked) > 0:
		return fmt.Errorf("created though nothing asks for it, or it is blocked")
	case w.incomplete:
		return fmt.Errorf("created though it may exist already")
	case slices.ContainsFunc(w.objects, name) || slices.ContainsFunc(w.foreign, name):
		return fmt.Errorf("name %s is taken", s.Name)
	case r.Run != nil && w.begun(s.Target, s.Run):
		return fmt.Errorf("created a second time")
	case s.Digest != r.Spec.Digest() && r.Run != nil:
		return fmt.Errorf("created with digest %s", s.Digest)
	}
	for _, in := range r.Spec.Inputs() {
		if f := w.facts[in]; f.State == plan.FactMissing || s.Bound[in.String()] != f.Value {
			return fmt.Errorf("bound to %q as %s, which is %s", s.Bound[in.String()], in, f.State)
		}
	}
	if r.Run != nil && !slices.ContainsFunc(w.objects, func(o plan.Object) bool { return o.ID.Kind == plan.Network }) {
		return fmt.Errorf("created before its network exists")
	}
	w.handles++
	o := plan.Object{
		ID: s.Target, Handle: fmt.Sprintf("h%d", w.handles), Name: s.Name, Workspace: "acme", Root: testRoot, Owner: testOwner,
		Role: s.Target.Kind.Role(), Run: s.Run, Digest: s.Digest, Inputs: s.Bound, State: plan.StateExists, Created: w.now,
	}
	if o.Role == plan.RoleInstance {
		o.State = plan.StateCreated
	}
	made[s.Target.String()+" "+s.Run] = o.Handle
	w.objects = append(w.objects, o)
	w.specs[o.Digest], _ = json.Marshal(r.Spec)
	return nil
}

// begun reports whether a run is recorded as started or over.
func (w *runWorld) begun(id plan.ID, key string) bool {
	rec, ok := w.recorded(id, plan.RecordRun, key)
	return ok && rec.RunState().Phase != plan.RunQueued
}

func (w *runWorld) record(s plan.Step, made map[string]string) error {
	rec := *s.Record
	before, known := w.recorded(rec.ID, rec.Kind, rec.Key)
	switch {
	case rec.ID != s.Target:
		return fmt.Errorf("record of %s", rec.ID)
	case slices.Contains(w.busy, s.Target):
		return fmt.Errorf("recorded while another step for it is under way")
	case rec.Kind != plan.RecordRun || rec.Forget:
		w.put(rec)
		return nil
	}
	was, is := before.RunState(), rec.RunState()
	if known && was.Ended() && (is.Phase != was.Phase || is.Reason != was.Reason) {
		return fmt.Errorf("it has %s, and is recorded as %s", was.Phase, is.Phase)
	}
	if is.Container == "" && (is.Phase == plan.RunRunning) {
		rec.Data = maps.Clone(rec.Data)
		rec.Data["container"] = made[s.Target.String()+" "+rec.Key]
		if rec.Data["container"] == "" {
			return fmt.Errorf("recorded as running, in no container")
		}
	}
	if is.Phase == plan.RunRunning && was.Phase != plan.RunRunning {
		o, r := w.object(rec.ID, rec.Data["container"]), w.resource(rec.ID)
		if o != nil && r != nil && o.Started.IsZero() && o.Digest != r.Spec.Digest() {
			return fmt.Errorf("it is run as it was to be before")
		}
	}
	if is.Ended() && !is.Halted() { // that it is stopped is recorded before it is
		if o := w.object(rec.ID, is.Container); o != nil && isUp(*o) && o.Outcome == nil {
			return fmt.Errorf("it is recorded as over, and it goes on")
		}
	}
	w.put(rec)
	return nil
}

// going counts the processes of a group that are not over.
func (w *runWorld) going(group string) int {
	n := 0
	for _, o := range w.objects {
		if rec, _ := w.recorded(o.ID, plan.RecordRun, o.Run); isUp(o) && o.Outcome == nil && rec.RunState().Group == group {
			n++
		}
	}
	return n
}

func (w *runWorld) start(o *plan.Object, s plan.Step) error {
	r := w.resource(o.ID)
	rec, ok := w.recorded(o.ID, plan.RecordRun, o.Run)
	state := rec.RunState()
	switch {
	case o.State == plan.StatePaused:
		o.State = plan.StateRunning
		return nil
	case r == nil || len(r.Blocked) > 0:
		return fmt.Errorf("started though nothing asks for it, or it is blocked")
	case o.State != plan.StateCreated || !o.Started.IsZero():
		return fmt.Errorf("%s is started again", o.Handle)
	case !ok || state.Phase != plan.RunRunning || state.Container != o.Handle:
		return fmt.Errorf("started and not recorded: %+v", state)
	case s.RunName == "":
		return fmt.Errorf("started without a name")
	}
	key := o.ID.String() + " " + o.Run
	if w.starts[key]++; w.starts[key] > 1 {
		return fmt.Errorf("run %s is started twice", key)
	}
	if r.Run.Cron == nil && slices.ContainsFunc(w.objects, func(p plan.Object) bool {
		return p.ID == o.ID && p.Handle != o.Handle && isUp(p) && p.Outcome == nil
	}) {
		return fmt.Errorf("started beside another run of it")
	}
	o.State, o.Started = plan.StateRunning, w.now
	if limit := limits[state.Group]; limit > 0 && w.going(state.Group) > limit {
		return fmt.Errorf("%d of %d runs of %s go on", w.going(state.Group), limit, state.Group)
	}
	return nil
}

func (w *runWorld) mayStop(o plan.Object) error {
	r := w.resource(o.ID)
	wish, _ := w.recorded(o.ID, plan.RecordWish, plan.WishStop)
	rec, recorded := w.recorded(o.ID, plan.RecordRun, o.Run)
	state := rec.RunState()
	switch {
	case recorded && !state.Ended() && (r != nil || o.ID.Kind == plan.Task): // else it is forgotten
		return fmt.Errorf("%s is stopped before that is recorded", o.Handle)
	case r == nil, wish.Data["wanted"] == "true", state.Halted():
		return nil
	}
	return fmt.Errorf("%s is stopped for nothing", o.Handle)
}

func (w *runWorld) remove(o plan.Object) error {
	r := w.resource(o.ID)
	rec, _ := w.recorded(o.ID, plan.RecordRun, o.Run)
	state := rec.RunState()
	unstarted := o.State == plan.StateCreated && o.Started.IsZero()
	switch {
	case isUp(o):
		return fmt.Errorf("%s is deleted while it is up", o.Handle)
	case w.incomplete:
		return fmt.Errorf("deleted though not everything is seen")
	case r == nil && o.ID.Kind == plan.Task && !unstarted && !state.Ended():
		return fmt.Errorf("%s is deleted before its end is recorded", o.Handle)
	case r == nil, unstarted && state.Container != o.Handle:
	case !state.Ended():
		return fmt.Errorf("%s is deleted and has not ended", o.Handle)
	case r.Run.Cron == nil && w.now.Sub(state.Finished) < r.Run.TTL:
		return fmt.Errorf("%s is deleted too early", o.Handle)
	}
	w.objects = slices.DeleteFunc(w.objects, func(p plan.Object) bool { return p.Handle == o.Handle })
	return nil
}

// clear removes what is left of a run without its container.
func (w *runWorld) clear(s plan.Step) error {
	rec, _ := w.recorded(s.Target, plan.RecordRun, s.Run)
	state := rec.RunState()
	if w.resource(s.Target) != nil && !state.Ended() {
		return fmt.Errorf("what is left of a run that has not ended is removed")
	}
	if o := w.object(s.Target, state.Container); o != nil {
		return fmt.Errorf("%s is still there", o.Handle)
	}
	return nil
}
