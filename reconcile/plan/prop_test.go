// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

func drawRand(t *rapid.T) *rand.Rand {
	seed := rapid.Uint64().Draw(t, "order")
	return rand.New(rand.NewPCG(seed, 1))
}

func shuffled[T any](rnd *rand.Rand, in []T) []T {
	out := slices.Clone(in)
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestPlanIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, false)
		rnd := drawRand(t)
		want := w.plan()
		d, o := w.desired, w.observe()
		d.Resources, d.Partial = shuffled(rnd, d.Resources), shuffled(rnd, d.Partial)
		for i := range d.Resources {
			d.Resources[i].Needs = shuffled(rnd, d.Resources[i].Needs)
		}
		o.Objects, o.Foreign, o.Converged = shuffled(rnd, o.Objects), shuffled(rnd, o.Foreign), shuffled(rnd, o.Converged)
		o.Records.Records = shuffled(rnd, o.Records.Records)
		got := plan.New(d, o, w.opts)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the order of the input shows (-want +got):\n%s", diff)
		}
		if got.String() != want.String() {
			t.Fatalf("the text differs:\n%s\n%s", want, got)
		}
	})
}

// checkForm checks what holds for every plan, whatever it was made of.
func checkForm(t *rapid.T, p plan.Plan) {
	seen := map[string]bool{}
	for _, s := range p.Steps {
		if seen[s.ID] {
			t.Fatalf("step %s is there twice", s.ID)
		}
		for _, a := range s.After {
			if !seen[a] {
				t.Fatalf("step %s comes after %s, which is not before it", s.ID, a)
			}
		}
		seen[s.ID] = true
		checkReasons(t, s.ID, []plan.Reason{s.Reason})
	}
	held := map[plan.ID]bool{}
	for _, c := range p.Held {
		held[c.ID] = true
		checkReasons(t, c.ID.String(), c.Reasons)
	}
	changed := map[plan.ID]bool{}
	for _, c := range p.Changes {
		if changed[c.ID] {
			t.Fatalf("%s changes twice", c.ID)
		}
		changed[c.ID] = true
		checkReasons(t, c.ID.String(), c.Reasons)
		if len(c.Actions) == 0 || !slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Target == c.ID }) {
			t.Fatalf("%s changes without action or step", c.ID)
		}
	}
	for _, c := range p.Drift {
		checkReasons(t, c.ID.String(), c.Reasons)
		if !changed[c.ID] && !held[c.ID] {
			t.Fatalf("%s drifted, and nothing is done or held", c.ID)
		}
	}
	if p.Empty() != (len(p.Changes) == 0) {
		t.Fatalf("empty is %t with %d changes", p.Empty(), len(p.Changes))
	}
	raw, err := p.JSON(plan.ModeLive, nil)
	if err != nil || !json.Valid(raw) {
		t.Fatalf("no JSON form: %v", err)
	}
}

func checkReasons(t *rapid.T, what string, rs []plan.Reason) {
	if len(rs) == 0 {
		t.Fatalf("%s has no reason", what)
	}
	for _, r := range rs {
		if r.Code == "" || r.Text == "" || r.Origin == "" {
			t.Fatalf("%s has the reason %+v", what, r)
		}
	}
}

// Whatever waits for the time is planned when it comes, and not before.
func TestPlanWakes(t *testing.T) {
	woken := 0
	check := func(t *rapid.T) {
		w := genWorld(t, false)
		p := w.plan()
		for id, h := range w.hostHooks {
			if h.State == plan.HookRunning && !w.elsewhere() {
				delete(w.hostHooks, id) // it is looked at again and again
				p = w.plan()
			}
		}
		later := map[plan.ID]bool{}
		for _, c := range p.Held {
			for _, r := range c.Reasons {
				if r.Code == plan.CodeBackoff || r.Code == plan.CodeCrashLoop {
					later[c.ID] = true
				}
			}
		}
		if (len(later) > 0) != p.Wake.After(testNow) || !p.Wake.IsZero() && !p.Wake.After(testNow) {
			t.Fatalf("%d wait for the time, and it wakes at %s\n%s", len(later), p.Wake, p)
		}
		if len(later) == 0 {
			return
		}
		opts := w.opts
		opts.Now = p.Wake.Add(-time.Nanosecond)
		if before := plan.New(w.desired, w.observe(), opts); !before.Wake.Equal(p.Wake) {
			t.Fatalf("a moment before %s it wakes at %s", p.Wake, before.Wake)
		}
		opts.Now = p.Wake
		if then := plan.New(w.desired, w.observe(), opts); then.Wake.Equal(p.Wake) {
			t.Fatalf("at %s it still waits for it\n%s", p.Wake, then)
		}
		woken++
	}
	rapid.Check(t, check)
	for more := 0; woken == 0 && more < 20; more++ { // few worlds have something that waits
		rapid.Check(t, check)
	}
	if woken == 0 {
		t.Error("no generated world waits for the time")
	}
}

func TestPlanIsWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, false)
		p := w.plan()
		checkForm(t, p)
		checkCounts(t, w, p)
		checkBrake(t, w, p)
		checkHeld(t, w, p)
	})
}

// checkCounts checks that every desired resource is counted once.
func checkCounts(t *rapid.T, w *world, p plan.Plan) {
	if w.desired.Destroy || len(p.Steps) == 0 && len(p.Refused) > 0 {
		return
	}
	n := p.Unchanged
	for _, c := range p.Changes {
		if w.resource(c.ID) != nil {
			n++
		}
	}
	for _, c := range p.Held {
		changes := slices.ContainsFunc(p.Changes, func(d plan.Change) bool { return d.ID == c.ID })
		if w.resource(c.ID) != nil && !c.Benign && !changes {
			n++
		}
	}
	if n != len(w.desired.Resources) {
		t.Fatalf("%d of %d resources are counted\n%s", n, len(w.desired.Resources), p)
	}
}

// checkBrake counts for itself what may go away.
func checkBrake(t *rapid.T, w *world, p plan.Plan) {
	if w.elsewhere() {
		return
	}
	all, going := map[plan.ID]bool{}, map[plan.ID]bool{}
	stay := map[plan.ID]bool{}
	for _, o := range w.objects {
		if o.Role != plan.RoleInstance || o.Session != "" {
			continue
		}
		all[o.ID] = true
		going[o.ID] = w.resource(o.ID) == nil
		lost := o.Owner != testOwner && !w.opts.AcceptLostRecords && o.Root == testRoot
		stay[o.ID] = stay[o.ID] || o.Keep || lost
	}
	n, before := 0, false
	for id, goes := range going {
		if goes && !stay[id] && !slices.Contains(w.observe().Busy, id) && w.hostHooks[id].State != plan.HookRunning && !w.backedOff(id) {
			n++
			before = before || slices.ContainsFunc(w.records.Records, func(r plan.Record) bool {
				return r.ID == id && r.Kind == plan.RecordBrake && r.Data["held"] == "true"
			})
		}
	}
	want := (before || n > 3 && n > len(all)-n) && !w.opts.AllowMassDelete && !w.desired.Destroy &&
		!w.partial && !w.incomplete && !w.desired.Empty
	got := slices.ContainsFunc(p.Refused, func(r plan.Reason) bool { return r.Code == plan.CodeMassDelete })
	if got != want {
		t.Fatalf("%d of %d instances would go: brake tripped is %t", n, len(all), got)
	}
	for _, s := range p.Steps {
		if got && s.Op == plan.OpDelete && w.resource(s.Target) == nil {
			t.Fatalf("%s in spite of the brake", s.ID)
		}
	}
}

