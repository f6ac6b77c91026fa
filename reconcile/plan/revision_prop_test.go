// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

// agentWorld is a record store and a store of images, with TaskAgents. It carries
// out steps, and reports as an error whatever no plan may ever ask for.
type agentWorld struct {
	desired  plan.Desired
	records  plan.Records
	facts    map[plan.Input]plan.Fact
	backoff  []plan.Backoff
	seen     []plan.Reason // what could not be
	opts     plan.Options
	prepared map[string]bool // generations
}

func genAgentWorld(t *rapid.T) *agentWorld {
	g := &gen{T: t}
	w := &agentWorld{
		records: plan.Records{Owner: testOwner}, facts: map[plan.Input]plan.Fact{}, prepared: map[string]bool{},
		opts: plan.Options{Now: testNow, AllowMassDelete: true, Supervise: true},
	}
	w.desired = plan.Desired{Workspace: "acme", Root: testRoot, Source: "workspace.yaml:1:1"}
	w.desired.Destroy = g.oneIn(10, "destroy")
	for _, image := range []string{"img:1", "img:2"} {
		f := plan.Fact{State: plan.FactKnown, Value: pick(g, "digest of "+image, "sha256:one", "sha256:two"), Local: rapid.Bool().Draw(t, "local "+image)}
		switch rapid.IntRange(0, 9).Draw(t, "fact "+image) {
		case 0:
			f = plan.Fact{State: plan.FactMissing, Detail: "manifest unknown"}
		case 1:
			f = plan.Fact{State: plan.FactUnknown, Detail: "no registry"}
		}
		w.facts[plan.Input{Kind: plan.InputImage, Name: image}] = f
	}
	for i, name := range []string{"a", "b"} {
		g.agent(w, i, name)
	}
	if g.oneIn(8, "unseen") {
		w.seen = []plan.Reason{{Code: plan.CodeUnknown, Text: "a record is damaged", Origin: "-"}}
	}
	if g.oneIn(6, "partial") {
		w.desired.Partial = []plan.Reason{{Code: plan.CodePartial, Text: "repo", Origin: "w.yaml:1:1"}}
	}
	return w
}

// agent adds a TaskAgent, and what is left of it.
func (g *gen) agent(w *agentWorld, i int, name string) {
	id := plan.ID{Kind: plan.TaskAgent, Name: name}
	spec := func() plan.Spec {
		return plan.Spec{Container: &plan.ContainerSpec{
			Image: pick(g, "image of "+name, "img:1", "img:2"), Env: []plan.EnvVar{{Name: "LEVEL", Value: pick(g, "level of "+name, "1", "2")}},
		}}
	}
	settings := func() *plan.Dispatch {
		d := testDispatch("acme-" + name)
		d.MaxConcurrent = rapid.IntRange(0, 1).Draw(g.T, "max of "+name)
		return d
	}
	r := plan.Resource{
		ID: id, Name: "acme-" + name, Origin: fmt.Sprintf("a.yaml:%d:1", i), Want: plan.WantPrepared, Replace: plan.Overlap,
		Spec: spec(), Dispatch: settings(),
	}
	if !g.oneIn(4, "without "+name) {
		if g.oneIn(8, "blocked "+name) {
			r.Blocked = []plan.Reason{{Code: plan.CodeInvalid, Text: "no", Origin: r.Origin}}
		}
		w.desired.Resources = append(w.desired.Resources, r)
	}
	if g.oneIn(6, "failed "+name) {
		w.backoff = append(w.backoff, plan.Backoff{ID: id, Digest: r.Spec.Digest(), Until: testNow.Add(1e9), Detail: "pull"})
	}
	number := rapid.IntRange(0, 3).Draw(g.T, "first of "+name)
	for range pick(g, "revisions of "+name, 0, 0, 1, 1, 2, 2, 3, 11) {
		number++
		rev := plan.Revision{ID: id, Number: number, Spec: spec(), Inputs: map[string]string{}, Ready: testNow.Add(-1e12)}
		rev.Digest = rev.Spec.Digest()
		if g.oneIn(3, "as now "+name) {
			rev.Spec, rev.Digest = r.Spec, r.Spec.Digest()
		}
		image, _ := rev.Image()
		rev.Inputs["image:"+image] = pick(g, "bound "+name, "sha256:one", "sha256:two")
		rec := rev.Record()
		if g.oneIn(12, "damaged "+name) {
			rec.Data["spec"] = "{"
		}
		w.records.Records = append(w.records.Records, rec)
		w.prepared[plan.Generation(rev.Digest, rev.Inputs)] = true
	}
	if rapid.Bool().Draw(g.T, "dispatched "+name) {
		w.records.Records = append(w.records.Records, plan.Record{ID: id, Kind: plan.RecordDispatch, At: testNow.Add(-1e12), Data: settings().Data()})
	}
	for _, key := range []string{plan.WishStop, plan.WishRefresh} {
		if g.oneIn(8, key+" "+name) {
			w.records.Records = append(w.records.Records, plan.Record{ID: id, Kind: plan.RecordWish, Key: key, At: testNow.Add(-1e9), Data: map[string]string{"wanted": "true"}})
		}
	}
}

