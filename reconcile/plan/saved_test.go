// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

// reread is what a file keeps of s.
func reread(t interface{ Fatal(...any) }, s plan.Saved) plan.Saved {
	b, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan.ParseSaved(b)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// noStreak leaves out what changes while something runs on.
var noStreak = cmpopts.IgnoreMapEntries(func(key, _ string) bool { return key == "streak" })

// TestSavedPlanIsThePlan: where nothing moved, what was saved is done, all of it
// and nothing else, however late.
func TestSavedPlanIsThePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, false)
		w.opts.Supervise, w.backoff = false, nil // these wait for times
		p := w.plan()
		s := reread(t, plan.Save(w.desired, w.observe(), w.opts, p, "sha256:1"))
		opts := s.Options.At(testNow.Add(time.Hour))
		late := plan.New(w.desired, w.observe(), opts)
		got, moved := s.Narrow(w.desired, w.observe(), late, "sha256:1")
		if len(moved) > 0 {
			t.Fatalf("nothing moved, and yet %v\n%s", moved, p)
		}
		if diff := cmp.Diff(p.Steps, got.Steps, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(plan.Record{}, "At"), noStreak); diff != "" {
			t.Fatalf("other steps are done (-saved +done)\n%s", diff)
		}
		if diff := cmp.Diff(p.Summary(), got.Summary(), cmpopts.IgnoreFields(plan.Summary{}, "Drift")); diff != "" {
			t.Fatalf("other changes are told (-saved +done)\n%s", diff)
		}
	})
}

// TestSavedPlanLeavesTheRest: what happens to other resources meanwhile is not
// mended with a saved plan, and does not hinder it unless it is in its way.
func TestSavedPlanLeavesTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		p := w.plan()
		s := reread(t, plan.Save(w.desired, w.observe(), w.opts, p, ""))
		touched := map[plan.ID]bool{}
		for _, st := range p.Steps {
			touched[st.Target] = true
		}
		later := w.clone()
		hit := false
		for i := range later.objects {
			o := &later.objects[i]
			if o.Role == plan.RoleInstance && rapid.IntRange(1, 4).Draw(t, "break "+o.Handle) == 1 {
				o.State, o.ExitCode = plan.StateBroken, 3
				hit = hit || touched[o.ID] && w.object(o.ID, o.Handle).State != plan.StateBroken
			}
		}
		got, moved := s.Narrow(later.desired, later.observe(), later.plan(), "")
		if hit && len(moved) == 0 {
			t.Fatalf("an object of the plan broke, and it is done all the same\n%s", p)
		}
		for _, st := range got.Steps {
			if !touched[st.Target] {
				t.Fatalf("%s is done, which was not saved", st.ID)
			}
		}
		if len(moved) == 0 && len(got.Steps) != len(p.Steps) {
			t.Fatalf("%d steps were saved, %d are done", len(p.Steps), len(got.Steps))
		}
	})
}

// savedWorld has a plan that replaces web, whose container it stops.
func savedWorld() *world {
	img := plan.Input{Kind: plan.InputImage, Name: "img:1"}
	sec := plan.Input{Kind: plan.InputSecret, Name: "secret:token"}
	spec := func(level string) plan.Spec {
		return plan.Spec{Container: &plan.ContainerSpec{Image: "img:1", Env: []plan.EnvVar{
			{Name: "LEVEL", Value: level}, {Name: "TOKEN", Secret: "secret:token"},
		}}}
	}
	res := func(name, level string) plan.Resource {
		return plan.Resource{ID: manifest(name), Name: "acme-" + name, Origin: name + ".yaml:1:1", Spec: spec(level), Want: plan.WantRunning}
	}
	obj := func(name string) plan.Object {
		return plan.Object{
			ID: manifest(name), Handle: "0123456789abcdef-" + name, Name: "acme-" + name, Workspace: "acme", Root: testRoot, Owner: testOwner,
			Role: plan.RoleInstance, Digest: spec("info").Digest(), State: plan.StateRunning,
			Inputs: map[string]string{img.String(): "sha256:1", sec.String(): "key:1"},
		}
	}
	w := &world{
		desired: plan.Desired{Workspace: "acme", Root: testRoot, Revision: "one", Source: "workspace.yaml:1:1", Resources: []plan.Resource{
			res("store", "info"), res("web", "debug"),
		}},
		objects: []plan.Object{obj("store"), obj("web")},
		facts: map[plan.Input]plan.Fact{
			img: {State: plan.FactKnown, Value: "sha256:1"}, sec: {State: plan.FactKnown, Value: "key:1"},
		},
		specs:   map[string]plan.Spec{spec("info").Digest(): spec("info")},
		records: plan.Records{Owner: testOwner},
		opts:    plan.Options{Now: testNow},
	}
	return w
}