// checkHeld checks that nothing is held without a cause in the world.
func checkHeld(t *rapid.T, w *world, p plan.Plan) {
	if w.desired.Destroy {
		return
	}
	var justified func(id plan.ID) bool
	var imageHeld map[plan.ID]bool // images asked about on the way
	justified = func(id plan.ID) bool {
		r := w.resource(id)
		if r == nil || w.incomplete || len(r.Blocked) > 0 || r.Want != plan.WantRunning && id.Kind != plan.Image ||
			slices.Contains(w.observe().Busy, id) || r.Restart != (plan.Restart{}) ||
			w.backedOff(id) || w.lifeHeld(*r) || slices.ContainsFunc(w.of(id), w.early) {
			return true
		}
		for _, in := range r.Spec.Inputs() {
			if w.facts[in].State == plan.FactMissing {
				return true
			}
		}
		for _, o := range w.of(id) {
			if o.Keep || o.Owner != testOwner {
				return true
			}
		}
		if slices.ContainsFunc(w.foreign, func(o plan.Object) bool { return o.Name == r.Name }) {
			return true
		}
		if slices.ContainsFunc(w.objects, func(o plan.Object) bool {
			stays := w.hostHooks[o.ID].State == plan.HookRunning || w.partial || o.Session != "" || o.Keep || o.Owner != testOwner || !w.opts.AllowMassDelete
			return o.ID != id && o.Name == r.Name && stays
		}) {
			return true
		}
		if id.Kind == plan.Image { // it is held with the instance, as that is with it
			return w.noCommit || func() bool { imageHeld[id] = true; return justified(manifest(id.Name)) }()
		}
		return slices.ContainsFunc(r.Needs, func(n plan.Need) bool {
			if imageHeld[n.On] {
				return false
			}
			return justified(n.On)
		})
	}
	for _, c := range p.Held {
		imageHeld = map[plan.ID]bool{}
		if w.resource(c.ID) != nil && w.resource(c.ID).Want == plan.WantRunning && !justified(c.ID) {
			t.Fatalf("%s is held for nothing: %+v", c.ID, c.Reasons)
		}
	}
}

// settle applies plans until nothing is left to do, which one pass must reach. It
// may take another where something that is marked to be kept can take the place of
// what the first one stops.
func settle(t *rapid.T, w *world, rnd *rand.Rand) {
	p := w.plan()
	checkForm(t, p)
	if err := w.apply(p, rnd, -1, ""); err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	again := w.plan()
	if len(again.Steps) > 0 && w.keptBeside() {
		if err := w.apply(again, rnd, -1, ""); err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		again = w.plan()
	}
	if len(again.Steps) > 0 {
		t.Fatalf("first plan\n%s\nsecond plan\n%s", p, again)
	}
	checkGoal(t, w, again)
}

// keptBeside reports whether an instance has an object that is marked to be kept
// beside another.
func (w *world) keptBeside() bool {
	return slices.ContainsFunc(w.objects, func(kept plan.Object) bool {
		return kept.Keep && kept.ID.Kind.Role() == plan.RoleInstance && slices.ContainsFunc(w.objects, func(o plan.Object) bool {
			return o.ID == kept.ID && o.Handle != kept.Handle
		})
	})
}

// checkGoal checks that what is not held is as desired, and nothing else is
// there.
func checkGoal(t *rapid.T, w *world, p plan.Plan) {
	if w.elsewhere() {
		return
	}
	held := map[plan.ID]plan.Change{}
	for _, c := range p.Held {
		held[c.ID] = c
	}
	for _, r := range w.desired.Resources {
		if _, ok := held[r.ID]; ok || w.desired.Destroy {
			continue
		}
		if err := asDesired(w, r, held); err != nil {
			t.Fatalf("%s: %v\n%s", r.ID, err, p)
		}
	}
	checkStopped(t, w, p)
	for _, o := range w.objects {
		if _, ok := held[o.ID]; !ok && w.resource(o.ID) == nil && o.Session == "" {
			t.Fatalf("%s is still there\n%s", o.ID, p)
		}
	}
	if want := plan.ExitDone; p.Complete && p.ExitCode(true) != want {
		t.Fatalf("exit code %d, want %d", p.ExitCode(true), want)
	}
}

func asDesired(w *world, r plan.Resource, held map[plan.ID]plan.Change) error {
	if r.ID.Kind == plan.Image {
		return imageAsDesired(w, r)
	}
	objs := w.of(r.ID)
	if len(objs) != 1 {
		return fmt.Errorf("%d objects", len(objs))
	}
	o := objs[0]
	state := map[plan.Want]plan.State{plan.WantRunning: plan.StateRunning, plan.WantOnce: plan.StateRunning}[r.Want]
	switch {
	case r.ID.Kind.Role() == plan.RoleInstance && state != "" && o.State != state:
		return fmt.Errorf("it is %s", o.State)
	case o.Name != r.Name:
		return fmt.Errorf("its name is %s", o.Name)
	case o.Digest != r.Spec.Digest():
		return fmt.Errorf("its digest is %s", o.Digest)
	case len(o.Drift) > 0:
		return fmt.Errorf("it departs: %v", o.Drift)
	}
	for _, n := range r.Needs {
		if _, unsettled := held[n.On]; n.Bound && !unsettled {
			if bound := o.Inputs["need:"+n.On.String()]; bound == "" || bound == "stale" { // or of another image, see imageAsDesired
				return fmt.Errorf("of %s it is bound to %q", n.On, bound)
			}
		}
	}
	for _, in := range r.Spec.Inputs() {
		if f := w.facts[in]; f.State == plan.FactKnown && o.Inputs[in.String()] != f.Value {
			return fmt.Errorf("it is bound to %s", o.Inputs[in.String()])
		}
	}
	return lifeAsDesired(w, r, o, held)
}

func TestPlanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rnd := genWorld(t, false), drawRand(t)
		settle(t, w, rnd)
		disturb(t, w)
		settle(t, w, rnd)
	})
}

// In a healthy world nothing is held but what somebody wished, so checkGoal
// looks at everything.
func TestHealthyWorldBecomesAsDesired(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		for _, c := range w.plan().Held {
			switch code := c.Reasons[0].Code; {
			case c.Benign, code == plan.CodeRestartLimit, code == plan.CodeBlockedBy, code == plan.CodeUnhealthy:
			default:
				t.Fatalf("%s is held: %+v", c.ID, c.Reasons)
			}
		}
		settle(t, w, drawRand(t))
	})
}

func TestPlanConvergesAfterACrashBeforeEachStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, rnd := genWorld(t, false), drawRand(t)
		p := start.plan()
		for n := range len(p.Steps) {
			w := start.clone()
			if err := w.apply(p, rnd, n, ""); err != nil {
				t.Fatalf("%v\n%s", err, p)
			}
			settle(t, w, rnd)
		}
	})
}

func TestPlanConvergesAfterEachFailingStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, rnd := genWorld(t, false), drawRand(t)
		p := start.plan()
		for _, s := range p.Steps {
			w := start.clone()
			if err := w.apply(p, rnd, -1, s.ID); err != nil {
				t.Fatalf("with %s failing: %v\n%s", s.ID, err, p)
			}
			settle(t, w, rnd)
		}
	})
}

// Whatever goes on, these are untouched: not even their names are taken.
func TestForeignKeptAndLostObjectsAreUntouched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rnd := genWorld(t, false), drawRand(t)
		before, p := w.clone(), w.plan()
		if err := w.apply(p, rnd, -1, ""); err != nil {
			t.Fatalf("%v\n%s", err, p)
		}
		for _, o := range before.objects {
			lost := o.Owner != testOwner && !w.opts.AcceptLostRecords && o.Root == testRoot
			kept := o.Keep && !(w.desired.Destroy && w.desired.Volumes && o.ID.Kind == plan.Volume)
			now := w.object(o.ID, o.Handle)
			switch {
			case (lost || kept) && now == nil:
				t.Fatalf("%s of %s is gone", o.Handle, o.ID)
			case w.resource(o.ID) != nil && w.resource(o.ID).Want == plan.WantOnce: // it may have run to its end
			case lost && cmp.Diff(o, *now) != "":
				t.Fatalf("%s of %s was made with other records and changed", o.Handle, o.ID)
			case kept && o.State == plan.StateRunning && now.State != plan.StateRunning:
				t.Fatalf("%s of %s was stopped", o.Handle, o.ID)
			}
		}
		if diff := cmp.Diff(before.foreign, w.foreign); diff != "" {
			t.Fatalf("foreign objects changed:\n%s", diff)
		}
	})
}

// What another desired resource still bears is not taken in the same pass.
func TestNameOfAnotherTakesTwoPasses(t *testing.T) {
	s := parseScene(t, "manifest/a level=debug\nmanifest/a-next", `
		object manifest/a h1 running level=info
		object manifest/a h2 created as=acme-a-next
	`, "")
	w := &world{
		desired: s.desired, objects: s.observed.Objects, facts: s.observed.Inputs, records: s.observed.Records,
		opts: s.options, specs: map[string]plan.Spec{},
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for pass, want := range []string{"1 replace, 1 blocked", "1 create, 1 unchanged", "2 unchanged"} {
		p := w.plan()
		if got := p.Summary().String(); got != want {
			t.Errorf("pass %d: %s, want %s", pass, got, want)
		}
		if err := w.apply(p, rnd, -1, ""); err != nil {
			t.Fatal(err)
		}
	}
}
