// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"reconcile/reconcile/plan"
)

const (
	testOwner = "owner-1"
	testRoot  = "/w"
)

var testNow = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// world is a small runtime and record store. It carries out steps, and reports
// as an error whatever no plan may ever ask for.
type world struct {
	desired plan.Desired
	objects []plan.Object
	foreign []plan.Object
	facts   map[plan.Input]plan.Fact
	specs   map[string]plan.Spec
	records plan.Records

	partial, busy, incomplete bool // the observation is flawed
	opts                      plan.Options
	converged                 []plan.ID
	backoff                   []plan.Backoff
	hostHooks                 map[plan.ID]plan.HostHook
	noCommit                  bool

	ticks   int
	handles int
	pass    pass
}

// pass is what has happened in the pass under way.
type pass struct {
	created  map[plan.ID]string // handle
	prepared map[plan.ID]bool
	waited   map[plan.ID]bool
	starts   map[plan.ID]bool // the plan starts something
	creates  map[plan.ID]bool // the plan creates it
	goes     map[string]bool  // the plan deletes it
	restarts map[plan.ID]int  // recorded before the pass
	counted  map[plan.ID]bool // a restart was due, and recorded in the pass
	ran      map[string]bool  // a hook has run in it
}

func (w *world) clone() *world {
	c := *w
	c.objects = slices.Clone(w.objects)
	c.records.Records = slices.Clone(w.records.Records)
	c.hostHooks = maps.Clone(w.hostHooks)
	return &c
}

func (w *world) observe() plan.Observed {
	o := plan.Observed{
		Objects: slices.Clone(w.objects), Foreign: w.foreign, Inputs: w.facts,
		Records: w.records, Specs: map[string]json.RawMessage{}, Converged: w.converged, Backoff: w.backoff,
		HostHooks: maps.Clone(w.hostHooks), NoCommit: w.noCommit,
	}
	for digest, s := range w.specs {
		o.Specs[digest], _ = json.Marshal(s)
	}
	if w.incomplete {
		o.Incomplete = []plan.Reason{{Code: plan.CodeUnknown, Text: "containers: timeout", Origin: "-"}}
	}
	if w.busy && len(w.desired.Resources) > 0 {
		o.Busy = []plan.ID{w.desired.Resources[0].ID}
	}
	return o
}

func (w *world) plan() plan.Plan { return plan.New(w.desired, w.observe(), w.opts) }

func (w *world) resource(id plan.ID) *plan.Resource {
	for i := range w.desired.Resources {
		if w.desired.Resources[i].ID == id && !w.desired.Destroy {
			return &w.desired.Resources[i]
		}
	}
	return nil
}

func (w *world) object(id plan.ID, handle string) *plan.Object {
	for i := range w.objects {
		if w.objects[i].ID == id && w.objects[i].Handle == handle {
			return &w.objects[i]
		}
	}
	return nil
}

func (w *world) named(id plan.ID, name string) bool {
	same := func(o plan.Object) bool { return id.Kind != plan.Image && o.Name == name && space(o.ID) == space(id) }
	return slices.ContainsFunc(w.objects, same) || slices.ContainsFunc(w.foreign, same)
}

func space(id plan.ID) plan.Kind {
	if id.Kind.Role() != plan.RoleInstance {
		return id.Kind
	}
	return plan.Manifest
}

func (w *world) restarts(id plan.ID) int {
	for _, r := range w.records.Records {
		if r.ID == id && r.Kind == plan.RecordRestarts && !w.forgiven(r) {
			n, _ := strconv.Atoi(r.Data["count"])
			return n
		}
	}
	return 0
}

func (w *world) begin(p plan.Plan) {
	w.pass = pass{
		starts: map[plan.ID]bool{}, goes: map[string]bool{}, creates: map[plan.ID]bool{},
		created: map[plan.ID]string{}, prepared: map[plan.ID]bool{}, waited: map[plan.ID]bool{}, restarts: map[plan.ID]int{},
		counted: map[plan.ID]bool{}, ran: map[string]bool{},
	}
	for _, s := range p.Steps {
		w.pass.starts[s.Target] = w.pass.starts[s.Target] || s.Op == plan.OpStart
		if s.Op == plan.OpCreate {
			w.pass.creates[s.Target] = true
		}
		w.pass.goes[s.Object] = w.pass.goes[s.Object] || s.Op == plan.OpDelete
	}
	for _, r := range w.desired.Resources {
		w.pass.restarts[r.ID] = w.restarts(r.ID)
	}
}

