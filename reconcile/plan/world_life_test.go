// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

// clock is a moment that has just passed, each later than the one before.
func (w *world) clock() time.Time {
	w.ticks++
	return testNow.Add(-time.Millisecond + time.Duration(w.ticks))
}

func (w *world) recorded(id plan.ID, kind plan.RecordKind, key string) (plan.Record, bool) {
	for _, r := range w.records.Records {
		if r.ID == id && r.Kind == kind && r.Key == key {
			return r, true
		}
	}
	return plan.Record{}, false
}

func (w *world) stopWished(id plan.ID) bool {
	r, _ := w.recorded(id, plan.RecordWish, plan.WishStop)
	return r.Data["wanted"] == "true"
}

// asked reports whether somebody asked for something at a time or after it.
func (w *world) asked(id plan.ID, key string, since time.Time) bool {
	r, ok := w.recorded(id, plan.RecordWish, key)
	return ok && !since.IsZero() && !since.After(r.At)
}

func (w *world) forgiven(rec plan.Record) bool {
	for _, key := range []string{plan.WishStop, plan.WishRestart, plan.WishRefresh} {
		if r, ok := w.recorded(rec.ID, plan.RecordWish, key); ok && rec.At.Before(r.At) {
			return true
		}
	}
	return false
}

// owed reports whether a hook has run in o since it was started.
func (w *world) owed(o plan.Object) bool {
	r := w.resource(o.ID)
	return r != nil && slices.ContainsFunc(r.Hooks, func(h plan.Hook) bool {
		rec, ok := w.recorded(o.ID, plan.RecordHook, string(h.Name))
		return ok && rec.Data["container"] == o.Handle && !rec.At.IsZero() && !o.Started.IsZero() && !rec.At.Before(o.Started)
	})
}

func unhealthy(o plan.Object) bool {
	return o.State == plan.StateRunning && o.Health != nil && o.Health.Liveness != nil &&
		o.Health.Liveness.Verdict == plan.VerdictFailing && !o.Health.Liveness.Since.Before(o.Started)
}

// excused reports whether the next start of o is no restart.
func (w *world) excused(o plan.Object) bool {
	if r := w.resource(o.ID); r != nil && r.Want == plan.WantOnce {
		return false
	}
	since := o.Finished
	if since.IsZero() {
		since = o.Started
	}
	stop, ok := w.recorded(o.ID, plan.RecordWish, plan.WishStop)
	started := ok && stop.Data["wanted"] == "false" && w.asked(o.ID, plan.WishStop, since)
	return w.pass.ran[o.Handle] || started || w.asked(o.ID, plan.WishRestart, o.Started) || w.owed(o)
}

// mayStop checks a stop, which may be half of a restart.
func (w *world) mayStop(o plan.Object) error {
	r := w.resource(o.ID)
	if r == nil || w.pass.goes[o.Handle] || r.Want == plan.WantStopped {
		return w.mayGo(o)
	}
	switch {
	case o.Keep || o.Session != "":
		return fmt.Errorf("%s is not to be stopped", o.Handle)
	case w.stopWished(o.ID):
		return nil
	case !w.pass.ran[o.Handle] && !w.asked(o.ID, plan.WishRestart, o.Started) && !w.owed(o) && !unhealthy(o):
		return fmt.Errorf("%s is stopped for nothing", o.Handle)
	case !w.pass.starts[o.ID]:
		if !w.opts.Supervise || !unhealthy(o) {
			return fmt.Errorf("%s is stopped and not started", o.Handle)
		}
		return nil
	case !w.pass.prepared[o.ID]:
		return fmt.Errorf("%s is stopped before its start is prepared", o.Handle)
	}
	return w.needsMet(*r, o.Handle+" stopped")
}

// run has the process of o run.
func (w *world) run(o *plan.Object) {
	o.State, o.Started, o.Finished, o.Health = plan.StateRunning, w.clock(), time.Time{}, nil
	c := w.specs[o.Digest].Container
	if c != nil && (c.Liveness != nil || c.Readiness != nil) {
		o.Health = &plan.Health{Liveness: &plan.ProbeState{Verdict: plan.VerdictPassing, Since: o.Started}}
	}
}

func runDigest(r plan.Resource, h plan.Hook) string {
	for _, m := range r.Spec.Container.Mounts {
		if h.InCopy && m.Type == plan.MountCopy {
			return h.Digest + "+" + m.TreeHash
		}
	}
	return h.Digest
}

// hooksRun checks that the hooks on the host have run for r, or for the instance
// that r is made for, and that the latter is prepared.
func (w *world) hooksRun(r plan.Resource) error {
	of := &r
	if r.Spec.Image != nil {
		if of = w.resource(manifest(r.ID.Name)); of == nil {
			return fmt.Errorf("made for nothing")
		}
		switch {
		case w.noCommit:
			return fmt.Errorf("the runtime cannot make images")
		case !w.pass.prepared[of.ID]:
			return fmt.Errorf("made before %s is prepared", of.ID)
		case len(of.Blocked) > 0 || w.backedOff(of.ID):
			return fmt.Errorf("made though %s is held", of.ID)
		}
	}
	for _, h := range of.Hooks {
		fact := w.hostHooks[of.ID]
		if h.Host() && (fact.State != plan.HookDone || fact.Digest != runDigest(*of, h)) {
			return fmt.Errorf("made or started before the %s hook has run", h.Name)
		}
	}
	return nil
}

