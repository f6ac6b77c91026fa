// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/google/go-cmp/cmp"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// version is an image that differs from others by a file.
func version(text string) podmantest.ImageOptions {
	return podmantest.ImageOptions{Files: map[string]string{"/version": text}}
}

// forgetful makes every pass look digests up anew.
func forgetful(opt *podman.Options) { opt.Digests = &podman.DigestMemory{TTL: time.Nanosecond} }

func TestPullByDigest(t *testing.T) {
	reg := podmantest.Registry(t)
	ref, digest := reg.Push(t, "app:1", version("one"))
	reg.Requests()
	var mu sync.Mutex
	var said []string
	b := newBed(t, func(o *podman.Options) {
		forgetful(o)
		o.Progress = func(p podman.Progress) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, p.Text)
		}
	})
	id := b.want("a", plan.ContainerSpec{Image: ref, Main: tool("cat", "/version")})

	want := plan.Fact{State: plan.FactKnown, Value: digest}
	if diff := cmp.Diff(want, b.fact(t, plan.InputImage, ref)); diff != "" {
		t.Errorf("fact before the pull (-want +got):\n%s", diff)
	}
	for _, r := range reg.Requests() {
		if strings.Contains(r, "/blobs/") {
			t.Errorf("observing asked for %s", r)
		}
	}
	// The tag moves between plan and prepare: what was planned is what is pulled.
	step := b.step(t, id)
	_, second := reg.Push(t, "app:1", version("two"))
	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id, Bound: step.Bound})
	obj := b.do(t, step)
	b.do(t, on(plan.OpStart, obj))
	wait := on(plan.OpWait, obj)
	wait.Until = plan.UntilFinished
	b.do(t, wait)
	if got := b.logs(t, obj.Handle); got != "one" {
		t.Errorf("the container has version %q, want one", got)
	}
	if got := b.object(t, id); got.Inputs["image:"+ref] != digest || len(got.Drift) > 0 {
		t.Errorf("object inputs %v, drift %v; want the digest %s and no drift", got.Inputs, got.Drift, digest)
	}
	mu.Lock()
	if all := strings.Join(said, "\n"); !strings.Contains(all, "pull "+ref) {
		t.Errorf("progress %q does not name the pull", all)
	}
	mu.Unlock()

	want = plan.Fact{State: plan.FactKnown, Value: second}
	if diff := cmp.Diff(want, b.fact(t, plan.InputImage, ref)); diff != "" {
		t.Errorf("fact after the tag moved (-want +got):\n%s", diff)
	}
}

// TestPullOnce: many instances of one image cost one pull.
func TestPullOnce(t *testing.T) {
	reg := podmantest.Registry(t)
	ref, _ := reg.Push(t, "once:1", version("once"))
	b := newBed(t, nil)
	var ids []plan.ID
	for _, name := range []string{"a", "b", "c", "d"} {
		ids = append(ids, b.want(name, plan.ContainerSpec{Image: ref, Main: tool("pause")}))
	}
	b.observe(t)
	reg.Requests()
	var group sync.WaitGroup
	for _, id := range ids {
		group.Go(func() { _, _ = b.try(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id}) })
	}
	group.Wait()
	manifests := 0
	for _, r := range reg.Requests() {
		if strings.HasPrefix(r, "GET ") && strings.Contains(r, "/manifests/") {
			manifests++
		}
	}
	if manifests != 1 {
		t.Errorf("%d pulls, want 1", manifests)
	}
	if f := b.fact(t, plan.InputImage, ref); !f.Local {
		t.Errorf("fact after the pull: %+v, want local", f)
	}
}

func TestRegistryFacts(t *testing.T) {
	reg := podmantest.Registry(t)
	ref, digest := reg.Push(t, "facts:1", version("facts"))
	b := newBed(t, forgetful)
	id := b.want("a", plan.ContainerSpec{Image: ref, Main: tool("pause")})
	missing := reg.Host + "/facts:2"
	b.want("b", plan.ContainerSpec{Image: missing, Main: tool("pause")})

	f := b.fact(t, plan.InputImage, missing)
	if f.State != plan.FactMissing || !strings.Contains(f.Detail, "MANIFEST_UNKNOWN") {
		t.Errorf("no such tag: %+v, want missing with the registry's words", f)
	}

	refused := b.resource(plan.ID{Kind: plan.Manifest, Name: "b"})
	refused.Blocked = []plan.Reason{{Code: plan.CodePolicy, Text: "not from there"}}
	b.add(refused)
	if f := b.fact(t, plan.InputImage, missing); f != (plan.Fact{State: plan.FactUnknown}) {
		t.Errorf("image of what is blocked: %+v, want it not looked up", f)
	}

	reg.Down(true)
	if f := b.fact(t, plan.InputImage, ref); f.State != plan.FactUnknown || f.Value != "" || !strings.Contains(f.Detail, "503") {
		t.Errorf("registry down, no local image: %+v, want unknown without a value", f)
	}
	reg.Down(false)
	b.create(t, id)
	reg.Down(true)
	f = b.fact(t, plan.InputImage, ref)
	if f.State != plan.FactUnknown || f.Value != digest || !f.Local || !strings.Contains(f.Detail, "503") {
		t.Errorf("registry down, local image: %+v, want unknown with the value %s", f, digest)
	}

	repo := strings.TrimSuffix(ref, ":1")
	b.want("a", plan.ContainerSpec{Image: repo + "@" + digest, Main: tool("pause")})
	want := plan.Fact{State: plan.FactKnown, Value: digest, Local: true}
	if diff := cmp.Diff(want, b.fact(t, plan.InputImage, repo+"@"+digest)); diff != "" {
		t.Errorf("reference by digest (-want +got):\n%s", diff)
	}
}