func (w *agentWorld) clone() *agentWorld {
	c := *w
	c.records.Records = slices.Clone(w.records.Records)
	c.facts, c.prepared = maps.Clone(w.facts), maps.Clone(w.prepared)
	return &c
}

func (w *agentWorld) plan() plan.Plan {
	return plan.New(w.desired, plan.Observed{Records: w.records, Inputs: w.facts, Backoff: w.backoff, Incomplete: w.seen}, w.opts)
}

func (w *agentWorld) resource(id plan.ID) *plan.Resource {
	i := slices.IndexFunc(w.desired.Resources, func(r plan.Resource) bool { return r.ID == id })
	if i < 0 || w.desired.Destroy {
		return nil
	}
	return &w.desired.Resources[i]
}

func (w *agentWorld) agents() map[plan.ID]plan.Agent {
	out := map[plan.ID]plan.Agent{}
	for _, a := range plan.Agents(w.desired, w.records) {
		out[a.ID] = a
	}
	return out
}

// apply carries out p in a random order that respects After, up to limit steps (-1:
// all). The step named fail fails, and what comes after it is skipped.
func (w *agentWorld) apply(p plan.Plan, rnd *rand.Rand, limit int, fail string) error {
	done, skipped := map[string]bool{}, map[string]bool{fail: fail != ""}
	left := slices.Clone(p.Steps)
	for n := 0; n != limit; n++ {
		ready := slices.DeleteFunc(slices.Clone(left), func(s plan.Step) bool {
			skipped[s.ID] = skipped[s.ID] || slices.ContainsFunc(s.After, func(a string) bool { return skipped[a] })
			return skipped[s.ID] || slices.ContainsFunc(s.After, func(a string) bool { return !done[a] })
		})
		if len(ready) == 0 {
			break
		}
		s := ready[rnd.IntN(len(ready))]
		left = slices.DeleteFunc(left, func(l plan.Step) bool { return l.ID == s.ID })
		before := w.agents()
		if err := w.do(s); err != nil {
			return fmt.Errorf("%s: %w", s.ID, err)
		}
		if err := w.served(before); err != nil {
			return fmt.Errorf("after %s: %w", s.ID, err)
		}
		done[s.ID] = true
	}
	if limit < 0 && fail == "" && len(left) > 0 {
		return fmt.Errorf("%d steps never became ready", len(left))
	}
	return nil
}

