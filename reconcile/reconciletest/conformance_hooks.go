// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// hooked reports whether the runtime runs hooks.
func (b *bench) hooked(t *testing.T) bool {
	if b.Hooks == nil {
		t.Log("the runtime runs no hooks")
	}
	return b.Hooks != nil
}

// installed wants an instance that is made of what an install hook makes, and the
// image of that.
func (b *bench) installed(name string, commands ...string) (instance, image plan.ID) {
	image = plan.ID{Kind: plan.Image, Name: name}
	instance = b.container(name, func(c *plan.ContainerSpec) { c.Installed = true })
	b.want(plan.Resource{
		ID: image, Name: "localhost/reconcile-" + b.d.Workspace + "/" + name, StartTimeout: caseTimeout,
		Spec: plan.Spec{Image: &plan.ImageSpec{Base: b.Image, Commands: commands, Of: instance.String()}},
	})
	r := b.resource(instance)
	r.Needs = []plan.Need{{On: image, Until: plan.UntilExists, Bound: true}}
	b.want(r)
	return instance, image
}

// testInstall: what an install hook makes is an object of ours, several of which
// may be there under one name; what is made of it is a container of ours like any
// other, and keeps it.
func testInstall(t *testing.T, b *bench) {
	if !b.hooked(t) {
		return
	}
	id, image := b.installed("a", b.Hooks.OK)
	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id})
	create := b.createStep(b.observe(t), image)
	made := b.do(t, create)
	if again := b.do(t, create); again.Handle != made.Handle {
		t.Errorf("second create made %s beside %s", again.Handle, made.Handle)
	}
	got := b.seen(t, made.Handle)
	want := plan.Object{
		ID: image, Handle: made.Handle, Name: b.resource(image).Name, Workspace: b.d.Workspace, Root: b.d.Root, Revision: b.d.Revision,
		Owner: b.Owner, Role: plan.RoleImage, Digest: create.Digest, Inputs: create.Bound, State: plan.StateExists,
	}
	identity := got
	identity.Version, identity.Created, identity.Image = "", time.Time{}, ""
	if diff := cmp.Diff(want, identity); diff != "" {
		t.Errorf("the image (-want +got):\n%s", diff)
	}

	user := b.do(t, b.createStep(b.observe(t), id))
	if bare(user.Image) != bare(made.Handle) {
		t.Errorf("the container is made of %s, want %s", user.Image, made.Handle)
	}
	b.do(t, on(plan.OpStart, user))
	if got := b.seen(t, user.Handle); got.State != plan.StateRunning || len(got.Drift) > 0 || got.ID != id {
		t.Errorf("the container: %s, state %s, drift %v", got.ID, got.State, got.Drift)
	}
	b.refuse(t, on(plan.OpDelete, made), "")

	next := create
	next.Digest += "-2"
	second := b.do(t, next)
	if second.Handle == made.Handle {
		t.Fatalf("another spec made %s again", made.Handle)
	}
	if n := len(b.observe(t).Objects); n != 3 {
		t.Errorf("%d objects, want two images and a container", n)
	}
	b.do(t, on(plan.OpDelete, second))
	b.do(t, on(plan.OpStop, user))
	b.do(t, on(plan.OpDelete, user))
	b.do(t, on(plan.OpDelete, made))
	b.do(t, on(plan.OpDelete, made))
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("objects %v, want none", left)
	}
}

// testInstallAgain: an image has drifted when what its hook left beside it is
// gone, and is made again then.
func testInstallAgain(t *testing.T, b *bench) {
	if !b.hooked(t) || b.Forget == nil {
		return
	}
	id, image := b.installed("a", b.Hooks.OK)
	r := b.resource(id)
	r.Spec.Container.Mounts = []plan.Mount{{Type: plan.MountCopy, Source: b.Dir + "/copies", From: b.Dir, TreeHash: "t1", Target: "/code"}}
	b.want(r)
	of := b.resource(image)
	of.Spec.Image.TreeHash = "t1"
	b.want(of)
	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id})
	create := b.createStep(b.observe(t), image)
	made := b.do(t, create)
	if got := b.seen(t, made.Handle); len(got.Drift) > 0 {
		t.Errorf("drift %v, want none", got.Drift)
	}
	b.Forget(t, made.Handle)
	got := b.seen(t, made.Handle)
	if len(got.Drift) != 1 || got.Drift[0].Code != plan.CodeMissing || got.Drift[0].Text == "" {
		t.Fatalf("drift %v, want one reason %s", got.Drift, plan.CodeMissing)
	}
	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id})
	if got := b.seen(t, made.Handle); len(got.Drift) != 1 {
		t.Errorf("a prepare, which does not run the hook, mends that")
	}
	again := b.do(t, create)
	if got := b.seen(t, again.Handle); len(got.Drift) > 0 {
		t.Errorf("drift of the new image %v, want none", got.Drift)
	}
}

// testInstallFails: an install hook that fails leaves nothing.
func testInstallFails(t *testing.T, b *bench) {
	if !b.hooked(t) {
		return
	}
	id, image := b.installed("a", b.Hooks.OK, b.Hooks.Fail)
	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id})
	b.refuse(t, b.createStep(b.observe(t), image), string(plan.HookInstall))
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("objects %v, want none", left)
	}
}