func (w *world) host(s plan.Step) error {
	r := w.resource(s.Target)
	if r == nil || s.Hook == nil || s.Object != "" {
		return fmt.Errorf("a hook of nothing is run")
	}
	i := slices.IndexFunc(r.Hooks, func(h plan.Hook) bool { return h.Name == s.Hook.Name })
	if i < 0 || !r.Hooks[i].Host() {
		return fmt.Errorf("it has no such hook")
	}
	h, fact := r.Hooks[i], w.hostHooks[s.Target]
	switch {
	case s.Hook.Digest != runDigest(*r, h):
		return fmt.Errorf("run as %s", s.Hook.Digest)
	case fact.State == plan.HookRunning:
		return fmt.Errorf("it runs already")
	case fact.State == plan.HookDone && fact.Digest == s.Hook.Digest:
		return fmt.Errorf("run again")
	case h.Locked && w.desired.Approvals.Hooks[s.Target] != h.Digest:
		return fmt.Errorf("run without approval")
	case h.InCopy && !w.pass.prepared[s.Target]:
		return fmt.Errorf("run before there is a copy")
	case !h.InCopy && w.pass.prepared[s.Target]:
		return fmt.Errorf("run after it was prepared")
	case w.pass.created[s.Target] != "":
		return fmt.Errorf("run after it was created")
	}
	w.hostHooks[s.Target] = plan.HostHook{Digest: s.Hook.Digest, State: plan.HookDone, At: testNow}
	return nil
}

func (w *world) exec(o *plan.Object, s plan.Step) error {
	r := w.resource(s.Target)
	if r == nil || s.Hook == nil || !slices.ContainsFunc(r.Hooks, func(h plan.Hook) bool { return h.Digest == s.Hook.Digest && h.Name == s.Hook.Name }) {
		return fmt.Errorf("it has no such hook")
	}
	rec, has := w.recorded(o.ID, plan.RecordHook, string(s.Hook.Name))
	switch {
	case o.State != plan.StateRunning || unhealthy(*o):
		return fmt.Errorf("run in what is %s", o.State)
	case w.stopWished(o.ID) || r.Want != plan.WantRunning:
		return fmt.Errorf("run in what is not to run")
	case s.Hook.Name == plan.HookPostinstall && has && rec.Data["container"] == o.Handle && rec.Data["digest"] == s.Hook.Digest:
		return fmt.Errorf("run again")
	case s.Hook.Name == plan.HookUpdate && !w.updateDue(*r, *s.Hook):
		return fmt.Errorf("run though nobody asked, and no commit is new")
	case w.pass.waited[o.ID]:
		return fmt.Errorf("run after it was waited for")
	}
	w.pass.ran[o.Handle] = true
	return nil
}

func (w *world) updateDue(r plan.Resource, h plan.Hook) bool {
	rec, has := w.recorded(r.ID, plan.RecordHook, string(h.Name))
	wish, asked := w.recorded(r.ID, plan.RecordWish, plan.WishUpdate)
	was := rec.Data["revision"]
	return asked && (!has || wish.At.After(rec.At)) || has && was != "" && h.Revision != "" && was != h.Revision
}

// fillHook fills in what a plan leaves open of the record of a hook.
func (w *world) fillHook(rec *plan.Record, s plan.Step) error {
	data := map[string]string{}
	for k, v := range rec.Data {
		data[k] = v
	}
	rec.Data = data
	o := w.target(s)
	if _, said := rec.Data["container"]; !said {
		if o == nil || !w.pass.ran[o.Handle] {
			return fmt.Errorf("recorded before it has run")
		}
		rec.Data["container"] = o.Handle
	}
	if rec.At.IsZero() {
		rec.At = w.clock()
	}
	return nil
}

func usesImage(o, image plan.Object) bool {
	bound := o.Inputs["need:"+image.ID.String()]
	made := bound != "" && bound == plan.Generation(image.Digest, image.Inputs)
	return o.Role == plan.RoleInstance && (o.Image == image.Handle || o.Image == "" && made)
}

// imageFree checks that an image that goes is used by nothing.
func (w *world) imageFree(image plan.Object) error {
	if image.ID.Kind != plan.Image {
		return nil
	}
	if image.UsedBy != "" {
		return fmt.Errorf("%s is used by %s", image.Handle, image.UsedBy)
	}
	for _, o := range w.objects {
		if usesImage(o, image) {
			return fmt.Errorf("%s is used by %s\n%+v\n%+v", image.Handle, o.Handle, w.of(image.ID), o)
		}
	}
	for _, o := range w.objects {
		next := w.resource(o.ID)
		if w.resource(image.ID) != nil && next != nil && o.ID.Name == image.ID.Name && o.ID.Kind == plan.Manifest && w.pass.created[o.ID] == o.Handle &&
			w.pass.starts[o.ID] && o.State == plan.StateCreated {
			return fmt.Errorf("%s goes before what is made of the next one is started", image.Handle)
		}
	}
	return nil
}

