// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// bed is a workspace of a test's own, with what a planner would do by hand.
type bed struct {
	rt *podman.Runtime
	d  plan.Desired
}

func newBed(t testing.TB, edit func(*podman.Options)) *bed {
	t.Helper()
	b := &bed{rt: open(t, edit), d: plan.Desired{Workspace: workspace(t), Root: "/roots/" + t.Name()}}
	t.Cleanup(func() { b.clear(t) })
	return b
}

// clear deletes all that the workspace has, containers first.
func (b *bed) clear(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o, err := b.rt.Observe(ctx, plan.Desired{Workspace: b.d.Workspace, Root: b.d.Root})
	if err != nil {
		t.Errorf("clear: %v", err)
	}
	for _, role := range []plan.Role{plan.RoleInstance, plan.RoleImage, plan.RoleSupport} {
		for _, obj := range o.Objects {
			if obj.Role != role {
				continue
			}
			if _, err := b.rt.Do(ctx, on(plan.OpDelete, obj), b.d); err != nil {
				t.Errorf("clear: %v", err)
			}
		}
	}
}

// want adds a container to the workspace, or takes another spec for it.
func (b *bed) want(name string, spec plan.ContainerSpec) plan.ID {
	id := plan.ID{Kind: plan.Manifest, Name: name}
	if spec.StopTimeout == 0 {
		spec.StopTimeout = 2
	}
	b.add(plan.Resource{ID: id, Name: b.d.Workspace + "-" + name, Origin: "x:1:1", Spec: plan.Spec{Container: &spec}, Want: plan.WantRunning})
	return id
}

func (b *bed) wantNetwork() plan.ID {
	id := plan.ID{Kind: plan.Network, Name: b.d.Workspace}
	b.add(plan.Resource{ID: id, Name: b.d.Workspace, Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", DNS: true}}})
	return id
}

func (b *bed) add(res plan.Resource) {
	b.d.Resources = slices.DeleteFunc(b.d.Resources, func(o plan.Resource) bool { return o.ID == res.ID })
	b.d.Resources = append(b.d.Resources, res)
	slices.SortFunc(b.d.Resources, func(x, y plan.Resource) int { return x.ID.Compare(y.ID) })
}

func (b *bed) resource(id plan.ID) plan.Resource {
	return b.d.Resources[slices.IndexFunc(b.d.Resources, func(r plan.Resource) bool { return r.ID == id })]
}

func (b *bed) observe(t testing.TB) plan.Observed {
	t.Helper()
	o, err := b.rt.Observe(t.Context(), b.d)
	must(t, err)
	if len(o.Incomplete) > 0 {
		t.Fatalf("incomplete: %v", o.Incomplete)
	}
	return o
}

func (b *bed) fact(t testing.TB, kind plan.InputKind, name string) plan.Fact {
	t.Helper()
	return b.observe(t).Inputs[plan.Input{Kind: kind, Name: name}]
}

// step is the create step that a planner would make of what is observed.
func (b *bed) step(t testing.TB, id plan.ID) plan.Step {
	t.Helper()
	o, res := b.observe(t), b.resource(id)
	s := plan.Step{ID: "create:" + id.String(), Op: plan.OpCreate, Target: id, Name: res.Name, Digest: res.Spec.Digest(), Bound: map[string]string{}}
	for _, in := range res.Spec.Inputs() {
		if f := o.Inputs[in]; f.Value != "" {
			s.Bound[in.String()] = f.Value
		}
	}
	if c := res.Spec.Container; c != nil {
		s.Ports = c.Ports
	}
	return s
}

func (b *bed) try(t testing.TB, s plan.Step) (plan.Object, error) {
	t.Helper()
	return b.rt.Do(t.Context(), s, b.d)
}

func (b *bed) do(t testing.TB, s plan.Step) plan.Object {
	t.Helper()
	obj, err := b.try(t, s)
	if err != nil {
		t.Fatalf("%s: %v", s.ID, err)
	}
	return obj
}

// refuse carries out a step that must fail with a message that has the parts.
func (b *bed) refuse(t testing.TB, s plan.Step, parts ...string) {
	t.Helper()
	_, err := b.try(t, s)
	if err == nil {
		t.Fatalf("%s: no error, want %q", s.ID, parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %q does not say %q", s.ID, err, part)
		}
	}
}

// prepared prepares and returns the step to create.
func (b *bed) prepared(t testing.TB, id plan.ID) plan.Step {
	t.Helper()
	s := b.step(t, id)
	if b.resource(id).Spec.Container != nil {
		b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id, Bound: s.Bound})
	}
	return s
}

func (b *bed) create(t testing.TB, id plan.ID) plan.Object {
	t.Helper()
	return b.do(t, b.prepared(t, id))
}

func (b *bed) start(t testing.TB, id plan.ID) plan.Object {
	t.Helper()
	obj := b.create(t, id)
	b.do(t, on(plan.OpStart, obj))
	return obj
}

// run runs the container to its successful end and returns what it printed.
func (b *bed) run(t testing.TB, id plan.ID) string {
	t.Helper()
	obj := b.start(t, id)
	wait := on(plan.OpWait, obj)
	wait.Until = plan.UntilFinished
	b.do(t, wait)
	return b.logs(t, obj.Handle)
}

func (b *bed) logs(t testing.TB, handle string) string {
	t.Helper()
	var out strings.Builder
	must(t, b.rt.Logs(t.Context(), handle, podman.LogOptions{}, &out, &out))
	return out.String()
}

// object is the one object of the ID.
func (b *bed) object(t testing.TB, id plan.ID) plan.Object {
	t.Helper()
	var found []plan.Object
	for _, obj := range b.observe(t).Objects {
		if obj.ID == id {
			found = append(found, obj)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects with the ID %s, want one", len(found), id)
	}
	return found[0]
}

func on(op plan.Op, obj plan.Object) plan.Step {
	return plan.Step{ID: string(op) + ":" + obj.ID.String(), Op: op, Target: obj.ID, Object: obj.Handle, Name: obj.Name}
}

// tool is a process of the test tool.
func tool(args ...string) plan.Process {
	return plan.Process{Command: append([]string{"/bin/tool"}, args...)}
}

// toolImage is an image that is nothing but the test tool.
func toolImage(t testing.TB) string { return podmantest.Image(t, "tool", podmantest.ImageOptions{}) }