func TestMoved(t *testing.T) {
	fact := func(w *world, kind plan.InputKind, name string, f plan.Fact) {
		in := plan.Input{Kind: kind, Name: name}
		w.facts = map[plan.Input]plan.Fact{in: f}
		for k, v := range savedWorld().facts {
			if k != in {
				w.facts[k] = v
			}
		}
	}
	edit := func(w *world, i int, level string) {
		r := &w.desired.Resources[i]
		c := *r.Spec.Container
		c.Env = slices.Clone(c.Env)
		c.Env[0].Value = level
		r.Spec.Container = &c
	}
	for name, tt := range map[string]struct {
		change func(w *world)
		want   []string
	}{
		"nothing":  {func(*world) {}, nil},
		"revision": {func(w *world) { w.desired.Revision = "two" }, []string{"revision: one → two ()"}},
		"field": {func(w *world) { edit(w, 1, "warn") }, []string{
			`manifest/web LEVEL: debug → warn (web.yaml:1:1)`,
		}},
		"another resource's spec": {func(w *world) { edit(w, 0, "warn") }, []string{
			`manifest/store desired: sha256:… → sha256:… (store.yaml:1:1)`,
		}},
		"removed": {func(w *world) { w.desired.Resources = w.desired.Resources[1:] }, []string{
			`manifest/store desired: sha256:… → absent (workspace.yaml:1:1)`,
		}},
		"partial": {func(w *world) {
			w.desired.Partial = []plan.Reason{{Code: plan.CodePartial, Text: "x", Origin: "y.yaml:1:1"}}
		}, []string{"what is known of the workspace: sha256:… → sha256:… (workspace.yaml:1:1)"}},
		"restart rule": {func(w *world) { w.desired.Resources[1].Restart.Max = 3 }, []string{
			`manifest/web desired: sha256:… → sha256:… (web.yaml:1:1)`,
		}},
		"stopped": {func(w *world) { w.objects[1].State, w.objects[1].ExitCode = plan.StateExited, 137 }, []string{
			"manifest/web 0123456789ab state: running → exited with 137 (web.yaml:1:1)",
		}},
		"gone": {func(w *world) { w.objects = w.objects[:1] }, []string{
			"manifest/web 0123456789ab: running → gone (web.yaml:1:1)",
		}},
		"second": {func(w *world) {
			o := w.objects[1]
			o.Handle, o.Name, o.State = "second", "acme-web-2", plan.StateCreated
			w.objects = append(w.objects, o)
		}, []string{"manifest/web second: absent → created (web.yaml:1:1)"}},
		"renamed": {func(w *world) { w.objects[1].Name = "mine" }, []string{
			"manifest/web 0123456789ab name: acme-web → mine (web.yaml:1:1)",
		}},
		"kept": {func(w *world) { w.objects[1].Keep = true }, []string{
			"manifest/web 0123456789ab labels: as saved → changed (web.yaml:1:1)",
		}},
		"drifted": {func(w *world) { w.objects[1].Drift = []plan.Reason{{Code: plan.CodeDetached, Text: "x"}} }, []string{
			"manifest/web 0123456789ab drift: none → detached (web.yaml:1:1)",
		}},
		"what the plan does not touch": {func(w *world) { w.objects[0].State = plan.StateExited }, nil},
		"image moved": {func(w *world) { fact(w, plan.InputImage, "img:1", plan.Fact{State: plan.FactKnown, Value: "sha256:2"}) }, []string{
			"image img:1: sha256:1 → sha256:2 ()",
		}},
		"image gone": {func(w *world) { fact(w, plan.InputImage, "img:1", plan.Fact{State: plan.FactMissing}) }, []string{
			"image img:1: sha256:1 → missing ()",
		}},
		"secret changed": {func(w *world) {
			fact(w, plan.InputSecret, "secret:token", plan.Fact{State: plan.FactKnown, Value: "key:2"})
		}, []string{"secret token: as saved → changed ()"}},
		"secret gone": {func(w *world) { fact(w, plan.InputSecret, "secret:token", plan.Fact{State: plan.FactMissing}) }, []string{
			"secret token: known → missing ()",
		}},
		"name taken": {func(w *world) {
			w.foreign = []plan.Object{{ID: plan.ID{Kind: plan.Manifest}, Name: "acme-web-next", Handle: "theirs"}}
		}, []string{"manifest/web step create:manifest/web: planned → planned otherwise (web.yaml:1:1)"}},
		"run from elsewhere": {func(w *world) { w.objects[0].Root = "/elsewhere" }, []string{
			"step", "step", "step", "step", "step", "step",
		}},
	} {
		w := savedWorld()
		s := reread(t, plan.Save(w.desired, w.observe(), w.opts, w.plan(), ""))
		tt.change(w)
		_, moved := s.Narrow(w.desired, w.observe(), w.plan(), "")
		var got []string
		for _, m := range moved {
			if strings.Contains(m.Field, " step ") && len(tt.want) > 1 {
				if !strings.HasPrefix(m.Is, "refused: workspace acme is run from /elsewhere") {
					t.Errorf("%s: %s", name, m)
				}
				got = append(got, "step")
				continue
			}
			text := m.Field + ": " + dots(m.Was) + " → " + dots(m.Is) + " (" + m.Origin + ")"
			got = append(got, strings.ReplaceAll(strings.ReplaceAll(text, `"`, ""), "env.", ""))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}

	w := savedWorld()
	s := plan.Save(w.desired, w.observe(), w.opts, w.plan(), "")
	_, moved := s.Narrow(w.desired, w.observe(), w.plan(), "sha256:0123456789abcdef")
	want := []plan.Moved{{Field: "workspace.lock", Was: "none", Is: "sha256:0123456789ab", Origin: "workspace.lock:1:1"}}
	if diff := cmp.Diff(want, moved); diff != "" {
		t.Errorf("lock file (-want +got)\n%s", diff)
	}
}

// dots leaves out the digits of a digest that no test can know.
func dots(s string) string {
	if hex, ok := strings.CutPrefix(s, "sha256:"); ok && len(hex) == 12 {
		return "sha256:…"
	}
	return s
}

// TestSavedBeforeTheHostHadAKey: facts that could not be known are bound when
// they can be.
func TestSavedBeforeTheHostHadAKey(t *testing.T) {
	w := savedWorld()
	known := w.facts
	w.facts = nil
	p := w.plan()
	s := reread(t, plan.Save(w.desired, w.observe(), w.opts, p, ""))
	w.facts = known
	got, moved := s.Narrow(w.desired, w.observe(), w.plan(), "")
	if len(moved) > 0 {
		t.Fatalf("moved: %v", moved)
	}
	i := slices.IndexFunc(got.Steps, func(st plan.Step) bool { return st.Op == plan.OpCreate })
	if i < 0 || got.Steps[i].Bound["secret:secret:token"] != "key:1" {
		t.Errorf("what is known by now is not bound\n%s", got)
	}
}

func TestParseSavedRefuses(t *testing.T) {
	for _, src := range []string{``, `{}`, `[]`, `{"workspace":"a","root":"/","more":1}`, `{"workspace":"a","root":"/"}{}`} {
		if s, err := plan.ParseSaved([]byte(src)); err == nil {
			t.Errorf("%q was read as %+v", src, s)
		}
	}
}

// TestSavedWithWhatWasHere: an image of this host stood in for one that could not
// be looked up; that there is another by now is another plan.
func TestSavedWithWhatWasHere(t *testing.T) {
	img := plan.Input{Kind: plan.InputImage, Name: "img:1"}
	w := savedWorld()
	w.facts = map[plan.Input]plan.Fact{img: {State: plan.FactUnknown, Value: "sha256:local"}}
	s := reread(t, plan.Save(w.desired, w.observe(), w.opts, w.plan(), ""))
	w.facts = map[plan.Input]plan.Fact{img: {State: plan.FactKnown, Value: "sha256:1"}}
	if _, moved := s.Narrow(w.desired, w.observe(), w.plan(), ""); len(moved) == 0 {
		t.Error("another image is bound than was saved, and nothing is said")
	}
}