// testExec: a hook runs in a container that runs, and its failure is that of the
// step.
func testExec(t *testing.T, b *bench) {
	if !b.hooked(t) {
		return
	}
	obj := b.running(t, b.container("a", nil))
	exec := on(plan.OpExec, obj)
	exec.Hook = &plan.Hook{Name: plan.HookPostinstall, Commands: []string{b.Hooks.OK}, Digest: "sha256:1", Timeout: caseTimeout}
	b.do(t, exec)
	b.do(t, exec)
	fails := exec
	fails.Hook = &plan.Hook{Name: plan.HookUpdate, Commands: []string{b.Hooks.OK, b.Hooks.Fail}, Digest: "sha256:2", Timeout: caseTimeout}
	b.refuse(t, fails, string(plan.HookUpdate))
	if got := b.seen(t, obj.Handle); got.State != plan.StateRunning {
		t.Errorf("after its hooks: state %s, want running", got.State)
	}
	b.do(t, on(plan.OpStop, obj))
	b.refuse(t, exec, "")
}

// testHostHook: what became of a hook on the host is remembered, for its own
// resource and workspace.
func testHostHook(t *testing.T, b *bench) {
	if !b.hooked(t) || !b.Hooks.Host {
		return
	}
	good, bad := b.container("good", nil), b.container("bad", nil)
	step := func(id plan.ID, command string) plan.Step {
		return plan.Step{ID: "host:" + id.String(), Op: plan.OpHost, Target: id, Hook: &plan.Hook{
			Name: plan.HookPreinstall, Commands: []string{command}, Digest: "sha256:" + id.Name, Dir: b.Dir, Timeout: caseTimeout,
		}}
	}
	if got := b.observe(t).HostHooks; len(got) != 0 {
		t.Errorf("before: %v, want nothing", got)
	}
	b.do(t, step(good, b.Hooks.OK))
	b.refuse(t, step(bad, b.Hooks.Fail), string(plan.HookPreinstall))
	got := b.observe(t).HostHooks
	if g := got[good]; g.State != plan.HookDone || g.Digest != "sha256:good" || g.At.IsZero() {
		t.Errorf("of the good one: %+v", g)
	}
	if g := got[bad]; g.State != plan.HookFailed || g.Digest != "sha256:bad" || g.Code == 0 {
		t.Errorf("of the bad one: %+v", g)
	}
	ours := *b
	ours.d.Workspace += "-other"
	if got := ours.observe(t).HostHooks; len(got) != 0 {
		t.Errorf("of another workspace: %v, want nothing", got)
	}
}

func probe() *plan.Probe {
	return &plan.Probe{Script: "probe.sh", Interval: 1000, Timeout: 1000, FailureThreshold: 1, SuccessThreshold: 1}
}

// testReadiness: a container with a readiness probe is ready when that passes,
// and its output says why it is not.
func testReadiness(t *testing.T, b *bench) {
	if b.Health == nil {
		t.Log("no probes are reported here")
		return
	}
	obj := b.running(t, b.container("a", func(c *plan.ContainerSpec) { c.Helper, c.Readiness = true, probe() }))
	b.Health(t, obj.Handle, plan.Health{Readiness: &plan.ProbeState{
		Verdict: plan.VerdictFailing, Since: time.Now(), Failures: 3, Output: "no answer yet",
	}})
	b.healthy(t, obj.Handle, func(h plan.Health) bool { return h.Readiness != nil && h.Readiness.Verdict == plan.VerdictFailing })
	ctx, cancel := context.WithTimeout(b.ctx, 100*time.Millisecond)
	defer cancel()
	_, err := b.Runtime.Do(ctx, on(plan.OpWait, obj), b.d)
	if err == nil || !strings.Contains(err.Error(), "Container failed to become ready") || !strings.Contains(err.Error(), "no answer yet") {
		t.Errorf("wait for what is not ready: %v; want that it failed to become ready, and its output", err)
	}
	if got := b.seen(t, obj.Handle); got.State != plan.StateRunning {
		t.Errorf("after that: state %s, want running", got.State)
	}
	b.Health(t, obj.Handle, plan.Health{Readiness: passing(time.Now())})
	b.do(t, on(plan.OpWait, obj))
}

// testLiveness: what probes say is a fact about the run of the container, and no
// more.
func testLiveness(t *testing.T, b *bench) {
	if b.Health == nil {
		t.Log("no probes are reported here")
		return
	}
	obj := b.running(t, b.container("a", func(c *plan.ContainerSpec) { c.Helper, c.Liveness = true, probe() }))
	b.Health(t, obj.Handle, plan.Health{Liveness: &plan.ProbeState{
		Verdict: plan.VerdictFailing, Since: time.Now(), Failures: 3, Output: "hangs",
	}})
	b.healthy(t, obj.Handle, func(h plan.Health) bool {
		return h.Liveness != nil && h.Liveness.Verdict == plan.VerdictFailing && h.Liveness.Output == "hangs"
	})
	b.do(t, on(plan.OpStop, obj))
	if got := b.seen(t, obj.Handle); got.Health != nil {
		t.Errorf("stopped, its health is %+v, want none", got.Health)
	}
	b.do(t, on(plan.OpStart, obj))
	if got := b.seen(t, obj.Handle); got.Health != nil && got.Health.Liveness != nil && got.Health.Liveness.Verdict == plan.VerdictFailing {
		t.Errorf("started again, it is said to fail as before")
	}
}

// healthy observes until the health of a container is as wanted.
func (b *bench) healthy(t *testing.T, handle string, as func(plan.Health) bool) {
	t.Helper()
	for {
		obj := b.seen(t, handle)
		if obj.Health != nil && as(*obj.Health) {
			return
		}
		select {
		case <-b.ctx.Done():
			t.Fatalf("health of %s is %+v", handle, obj.Health)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func bare(image string) string { return strings.TrimPrefix(image, "sha256:") }
