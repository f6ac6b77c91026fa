// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// hookLeftover makes the container that a killed run of an install hook leaves, or
// one that only looks like it.
func hookLeftover(t *testing.T, name, image string, labels, annotations map[string]string) string {
	t.Helper()
	conn := podmantest.Conn(t)
	s := specgen.NewSpecGenerator(image, false)
	s.Name, s.Labels, s.Annotations = name, labels, annotations
	s.Command = []string{"/bin/tool", "ignoreterm"}
	s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
	c, err := containers.CreateWithSpec(conn, s, nil)
	must(t, err)
	must(t, containers.Start(conn, c.ID, nil))
	t.Cleanup(func() {
		opt := new(containers.RemoveOptions).WithForce(true).WithIgnore(true).WithTimeout(0)
		_, _ = containers.Remove(context.WithoutCancel(conn), c.ID, opt)
	})
	return c.ID
}

// TestInstallInterrupted: what a killed run left is ended and removed, and the hook
// is run again. What only looks like that is left alone.
func TestInstallInterrupted(t *testing.T) {
	b := newHookBed(t, nil)
	base := shell(t)
	_, id := b.agent(t, "a", base, nil, "echo once >> /code/count; cp /code/count /tmp/count")
	obj := plan.Object{
		ID: id, Workspace: b.d.Workspace, Root: b.d.Root, Owner: "owner-1", Role: plan.RoleImage,
		Digest: b.resource(id).Spec.Digest(), Inputs: b.step(t, id).Bound,
	}
	ours := map[string]string{"reconcile.hook": id.String()}
	left := hookLeftover(t, b.d.Workspace+"-hook-a", base, obj.ImageLabels(), ours)
	inherits := hookLeftover(t, b.d.Workspace+"-hook-b", base, obj.ImageLabels(), nil)
	obj.Root = "/elsewhere"
	elsewhere := hookLeftover(t, b.d.Workspace+"-hook-c", base, obj.ImageLabels(), ours)
	obj.Root, obj.Owner = b.d.Root, "owner-2"
	other := hookLeftover(t, b.d.Workspace+"-hook-d", base, obj.ImageLabels(), ours)

	b.create(t, id)
	for _, tt := range []struct {
		name, id string
		stays    bool
	}{{"left", left, false}, {"inherits labels", inherits, true}, {"another root", elsewhere, true}, {"another owner", other, true}} {
		stays, err := containers.Exists(podmantest.Conn(t), tt.id, nil)
		must(t, err)
		if stays != tt.stays {
			t.Errorf("%s: exists %v, want %v", tt.name, stays, tt.stays)
		}
	}

	// An agent may be called as a hook's container is.
	b.want("hook-e", plan.ContainerSpec{Image: base, Main: tool("pause")})
	e, image := b.agent(t, "e", base, nil, "true")
	b.create(t, plan.ID{Kind: plan.Manifest, Name: "hook-e"})
	b.create(t, image)
	b.drop(e)
}

// TestInstallCodeLost: what install wrote beside its image may go without it; then
// it is made again, and the container that has the older one is told.
func TestInstallCodeLost(t *testing.T) {
	b := newHookBed(t, nil)
	instance, id := b.agent(t, "a", shell(t), func(c *plan.ContainerSpec) { c.Main = tool("seq", "cat", "/code/module", "--", "pause") }, "date +%N > /code/module")
	first := b.create(t, id)
	obj := b.do(t, b.bind(t, instance, first))
	b.do(t, on(plan.OpStart, obj))

	code := ""
	for _, m := range b.resource(instance).Spec.Container.Mounts {
		if m.Type == plan.MountCopy {
			code = filepath.Join(m.Source, m.TreeHash[:12])
		}
	}
	must(t, os.RemoveAll(code))
	missing := func(when string, want bool) {
		t.Helper()
		got := b.object(t, id)
		if lost := slices.ContainsFunc(got.Drift, func(r plan.Reason) bool { return r.Code == plan.CodeMissing }); lost != want {
			t.Errorf("%s: drift %v, want missing: %v", when, got.Drift, want)
		}
	}
	missing("removed", true)
	b.do(t, on(plan.OpPrepare, obj))
	missing("copied anew", true)

	second := b.create(t, id)
	if second.Handle == first.Handle {
		t.Fatal("it was not made again")
	}
	var states []string
	for _, o := range b.observe(t).Objects {
		switch {
		case o.ID == id:
			states = append(states, string(o.State)+" "+o.Handle)
			if len(o.Drift) > 0 {
				t.Errorf("drift of %s: %v", o.Handle, o.Drift)
			}
		case o.Handle == obj.Handle:
			if len(o.Drift) != 1 || o.Drift[0].Code != plan.CodeOtherImage {
				t.Errorf("drift of the container: %v, want other-image", o.Drift)
			}
		}
	}
	slices.Sort(states)
	if want := []string{"broken " + first.Handle, "exists " + second.Handle}; !slices.Equal(states, want) {
		t.Errorf("images %v, want %v", states, want)
	}
	b.do(t, on(plan.OpDelete, obj))
	if left, err := os.ReadDir(filepath.Dir(code)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is left of the copies, %v", left, err)
	}
	b.do(t, on(plan.OpDelete, plan.Object{ID: id, Handle: first.Handle, Name: first.Name}))
	if got := b.object(t, id); got.Handle != second.Handle {
		t.Errorf("left is %s, want %s", got.Handle, second.Handle)
	}
}