func TestRegistryAuth(t *testing.T) {
	reg := podmantest.Registry(t)
	reg.Require("ann", "pw-9f3a")
	ref, digest := reg.Push(t, "private:1", version("private"))

	stranger := newBed(t, forgetful)
	stranger.want("a", plan.ContainerSpec{Image: ref, Main: tool("pause")})
	f := stranger.fact(t, plan.InputImage, ref)
	if f.State != plan.FactMissing || !strings.Contains(f.Detail, "authentication required") {
		t.Errorf("without credentials: %+v, want missing with the registry's words", f)
	}

	file := reg.AuthFile(t, "ann", "pw-9f3a")
	b := newBed(t, func(o *podman.Options) { forgetful(o); o.AuthFile = file })
	id := b.want("b", plan.ContainerSpec{Image: ref, Main: tool("cat", "/version")})
	if f := b.fact(t, plan.InputImage, ref); f.Value != digest {
		t.Errorf("with credentials: %+v, want %s", f, digest)
	}
	if got := b.run(t, id); got != "private" {
		t.Errorf("output %q", got)
	}
}

// TestLocalImage: localhost is this host, and no registry.
func TestLocalImage(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: "localhost/nobody-built-this:1", Main: tool("pause")})
	f := b.fact(t, plan.InputImage, "localhost/nobody-built-this:1")
	if f.State != plan.FactMissing || !strings.Contains(f.Detail, "no image localhost/nobody-built-this:1 on this host") {
		t.Errorf("fact %+v, want missing", f)
	}
	b.refuse(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id}, "localhost/nobody-built-this:1")

	ref := podmantest.Image(t, "rebuilt", version("one"))
	id = b.want("a", plan.ContainerSpec{Image: ref, Main: tool("cat", "/version")})
	first := b.step(t, id)
	podmantest.Image(t, "rebuilt", version("two"))
	if f := b.fact(t, plan.InputImage, ref); f.Value == first.Bound["image:"+ref] || !f.Local {
		t.Errorf("fact after a build: %+v, want another local ID than %v", f, first.Bound)
	}
	obj := b.do(t, first)
	if got := b.object(t, id); got.Image != first.Bound["image:"+ref] || got.Handle != obj.Handle {
		t.Errorf("image %s, want the bound one %v", got.Image, first.Bound)
	}
}

// TestImageGone: an image that was removed behind our back is an error that the
// next try does not repeat.
func TestImageGone(t *testing.T) {
	reg := podmantest.Registry(t)
	ref, _ := reg.Push(t, "gone:1", version("gone"))
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: ref, Main: tool("cat", "/version")})
	step := b.prepared(t, id)
	local, err := images.GetImage(podmantest.Conn(t), ref, nil)
	must(t, err)
	_, errs := images.Remove(podmantest.Conn(t), []string{local.ID}, new(images.RemoveOptions).WithForce(true))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	b.refuse(t, step, "create "+step.Name)
	if got := b.run(t, id); got != "gone" {
		t.Errorf("output %q", got)
	}
}

// TestOtherImage: a copy of our container on another image keeps our labels.
func TestOtherImage(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	obj := b.create(t, id)
	c, err := containers.Inspect(podmantest.Conn(t), obj.Handle, nil)
	must(t, err)
	if c.ImageName != toolImage(t) {
		t.Errorf("Podman shows the image as %q, want %q", c.ImageName, toolImage(t))
	}
	b.do(t, on(plan.OpDelete, obj))
	foreign(t, obj.Name, podmantest.Image(t, "other", version("other")), c.Config.Labels)
	got := b.object(t, id)
	if len(got.Drift) != 1 || got.Drift[0].Code != plan.CodeOtherImage {
		t.Errorf("drift %v, want other-image", got.Drift)
	}
}

// TestInheritedLabels: what somebody runs of an image that was committed from
// an instance has all our labels, and is theirs.
func TestInheritedLabels(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	obj := b.create(t, id)
	conn := podmantest.Conn(t)
	committed, err := containers.Commit(conn, obj.Handle, new(containers.CommitOptions).WithRepo("localhost/snapshot").WithTag("1"))
	must(t, err)
	t.Cleanup(func() {
		_, errs := images.Remove(context.WithoutCancel(conn), []string{committed.ID}, new(images.RemoveOptions).WithForce(true))
		for _, err := range errs {
			t.Error(err)
		}
	})
	theirs := foreign(t, "snapshot-"+obj.Name, committed.ID, nil)
	if got := b.object(t, id); got.Handle != obj.Handle {
		t.Errorf("the object is %s, want %s alone", got.Name, obj.Name)
	}
	b.do(t, on(plan.OpDelete, obj))
	o, err := b.rt.Observe(t.Context(), b.d)
	must(t, err)
	for _, other := range o.Objects {
		if other.Handle == theirs {
			t.Error("a container of an image that inherits our labels counts as ours")
		}
	}
}