func (w *agentWorld) do(s plan.Step) error {
	r := w.resource(s.Target)
	switch {
	case s.Object != "":
		return fmt.Errorf("of the object %s", s.Object)
	case r != nil && len(r.Blocked) > 0:
		return fmt.Errorf("done though it is blocked")
	case r == nil && (len(w.desired.Partial) > 0 || len(w.seen) > 0) && !w.desired.Destroy:
		return fmt.Errorf("taken away though not everything is known")
	}
	switch s.Op {
	case plan.OpPrepare:
		if r == nil {
			return fmt.Errorf("prepared though nothing asks for it")
		}
		w.prepared[plan.Generation(s.Digest, s.Bound)] = true
		for in, f := range w.facts {
			if s.Bound[in.String()] == f.Value {
				f.Local = true
				w.facts[in] = f
			}
		}
		return nil
	case plan.OpRecord:
		return w.record(*s.Record)
	case plan.OpActivate, plan.OpDelete:
		if !s.OfDispatch() || (s.Op == plan.OpDelete) != (r == nil) {
			return fmt.Errorf("it is not for dispatch")
		}
		return nil
	}
	return fmt.Errorf("no TaskAgent has such a step")
}

// revisions are those of id that are recorded, the oldest first.
func (w *agentWorld) revisions(id plan.ID) []plan.Revision {
	var out []plan.Revision
	for _, rec := range w.records.Records {
		if rev, ok := rec.Revision(); ok && rev.ID == id.Canonical() {
			out = append(out, rev)
		}
	}
	slices.SortFunc(out, func(a, b plan.Revision) int { return a.Number - b.Number })
	return out
}

func (w *agentWorld) record(rec plan.Record) error {
	same := func(r plan.Record) bool { return r.ID == rec.ID && r.Kind == rec.Kind && r.Key == rec.Key }
	known := slices.ContainsFunc(w.records.Records, same)
	if rev, ok := rec.Revision(); ok && !rec.Forget {
		switch last := w.revisions(rec.ID); {
		case known:
			return fmt.Errorf("revision %s is there already", rev.Name())
		case len(w.seen) > 0:
			return fmt.Errorf("a revision that may be there already")
		case len(last) > 0 && last[len(last)-1].Number+1 != rev.Number:
			return fmt.Errorf("revision %s comes after %s", rev.Name(), last[len(last)-1].Name())
		case !w.prepared[plan.Generation(rev.Digest, rev.Inputs)]:
			return fmt.Errorf("revision %s is not prepared", rev.Name())
		case !rev.Usable():
			return fmt.Errorf("revision %s is of no use", rev.Name())
		}
	}
	if rec.Forget && !known {
		return fmt.Errorf("forgets what is not there")
	}
	w.records.Records = slices.DeleteFunc(w.records.Records, same)
	if !rec.Forget {
		w.records.Records = append(w.records.Records, rec)
	}
	return nil
}

// served: whatever took requests before takes them still, by the same revision or a
// later one, unless it is to take none.
func (w *agentWorld) served(before map[plan.ID]plan.Agent) error {
	now := w.agents()
	for id, was := range before {
		if was.Revision.Number == 0 || w.resource(id) == nil {
			continue
		}
		if is := now[id]; is.Revision.Number < was.Revision.Number {
			return fmt.Errorf("%s is served by %q, and was by %s", id, is.Revision.Name(), was.Revision.Name())
		}
	}
	return nil
}