// apply carries out p in a random order that respects After, up to limit steps
// (-1: all). The step named fail fails, without effect; what comes after it is
// skipped. The returned error is a breach of a rule.
func (w *world) apply(p plan.Plan, rnd *rand.Rand, limit int, fail string) error {
	w.begin(p)
	done, skipped := map[string]bool{}, map[string]bool{fail: fail != ""}
	left := slices.Clone(p.Steps)
	for n := 0; n != limit; n++ {
		var ready []int
		for i, s := range left {
			bad := slices.ContainsFunc(s.After, func(a string) bool { return skipped[a] })
			if bad {
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
		if err := w.do(s); err != nil {
			return fmt.Errorf("%s: %w", s.ID, err)
		}
		done[s.ID] = true
	}
	if limit < 0 && fail == "" && len(left) > 0 {
		return fmt.Errorf("%d steps never became ready", len(left))
	}
	if limit < 0 && fail == "" {
		w.converged = nil
		for _, o := range w.objects {
			if w.resource(o.ID) != nil {
				w.converged = append(w.converged, o.ID)
			}
		}
	}
	return nil
}

func (w *world) do(s plan.Step) error {
	if w.elsewhere() {
		return fmt.Errorf("done though the workspace is run from elsewhere")
	}
	if s.Op != plan.OpWait && w.backedOff(s.Target) {
		return fmt.Errorf("done though it failed a moment ago")
	}
	if s.Op == plan.OpRecord && slices.Contains(w.observe().Busy, s.Target) {
		return fmt.Errorf("recorded while another step for it is under way")
	}
	if r := w.resource(s.Target); r != nil && len(r.Blocked) > 0 && s.Op != plan.OpRecord && s.Op != plan.OpWait && !(s.Op == plan.OpStop && w.stopWished(s.Target)) {
		return fmt.Errorf("done though it is blocked")
	}
	switch s.Op {
	case plan.OpPrepare:
		w.pass.prepared[s.Target] = true
		return nil
	case plan.OpCreate:
		return w.create(s)
	case plan.OpRecord:
		return w.record(s)
	case plan.OpWait:
		return w.wait(s)
	case plan.OpHost:
		return w.host(s)
	}
	o := w.target(s)
	if o == nil {
		return fmt.Errorf("no object %q", s.Object)
	}
	if slices.Contains(w.observe().Busy, s.Target) {
		return fmt.Errorf("another step for it is under way")
	}
	if o.Owner != testOwner && !w.opts.AcceptLostRecords && o.Root == testRoot {
		return fmt.Errorf("%s belongs to another record store", o.Handle)
	}
	switch s.Op {
	case plan.OpStart:
		return w.start(o)
	case plan.OpStop:
		if err := w.mayStop(*o); err != nil {
			return err
		}
		o.State, o.ExitCode, o.Finished, o.Health = plan.StateExited, 143, w.clock(), nil
		return nil
	case plan.OpExec:
		return w.exec(o, s)
	case plan.OpDelete:
		return w.remove(*o)
	case plan.OpActivate:
		if w.named(s.Target, s.Name) {
			return fmt.Errorf("name %s is taken", s.Name)
		}
		if o.ID.Kind.Role() == plan.RoleSupport {
			return fmt.Errorf("%s cannot be renamed", o.Handle)
		}
		o.Name = s.Name
		return nil
	}
	return fmt.Errorf("unknown op %s", s.Op)
}

// backedOff reports whether the last step for what is asked for failed, and it
// is not to be tried again yet.
func (w *world) backedOff(id plan.ID) bool {
	digest := ""
	if r := w.resource(id); r != nil {
		digest = r.Spec.Digest()
	}
	return slices.ContainsFunc(w.backoff, func(b plan.Backoff) bool {
		return b.ID == id && b.Digest == digest && b.Until.After(testNow)
	})
}

// early reports whether an exited object rests still before its next restart.
func (w *world) early(o plan.Object) bool {
	if !w.opts.Supervise || o.State != plan.StateExited || o.Finished.IsZero() || w.excused(o) {
		return false
	}
	streak := 0
	for _, r := range w.records.Records {
		if r.ID == o.ID && r.Kind == plan.RecordRestarts && !w.forgiven(r) {
			streak, _ = strconv.Atoi(r.Data["streak"])
			if r.Data["stopped"] == "true" {
				return false
			}
		}
	}
	if !o.Started.IsZero() && o.Finished.Sub(o.Started) >= 10*time.Minute {
		streak = 0
	}
	rest := min(10<<min(streak, 10), 300)
	return testNow.Sub(o.Finished) < time.Duration(rest)*time.Second
}

func (w *world) elsewhere() bool {
	return !w.opts.Adopt && slices.ContainsFunc(w.objects, func(o plan.Object) bool {
		return o.Root != testRoot && o.Session == ""
	})
}

func (w *world) target(s plan.Step) *plan.Object {
	handle := s.Object
	if handle == "" {
		handle = w.pass.created[s.Target]
	}
	return w.object(s.Target, handle)
}

func (w *world) create(s plan.Step) error {
	r := w.resource(s.Target)
	switch {
	case r == nil:
		return fmt.Errorf("created though nothing asks for it")
	case w.incomplete:
		return fmt.Errorf("created though it may exist already")
	case s.Digest != r.Spec.Digest():
		return fmt.Errorf("created with digest %s", s.Digest)
	case w.named(s.Target, s.Name):
		return fmt.Errorf("name %s is taken", s.Name)
	case s.Target.Kind.Role() == plan.RoleInstance && !w.pass.prepared[s.Target]:
		return fmt.Errorf("created before it was prepared")
	case r.Want == plan.WantStopped:
		return fmt.Errorf("created though it is to be stopped")
	case slices.Contains(w.observe().Busy, s.Target):
		return fmt.Errorf("another step for it is under way")
	case w.stopWished(s.Target) && len(w.of(s.Target)) == 0:
		return fmt.Errorf("created though somebody asked for it to be stopped")
	}
	if err := w.hooksRun(*r); err != nil {
		return err
	}
	if slices.ContainsFunc(w.desired.Resources, func(other plan.Resource) bool {
		return other.ID != s.Target && other.Name == s.Name && space(other.ID) == space(s.Target)
	}) {
		return fmt.Errorf("created as %s, which is the name of another", s.Name)
	}
	if err := w.inputsBound(*r, s); err != nil {
		return err
	}
	for _, n := range r.Needs {
		if n.Until == plan.UntilExists && len(w.of(n.On)) == 0 {
			return fmt.Errorf("created before %s exists", n.On)
		}
	}
	w.handles++
	o := plan.Object{
		ID: s.Target, Handle: fmt.Sprintf("new%d", w.handles), Name: s.Name, Workspace: "acme", Root: testRoot,
		Owner: testOwner, Role: s.Target.Kind.Role(), Digest: s.Digest, Inputs: s.Bound, Keep: r.Keep,
		State: plan.StateExists, Created: testNow.Add(time.Duration(w.handles) * time.Second), Ports: slices.Clone(s.Ports),
	}
	if o.Role == plan.RoleInstance {
		o.State, o.Image = plan.StateCreated, w.madeOf(*r, s.Bound)
	}
	for i := range o.Ports {
		if o.Ports[i].HostPort == 0 {
			o.Ports[i].HostPort = uint16(40000 + w.handles)
		}
	}
	w.objects = append(w.objects, o)
	w.specs[s.Digest] = r.Spec
	w.pass.created[s.Target] = o.Handle
	return nil
}

// inputsBound checks what a new object of r is made with.
func (w *world) inputsBound(r plan.Resource, s plan.Step) error {
	for _, in := range r.Spec.Inputs() {
		f := w.facts[in]
		if f.State == plan.FactMissing || s.Bound[in.String()] != f.Value {
			return fmt.Errorf("bound to %q as %s, which is %s %q", s.Bound[in.String()], in, f.State, f.Value)
		}
	}
	for _, p := range s.Ports {
		if want := w.recordedPort(r.ID, p); want != "" && r.Spec.Container.Ports[0].HostPort == 0 && want != strconv.Itoa(int(p.HostPort)) {
			return fmt.Errorf("port %d, not %s as before", p.HostPort, want)
		}
	}
	return nil
}

func (w *world) recordedPort(id plan.ID, p plan.Port) string {
	for _, rec := range w.records.Records {
		if rec.ID == id && rec.Kind == plan.RecordPorts {
			return rec.Data[fmt.Sprintf("%d/%s", p.Container, p.Protocol)]
		}
	}
	return ""
}

func (w *world) of(id plan.ID) []plan.Object {
	var objs []plan.Object
	for _, o := range w.objects {
		if o.ID == id {
			objs = append(objs, o)
		}
	}
	return objs
}

func (w *world) record(s plan.Step) error {
	rec := *s.Record
	if o := w.object(s.Target, s.Object); rec.Kind == plan.RecordRestarts && rec.Data["stopped"]+rec.Data["cause"] == "" && o != nil {
		if w.early(*o) {
			return fmt.Errorf("a restart was recorded too early")
		}
		w.pass.counted[rec.ID] = true
	}
	if rec.Kind == plan.RecordHook {
		if err := w.fillHook(&rec, s); err != nil {
			return err
		}
	} else if rec.ID != s.Target || !rec.At.Equal(testNow) {
		return fmt.Errorf("record of %s at %s", rec.ID, rec.At)
	}
	if rec.Data == nil {
		o := w.target(s)
		if o == nil {
			return fmt.Errorf("nothing to fill the record from")
		}
		rec.Data = map[string]string{}
		for _, p := range o.Ports {
			rec.Data[fmt.Sprintf("%d/%s", p.Container, p.Protocol)] = strconv.Itoa(int(p.HostPort))
		}
	}
	w.records.Records = slices.DeleteFunc(w.records.Records, func(r plan.Record) bool {
		return r.ID == rec.ID && r.Kind == rec.Kind && r.Key == rec.Key
	})
	w.records.Records = append(w.records.Records, rec)
	return nil
}

func (w *world) wait(s plan.Step) error {
	o := w.target(s)
	if o == nil {
		return fmt.Errorf("nothing to wait for")
	}
	if s.Until == plan.UntilReady && o.State != plan.StateRunning {
		return fmt.Errorf("waits for readiness of %s, which is %s", o.Handle, o.State)
	}
	if s.Until == plan.UntilFinished && o.State == plan.StateRunning {
		o.State, o.ExitCode = plan.StateExited, 0
	}
	w.pass.waited[s.Target] = true
	return nil
}

func (w *world) start(o *plan.Object) error {
	r := w.resource(o.ID)
	if r == nil || r.Want != plan.WantRunning && r.Want != plan.WantOnce {
		return fmt.Errorf("started though nobody wants it running")
	}
	if err := w.needsMet(*r, "started"); err != nil {
		return err
	}
	if err := w.hooksRun(*r); err != nil {
		return err
	}
	switch {
	case w.stopWished(o.ID):
		return fmt.Errorf("started though somebody asked for it to be stopped")
	case w.pass.waited[o.ID]:
		return fmt.Errorf("started again after it was waited for")
	}
	for _, other := range w.objects {
		up := other.State == plan.StateRunning || other.State == plan.StatePaused
		again := other.Keep && o.Finished.After(testNow.Add(-time.Second)) // both ran before
		if up && other.ID == o.ID && other.Handle != o.Handle && !again {
			return fmt.Errorf("started while %s runs", other.Handle)
		}
		for _, p := range other.Ports {
			if up && other.Handle != o.Handle && w.pass.goes[other.Handle] && w.resource(other.ID) == nil && w.publishes(*o, p.HostPort) {
				return fmt.Errorf("started while %s, which is to go, has port %d", other.Handle, p.HostPort)
			}
		}
	}
	if w.early(*o) && !w.pass.counted[o.ID] {
		return fmt.Errorf("restarted too early")
	}
	if excused := w.excused(*o); excused && o.State == plan.StateExited {
		w.run(o)
		return nil
	}
	if o.State == plan.StateExited && leftAlone(*r, *o, w.pass.restarts[o.ID]) {
		return fmt.Errorf("restarted after exit %d and %d restarts", o.ExitCode, w.pass.restarts[o.ID])
	}
	if o.State == plan.StateExited && w.restarts(o.ID) != w.pass.restarts[o.ID]+1 {
		return fmt.Errorf("restarted, with %d restarts recorded before and %d now", w.pass.restarts[o.ID], w.restarts(o.ID))
	}
	if o.State != plan.StateExited && w.restarts(o.ID) != w.pass.restarts[o.ID] {
		return fmt.Errorf("a first start was counted as a restart")
	}
	if w.pass.created[o.ID] == o.Handle && !w.portsRecorded(*r) {
		return fmt.Errorf("started before its ports were recorded")
	}
	bearer := func(other plan.Object) bool { return other.ID == o.ID && other.Keep && other.Name == r.Name }
	if o.Name != r.Name && !slices.ContainsFunc(w.objects, bearer) {
		return fmt.Errorf("started under the name %s", o.Name)
	}
	w.run(o)
	return nil
}