// madeOf is the image that a new object of r is made of.
func (w *world) madeOf(r plan.Resource, bound map[string]string) string {
	handle := ""
	for _, o := range w.objects { // the last one
		if r.Spec.Container.Installed && o.ID == (plan.ID{Kind: plan.Image, Name: r.ID.Name}) &&
			bound["need:"+o.ID.String()] == plan.Generation(o.Digest, o.Inputs) {
			handle = o.Handle
		}
	}
	return handle
}

// lifeHeld reports whether hooks, wishes or probes are a cause to hold r.
func (w *world) lifeHeld(r plan.Resource) bool {
	fact := w.hostHooks[r.ID]
	return w.stopWished(r.ID) || fact.State == plan.HookRunning || slices.ContainsFunc(r.Hooks, func(h plan.Hook) bool {
		return h.Host() && h.Locked && w.desired.Approvals.Hooks[r.ID] != h.Digest
	}) || slices.ContainsFunc(w.of(r.ID), func(o plan.Object) bool {
		return o.UsedBy != "" || w.opts.Supervise && unhealthy(o)
	})
}

// imageAsDesired: one is as desired, is that of which its instance is made, and
// the others are in use.
func imageAsDesired(w *world, r plan.Resource) error {
	good := ""
	for _, o := range w.of(r.ID) {
		if o.Owner != testOwner {
			return nil // nothing is done about it
		}
		as := o.Digest == r.Spec.Digest() && len(o.Drift) == 0
		for _, in := range r.Spec.Inputs() {
			if f := w.facts[in]; f.State == plan.FactKnown && o.Inputs[in.String()] != f.Value {
				as = false
			}
		}
		if as {
			good = o.Handle
		}
	}
	if good == "" {
		return fmt.Errorf("no image is as desired")
	}
	for _, o := range w.of(r.ID) {
		if o.Handle != good && !w.incomplete && !w.backedOff(r.ID) && o.UsedBy == "" && !o.Keep && w.imageFree(o) == nil {
			return fmt.Errorf("%s is left over", o.Handle)
		}
	}
	return nil
}

// lifeAsDesired checks that nothing is due any more.
func lifeAsDesired(w *world, r plan.Resource, o plan.Object, held map[plan.ID]plan.Change) error {
	if r.ID.Kind.Role() != plan.RoleInstance {
		return nil
	}
	image := plan.ID{Kind: plan.Image, Name: r.ID.Name}
	if _, unsettled := held[image]; o.Image != "" && r.Spec.Container.Installed && !unsettled {
		bound := o.Inputs["need:"+image.String()]
		made := w.object(image, o.Image)
		if made == nil || bound != plan.Generation(made.Digest, made.Inputs) || len(made.Drift) > 0 {
			return fmt.Errorf("it is made of %s", o.Image)
		}
	}
	if w.asked(o.ID, plan.WishRefresh, o.Created) {
		return fmt.Errorf("it is not new")
	}
	if r.Want != plan.WantRunning {
		return nil
	}
	if o.Keep {
		return nil
	}
	if w.owed(o) || w.asked(o.ID, plan.WishRestart, o.Started) || unhealthy(o) {
		return fmt.Errorf("it is not restarted")
	}
	for _, h := range r.Hooks {
		rec, has := w.recorded(r.ID, plan.RecordHook, string(h.Name))
		fact := w.hostHooks[r.ID]
		switch {
		case h.Host() && (fact.State != plan.HookDone || !strings.HasPrefix(fact.Digest, h.Digest)):
			return fmt.Errorf("its %s hook has not run", h.Name)
		case h.Name == plan.HookPostinstall && (!has || rec.Data["container"] != o.Handle || rec.Data["digest"] != h.Digest):
			return fmt.Errorf("its %s hook has not run", h.Name)
		case h.Name == plan.HookUpdate && (!has || w.updateDue(r, h)):
			return fmt.Errorf("its %s hook has not run", h.Name)
		}
	}
	return nil
}

// checkStopped: whatever is in its way, what is to be stopped does not run.
func checkStopped(t interface{ Fatalf(string, ...any) }, w *world, p plan.Plan) {
	for _, o := range w.objects {
		busy := slices.Contains(w.observe().Busy, o.ID) || w.hostHooks[o.ID].State == plan.HookRunning
		theirs := o.Keep || o.Session != "" || o.Owner != testOwner && !w.opts.AcceptLostRecords
		if w.resource(o.ID) == nil || !w.stopWished(o.ID) || busy || theirs || w.backedOff(o.ID) ||
			slices.ContainsFunc(w.of(o.ID), func(other plan.Object) bool { return other.Owner != testOwner }) {
			continue
		}
		if o.State == plan.StateRunning || o.State == plan.StatePaused {
			t.Fatalf("%s is %s though somebody asked for it to be stopped\n%s", o.Handle, o.State, p)
		}
	}
}