func settleAgents(t *rapid.T, w *agentWorld, rnd *rand.Rand) {
	p := w.plan()
	checkForm(t, p)
	if err := w.apply(p, rnd, -1, ""); err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	again := w.plan()
	if backingOff(again) < backingOff(p) { // one pulled what another had to wait for
		if err := w.apply(again, rnd, -1, ""); err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		p, again = again, w.plan()
	}
	if len(again.Steps) > 0 {
		t.Fatalf("one plan\n%s\nthe next plan\n%s", p, again)
	}
	held := map[plan.ID]bool{}
	for _, c := range again.Held {
		held[c.ID] = held[c.ID] || !c.Benign
	}
	now := w.agents()
	for _, r := range w.desired.Resources {
		if held[r.ID] || w.desired.Destroy {
			continue
		}
		a := now[r.ID]
		image, bound := a.Revision.Image()
		f := w.facts[plan.Input{Kind: plan.InputImage, Name: image}]
		switch {
		case a.Revision.Digest != r.Spec.Digest():
			t.Fatalf("%s is served by %s, which is another\n%s", r.ID, a.Revision.Name(), p)
		case f.State == plan.FactKnown && bound != f.Value:
			t.Fatalf("%s is served with %s=%s\n%s", r.ID, image, bound, p)
		case f.State == plan.FactKnown && !f.Local:
			t.Fatalf("the image of %s is not here\n%s", r.ID, p)
		case !maps.Equal(a.Data(), r.Dispatch.Data()):
			t.Fatalf("%s: %s", r.ID, cmp.Diff(r.Dispatch.Data(), a.Data()))
		}
		if n := len(w.revisions(r.ID)); n > 10 {
			t.Fatalf("%d revisions of %s are kept", n, r.ID)
		}
	}
	for id := range now {
		if w.resource(id) == nil && len(w.seen)+len(w.desired.Partial) == 0 && !backedOffFor(w, id) {
			t.Fatalf("%s is still there\n%s", id, p)
		}
	}
}

// backingOff is how many changes wait because they failed lately.
func backingOff(p plan.Plan) (n int) {
	for _, c := range p.Held {
		if slices.ContainsFunc(c.Reasons, func(r plan.Reason) bool { return r.Code == plan.CodeBackoff }) {
			n++
		}
	}
	return n
}

func backedOffFor(w *agentWorld, id plan.ID) bool {
	return slices.ContainsFunc(w.backoff, func(b plan.Backoff) bool { return b.ID == id && b.Digest == "" })
}

func TestRevisionsConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rnd := genAgentWorld(t), drawRand(t)
		settleAgents(t, w, rnd)
		g := &gen{T: t}
		for i := range w.desired.Resources {
			r := &w.desired.Resources[i]
			c, d := *r.Spec.Container, *r.Dispatch
			if g.oneIn(3, "edit") {
				c.Env = append(slices.Clone(c.Env), plan.EnvVar{Name: "MORE"})
			}
			if g.oneIn(3, "set") {
				d.Timeout++
			}
			r.Spec.Container, r.Dispatch = &c, &d
		}
		if g.oneIn(3, "move") {
			w.facts[plan.Input{Kind: plan.InputImage, Name: "img:1"}] = plan.Fact{State: plan.FactKnown, Value: "sha256:three"}
		}
		w.seen, w.backoff = nil, nil
		settleAgents(t, w, rnd)
	})
}

func TestRevisionsConvergeAfterACrashBeforeEachStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, rnd := genAgentWorld(t), drawRand(t)
		p := start.plan()
		for n := range len(p.Steps) {
			w := start.clone()
			if err := w.apply(p, rnd, n, ""); err != nil {
				t.Fatalf("%v\n%s", err, p)
			}
			settleAgents(t, w, rnd)
		}
	})
}

func TestRevisionsConvergeAfterEachFailingStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, rnd := genAgentWorld(t), drawRand(t)
		p := start.plan()
		for _, s := range p.Steps {
			w := start.clone()
			if err := w.apply(p, rnd, -1, s.ID); err != nil {
				t.Fatalf("with %s failing: %v\n%s", s.ID, err, p)
			}
			settleAgents(t, w, rnd)
		}
	})
}

func TestRevisionPlanIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, rnd := genAgentWorld(t), drawRand(t)
		want := w.plan()
		o := w.clone()
		o.records.Records = shuffled(rnd, w.records.Records)
		o.desired.Resources = shuffled(rnd, w.desired.Resources)
		if diff := cmp.Diff(want, o.plan()); diff != "" {
			t.Fatalf("the order of the input shows (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(plan.Agents(w.desired, w.records), plan.Agents(o.desired, o.records)); diff != "" {
			t.Fatalf("the order of the input shows (-want +got):\n%s", diff)
		}
	})
}