// TestDerivedImageDelete: a derived image goes unless somebody uses it; what
// others made of it, or call it, is theirs.
func TestDerivedImageDelete(t *testing.T) {
	b := newHookBed(t, nil)
	instance, id := b.agent(t, "a", shell(t), nil, "echo x > /tmp/x")
	made := b.create(t, id)
	obj := b.do(t, b.bind(t, instance, made))
	conn := podmantest.Conn(t)
	committed, err := containers.Commit(conn, obj.Handle, new(containers.CommitOptions).WithRepo("localhost/their-own").WithTag("1"))
	must(t, err)
	t.Cleanup(func() {
		_, _ = images.Remove(context.WithoutCancel(conn), []string{"localhost/their-own:1"}, new(images.RemoveOptions).WithForce(true))
	})
	b.do(t, on(plan.OpDelete, obj))
	theirs := foreign(t, "user-of-"+b.d.Workspace, strings.TrimPrefix(made.Handle, "sha256:"), nil)

	got := b.object(t, id)
	if got.UsedBy != "user-of-"+b.d.Workspace {
		t.Errorf("used by %q", got.UsedBy)
	}
	b.refuse(t, on(plan.OpDelete, got), "stays, since a container uses it")
	if again := b.object(t, id); again.Handle != made.Handle {
		t.Errorf("%s is there, want %s", again.Handle, made.Handle)
	}
	_, err = containers.Remove(conn, theirs, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
	must(t, err)
	if got := b.object(t, id); got.UsedBy != "" {
		t.Errorf("used by %q, want nobody", got.UsedBy)
	}

	tag := plan.Generation(made.Digest, made.Inputs)[:12]
	must(t, images.Tag(conn, strings.TrimPrefix(made.Handle, "sha256:"), tag, "localhost/their-name", nil))
	t.Cleanup(func() {
		_, _ = images.Remove(context.WithoutCancel(conn), []string{"localhost/their-name:" + tag}, nil)
	})
	other := on(plan.OpDelete, got)
	other.Target = plan.ID{Kind: plan.Image, Name: "b"}
	b.refuse(t, other, "is image/a, not image/b")
	b.do(t, on(plan.OpDelete, got))
	b.do(t, on(plan.OpDelete, got))
	for _, o := range b.observe(t).Objects {
		t.Errorf("%s %s is left", o.Name, o.Handle)
	}
	if there, err := images.Exists(conn, committed.ID, nil); err != nil || !there {
		t.Errorf("the image of somebody else: exists %v, %v", there, err)
	}
	if there, err := images.Exists(conn, "localhost/their-name:"+tag, nil); err != nil || !there {
		t.Errorf("what somebody else calls it: exists %v, %v", there, err)
	}
	if there, err := images.Exists(conn, shell(t), nil); err != nil || !there {
		t.Errorf("the base: exists %v, %v", there, err)
	}
}

// TestInstalledGone: a container cannot be made of an image that is not there.
func TestInstalledGone(t *testing.T) {
	b := newHookBed(t, nil)
	instance, id := b.agent(t, "a", shell(t), nil, "true")
	b.refuse(t, b.step(t, instance), "image/a, which it is made of, is not there")
	made := b.create(t, id)
	s := b.bind(t, instance, made)
	b.do(t, on(plan.OpDelete, made))
	b.refuse(t, s, "is not on this host any more")
}
