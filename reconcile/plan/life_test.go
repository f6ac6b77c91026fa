// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// TestImageLabels: the labels of an image say all that those of other objects do,
// and make nothing that is made of it one of ours.
func TestImageLabels(t *testing.T) {
	o := plan.Object{
		ID: plan.ID{Kind: plan.Image, Name: "a"}, Workspace: "acme", Root: testRoot, Owner: testOwner, Role: plan.RoleImage,
		Digest: "v1:1", Inputs: map[string]string{"image:img:1": "sha256:1"}, Revision: "abc", Version: "1", Keep: true,
	}
	l := o.ImageLabels()
	got, ok := plan.ParseImageLabels(l)
	if diff := cmp.Diff(o, got); !ok || diff != "" {
		t.Errorf("read again (%t, -want +got):\n%s", ok, diff)
	}
	if _, ok := plan.ParseLabels(l); ok {
		t.Error("a container with these labels is taken for ours")
	}
	for k := range l {
		if strings.HasPrefix(k, "reconcile.") {
			t.Errorf("label %s is one of a container", k)
		}
	}
	if l[plan.ImageLabel(plan.LabelOwner)] != testOwner {
		t.Errorf("labels %v lack the owner", l)
	}
	if _, ok := plan.ParseImageLabels(o.Labels()); ok {
		t.Error("an image with the labels of a container is taken for ours")
	}
	o.ID.Kind, o.Role = plan.Manifest, plan.RoleInstance
	if _, ok := plan.ParseImageLabels(o.ImageLabels()); ok {
		t.Error("an image that says that it is an instance is taken for ours")
	}
}

// TestHookApprovedByKey: the approval of a hook is one grant among the others, as
// the record of a host has it.
func TestHookApprovedByKey(t *testing.T) {
	s := parseScene(t, "manifest/a preinstall=sha256:p1:locked", "fact image:img:1 known sha256:one", "")
	s.desired.Resources[0].Hooks[0].Digest = "sha256:p1"
	s.desired.Resources[0].Hooks[0].Locked = true
	var key string
	for _, g := range plan.Standing(s.desired, plan.Records{}) {
		if g.Kind == plan.GrantHostHook {
			key = g.Key
		}
	}
	if key != "host-hook sha256:p1" {
		t.Fatalf("key %q of the hook", key)
	}
	for keys, want := range map[string]int{"": 1, key: 0, "host-hook sha256:p0": 1} {
		s.desired.Approvals.Keys = map[plan.ID][]string{manifest("a"): {keys}}
		p := plan.New(s.desired, s.observed, s.options)
		if len(p.Held) != want {
			t.Errorf("with %q approved %d are held, want %d\n%s", keys, len(p.Held), want, p)
		}
	}
}

// TestHeldHookShowsItself: whoever is to approve a hook sees it, and what was
// approved before.
func TestHeldHookShowsItself(t *testing.T) {
	s := parseScene(t, "approve manifest/a p0 make tools\nmanifest/a preinstall=p1:locked", "fact image:img:1 known sha256:one", "")
	p := plan.New(s.desired, s.observed, s.options)
	if len(p.Held) != 1 || p.Held[0].Hook == nil {
		t.Fatalf("no hook is held\n%s", p)
	}
	h := p.Held[0].Hook
	if diff := cmp.Diff([]string{"make tools"}, h.Before); h.Approved || h.Digest != "p1" || len(h.Commands) == 0 || diff != "" {
		t.Errorf("held hook %+v", h)
	}
}

// TestAssumedHooksHaveRun: between two desired states only what differs is run.
func TestAssumedHooksHaveRun(t *testing.T) {
	const same = "manifest/same preinstall=p1:copy postinstall=q1 update=u1@aaaa code=t1\n"
	old := parseScene(t, same+`
		image/a
		manifest/a installed needs=image/a:exists:bound preinstall=p1 postinstall=q1 update=u1@aaaa`, "", "")
	now := parseScene(t, same+`
		image/a install=other
		manifest/a installed needs=image/a:exists:bound preinstall=p2 postinstall=q1 update=u1@bbbb`, "", "")
	facts := map[plan.Input]plan.Fact{{Kind: plan.InputImage, Name: "img:1"}: {State: plan.FactKnown, Value: "sha256:1"}}
	if p := plan.New(old.desired, plan.Assume(old.desired, facts), old.options); len(p.Steps) > 0 {
		t.Errorf("nothing differs, and yet\n%s", p)
	}
	p := plan.New(now.desired, plan.Assume(old.desired, facts), now.options)
	var got []string
	for _, s := range p.Steps {
		if s.Op == plan.OpHost || s.Op == plan.OpExec || s.Target.Kind == plan.Image {
			got = append(got, s.ID)
		}
	}
	want := []string{
		"host:manifest/a#preinstall", "create:image/a", "exec:manifest/a#postinstall", "exec:manifest/a#update", "delete:image/a@assumed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s\n%s", diff, p)
	}
}

// TestSavedPlanSeesHooksAndHealth: what became of a hook, or of a container's
// health, since a plan was saved has moved.
func TestSavedPlanSeesHooksAndHealth(t *testing.T) {
	const desired = "manifest/a preinstall=p1 postinstall=q1 liveness=live.sh level=debug"
	const observed = "fact image:img:1 known sha256:one\nran manifest/a p1 failed\nobject manifest/a h1 running level=info started=60s live=passing:9s\n"
	was := parseScene(t, desired, observed, "")
	p := plan.New(was.desired, was.observed, was.options)
	s := reread(t, plan.Save(was.desired, was.observed, was.options, p, ""))
	narrow := func(now scene) []plan.Moved {
		_, moved := s.Narrow(now.desired, now.observed, plan.New(now.desired, now.observed, now.options), "")
		return moved
	}
	if moved := narrow(was); len(moved) > 0 {
		t.Errorf("nothing moved, and yet %v", moved)
	}
	for field, now := range map[string]scene{
		"manifest/a hook on the host": parseScene(t, desired, strings.Replace(observed, "failed", "done", 1), ""),
		"manifest/a h1 liveness":      parseScene(t, desired, strings.Replace(observed, "passing", "failing", 1), ""),
		"manifest/a desired":          parseScene(t, strings.Replace(desired, "q1", "q2", 1), observed, ""),
	} {
		moved := narrow(now)
		if len(moved) == 0 || moved[0].Field != field {
			t.Errorf("%s: %v", field, moved)
		}
	}
}
