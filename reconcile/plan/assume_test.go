// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

func TestNothingToDoOnTheAssumedHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, rapid.Bool().Draw(t, "healthy"))
		w.desired.Destroy = false
		p := plan.New(w.desired, plan.Assume(w.desired, w.facts), plan.Options{Now: testNow})
		if len(p.Steps)+len(p.Changes)+len(p.Drift) > 0 {
			t.Fatalf("a host on which the workspace has converged is not as it should be\n%s", p)
		}
	})
}

func TestAssumedHostIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, false)
		first := plan.Assume(w.desired, w.facts)
		d := w.desired
		d.Resources = slices.Clone(d.Resources)
		slices.Reverse(d.Resources)
		if diff := cmp.Diff(first, plan.Assume(d, w.facts)); diff != "" {
			t.Fatalf("the order of resources matters (-first +reversed)\n%s", diff)
		}
	})
}

// TestAgainstAnother compares two desired states by a third way: what was
// edited, added and removed, and what is bound to it.
func TestAgainstAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		w.desired.Destroy = false
		g := &gen{T: t, healthy: true, w: w, names: map[string]bool{}}
		old := w.desired
		now := old
		now.Resources = nil
		want := map[plan.ID]plan.Action{}
		backwards := slices.Clone(old.Resources) // images after their instances
		slices.Reverse(backwards)
		for _, r := range backwards {
			support := r.ID.Kind.Role() != plan.RoleInstance
			if want[manifest(r.ID.Name)] == plan.ActionDelete && r.ID.Kind == plan.Image {
				want[r.ID] = plan.ActionDelete
				continue
			}
			if !support && g.oneIn(5, "remove "+r.Name) {
				want[r.ID] = plan.ActionDelete
				continue
			}
			if !support && r.Want != plan.WantStopped && g.oneIn(4, "edit "+r.Name) { // what is stopped is not made anew
				c := *r.Spec.Container
				c.WorkDir = "/edited"
				r.Spec.Container = &c
				want[r.ID] = plan.ActionReplace
			}
			now.Resources = append(now.Resources, r)
		}
		if g.oneIn(2, "add") {
			r := plan.Resource{ID: manifest("added"), Name: "acme-added", Origin: "added.yaml:1:1", Spec: g.spec(0), Want: plan.WantRunning}
			now.Resources = append(now.Resources, r)
			want[r.ID] = plan.ActionCreate
		}
		for changed := true; changed; { // what is bound to a replaced one follows it
			changed = false
			for i, r := range now.Resources {
				r.Needs = slices.DeleteFunc(slices.Clone(r.Needs), func(n plan.Need) bool { return want[n.On] == plan.ActionDelete })
				now.Resources[i] = r
				for _, n := range r.Needs {
					if n.Bound && want[n.On] == plan.ActionReplace && want[r.ID] == "" && r.Want != plan.WantStopped {
						want[r.ID], changed = plan.ActionReplace, true
					}
				}
			}
		}
		p := plan.New(now, plan.Assume(old, w.facts), plan.Options{Now: testNow, AllowMassDelete: true})
		got := map[plan.ID]plan.Action{}
		for _, c := range p.Changes {
			got[c.ID] = c.Actions[0]
			if c.Actions[0] == plan.ActionReplace && (c.Before == nil || c.After == nil) {
				t.Fatalf("%s is replaced without a spec before and after\n%s", c.ID, p)
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("the plan changes %v, want %v\n%s", got, want, p)
		}
		if len(p.Drift) > 0 {
			t.Fatalf("there is drift between two desired states\n%s", p)
		}
	})
}

func TestAssume(t *testing.T) {
	img := plan.Input{Kind: plan.InputImage, Name: "img:1"}
	res := func(name string, r plan.Resource) plan.Resource {
		r.ID, r.Name, r.Origin = manifest(name), "acme-"+name, name+".yaml:1:1"
		r.Spec.Container = &plan.ContainerSpec{Image: "img:1"}
		return r
	}
	old := plan.Desired{Workspace: "acme", Root: testRoot, Resources: []plan.Resource{
		res("a", plan.Resource{Want: plan.WantRunning}),
		res("b", plan.Resource{Want: plan.WantPrepared}),
		res("c", plan.Resource{Want: plan.WantOnce}),
		res("d", plan.Resource{Want: plan.WantRunning, Blocked: []plan.Reason{{Code: plan.CodeInvalid, Text: "no", Origin: "d.yaml:1:1"}}}),
	}}
	facts := map[plan.Input]plan.Fact{img: {State: plan.FactKnown, Value: "sha256:1"}}
	o := plan.Assume(old, facts)
	var states []plan.State
	for _, obj := range o.Objects {
		states = append(states, obj.State)
		if obj.Inputs[img.String()] != "sha256:1" {
			t.Errorf("%s is bound to %v", obj.ID, obj.Inputs)
		}
		if o.Specs[obj.Digest] == nil {
			t.Errorf("the spec of %s is not known", obj.ID)
		}
	}
	if want := []plan.State{plan.StateRunning, plan.StateCreated, plan.StateExited, plan.StateRunning}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}

	old.Partial = []plan.Reason{{Code: plan.CodePartial, Text: "repo lib cannot be read", Origin: "workspace.yaml:4:5"}}
	now := old
	now.Partial, now.Resources = nil, old.Resources[:3]
	p := plan.New(now, plan.Assume(old, facts), plan.Options{Now: testNow})
	if p.Complete || p.ExitCode(true) != plan.ExitFault || len(p.Changes) > 0 {
		t.Errorf("what was not known of the old side was taken for absent\n%s", p)
	}
}

// A commit, whose hooks on the host run in copies, and a folder with the same
// hooks differ in nothing that has to be run.
func TestAssumedHooksOfTheHost(t *testing.T) {
	with := func(digest, tree string, inCopy bool) plan.Desired {
		return plan.Desired{Workspace: "acme", Root: testRoot, Resources: []plan.Resource{{
			ID: manifest("a"), Name: "acme-a", Origin: "a.yaml:1:1", Want: plan.WantRunning,
			Spec: plan.Spec{Container: &plan.ContainerSpec{
				Image: "img:1", Mounts: []plan.Mount{{Type: plan.MountCopy, Target: "/code", TreeHash: tree}},
			}},
			Hooks: []plan.Hook{{Name: plan.HookPreinstall, Commands: []string{"x"}, Digest: digest, InCopy: inCopy}},
		}}}
	}
	tests := map[string]struct {
		old, now plan.Desired
		want     bool
	}{
		"a folder and its commit":        {with("sha256:1", "aa", true), with("sha256:1", "aa", false), false},
		"a folder with other files":      {with("sha256:1", "aa", true), with("sha256:1", "bb", false), false},
		"a commit and a folder":          {with("sha256:1", "aa", false), with("sha256:1", "aa", true), false},
		"two commits":                    {with("sha256:1", "aa", true), with("sha256:1", "bb", true), true},
		"two folders":                    {with("sha256:1", "aa", false), with("sha256:1", "bb", false), false},
		"another hook than the commit's": {with("sha256:1", "aa", true), with("sha256:2", "aa", false), true},
		"another hook than the folder's": {with("sha256:1", "aa", false), with("sha256:2", "aa", true), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := plan.New(tt.now, plan.Assume(tt.old, nil), plan.Options{Now: testNow})
			got := slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Op == plan.OpHost })
			if got != tt.want {
				t.Errorf("its hook runs: got %v, want %v\n%s", got, tt.want, p)
			}
		})
	}
}
