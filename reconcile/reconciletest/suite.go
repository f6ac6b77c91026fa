// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// World is a runtime with the hands that a test needs behind its back.
type World struct {
	Runtime reconcile.Runtime
	// Image is a local image whose default process runs until SIGTERM.
	Image string
	// Dir is a host folder for mounts, empty and private to the test.
	Dir string
	// Owner is the record store id that Runtime writes into the labels of what
	// it creates.
	Owner string

	// Foreign makes a container called name without any of our labels.
	Foreign func(t *testing.T, name string)
	// Stop and Remove act on a container as somebody else would.
	Stop, Remove func(t *testing.T, handle string)
	// Detach takes a container off a network, both given as the runtime names
	// them: the container by its handle, the network by its name.
	Detach func(t *testing.T, handle, network string)

	// Pause freezes a container; nil where that cannot be done.
	Pause func(t *testing.T, handle string)
	// Hooks says which hooks the runtime runs; nil: none.
	Hooks *Hooks
	// Health has the helper in a container report the state of its probes; nil
	// where none does.
	Health func(t *testing.T, handle string, h plan.Health)
	// Forget takes away what the install hook of an image, given by its handle, left
	// beside it; nil where that cannot be done.
	Forget func(t *testing.T, image string)
	// Exit returns a process of Image that ends at once with the code; nil
	// where Image has none.
	Exit func(code int) plan.Process

	// State is the state directory of Runtime, below which it keeps what is left of
	// runs.
	State string
	// Say returns a process of Image that writes the value of a variable to its
	// output and ends well; nil where Image has none, and then nothing of runs is
	// tested.
	Say func(variable string) plan.Process
	// HostFile returns the content of a file that Runtime made on the host; nil: it
	// is a file of this host.
	HostFile func(path string) (string, bool)
	// Look returns what a process in a container sees at an absolute path, if there
	// is anything; nil where that cannot be told.
	Look func(t *testing.T, handle, path string) (Seen, bool)
	// Secret keeps a value where Runtime finds it, and returns a secret reference to
	// it; nil where that cannot be done.
	Secret func(t *testing.T, name, value string) string
}

// Seen is a file, or a folder, as a process in a container sees it.
type Seen struct {
	Content  string // of a file
	Mode     fs.FileMode
	UID, GID int
}

// Hooks are what a suite needs of a runtime that runs hooks.
type Hooks struct {
	// OK and Fail are commands that end well, and with an exit code that is not 0,
	// on the host and in a container of Image.
	OK, Fail string
	// Host: the runtime runs hooks on this host.
	Host bool
}

// caseTimeout bounds one case, so that a runtime that hangs fails instead.
const caseTimeout = 2 * time.Minute

// Run runs the conformance suite. open gives each case its own World; worlds
// may share one engine, since every case uses a workspace name of its own and
// removes what it made. Cases do not run in parallel.
func Run(t *testing.T, open func(t *testing.T) World) {
	t.Helper()
	for _, c := range conformanceCases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
			defer cancel()
			b := &bench{World: open(t), ctx: ctx}
			b.d = plan.Desired{
				Workspace: "ct-" + strings.ReplaceAll(c.name, " ", "-"),
				Root:      "/conformance/" + c.name,
				Revision:  "0123456789abcdef0123456789abcdef01234567+dirty",
			}
			t.Cleanup(func() { b.sweep(t) })
			c.run(t, b)
		})
	}
}

// bench is one case at work: a world and the desired state the case builds up.
type bench struct {
	World
	ctx context.Context
	d   plan.Desired
}

// container wants an instance called name.
func (b *bench) container(name string, edit func(*plan.ContainerSpec)) plan.ID {
	spec := plan.ContainerSpec{Image: b.Image, Main: plan.Process{ImageCmd: true}, StopTimeout: 5}
	if edit != nil {
		edit(&spec)
	}
	id := plan.ID{Kind: plan.Manifest, Name: name}
	b.want(plan.Resource{ID: id, Name: b.d.Workspace + "-" + name, Spec: plan.Spec{Container: &spec}, Want: plan.WantRunning})
	return id
}

// network wants the workspace's network.
func (b *bench) network() plan.ID {
	id := plan.ID{Kind: plan.Network, Name: b.d.Workspace}
	b.want(plan.Resource{ID: id, Name: b.d.Workspace, Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", DNS: true}}})
	return id
}

// volume wants a named volume.
func (b *bench) volume(name string) plan.ID {
	id := plan.ID{Kind: plan.Volume, Name: name}
	b.want(plan.Resource{ID: id, Name: b.d.Workspace + "-" + name, Spec: plan.Spec{Volume: &plan.VolumeSpec{}}, Keep: true})
	return id
}

func (b *bench) want(r plan.Resource) {
	r.Origin = "workspace.yaml:1:1"
	b.d.Resources = slices.DeleteFunc(b.d.Resources, func(o plan.Resource) bool { return o.ID == r.ID })
	b.d.Resources = append(b.d.Resources, r)
	slices.SortFunc(b.d.Resources, func(x, y plan.Resource) int { return x.ID.Compare(y.ID) })
}

func (b *bench) resource(id plan.ID) plan.Resource {
	i := slices.IndexFunc(b.d.Resources, func(r plan.Resource) bool { return r.ID == id })
	return b.d.Resources[i]
}

// createStep is the step that makes id under its proper name, every input
// bound to what o says about it.
func (b *bench) createStep(o plan.Observed, id plan.ID) plan.Step {
	r := b.resource(id)
	s := plan.Step{
		ID: "create:" + id.String(), Op: plan.OpCreate, Target: id,
		Name: r.Name, Digest: "v1:digest-of-" + id.Name, Bound: map[string]string{},
	}
	if c := r.Spec.Container; c != nil {
		s.Ports = c.Ports
	}
	for _, in := range r.Spec.Inputs() {
		s.Bound[in.String()] = o.Inputs[in].Value
	}
	for _, n := range r.Needs {
		for _, obj := range o.Objects {
			if n.Bound && obj.ID.Compare(n.On) == 0 {
				s.Bound[plan.Input{Kind: plan.InputNeed, Name: n.On.String()}.String()] = plan.Generation(obj.Digest, obj.Inputs)
			}
		}
	}
	return s
}

func (b *bench) observe(t *testing.T) plan.Observed {
	t.Helper()
	o, err := b.Runtime.Observe(b.ctx, b.d)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	if len(o.Incomplete) > 0 {
		t.Fatalf("observe: incomplete: %v", o.Incomplete)
	}
	return o
}

// do carries out a step that must succeed.
func (b *bench) do(t *testing.T, s plan.Step) plan.Object {
	t.Helper()
	obj, err := b.Runtime.Do(b.ctx, s, b.d)
	if err != nil {
		t.Fatalf("do %s: %v", s.ID, err)
	}
	return obj
}

// refuse carries out a step that must fail with a message that holds part.
func (b *bench) refuse(t *testing.T, s plan.Step, part string) {
	t.Helper()
	_, err := b.Runtime.Do(b.ctx, s, b.d)
	if err == nil {
		t.Fatalf("do %s: succeeded, want an error", s.ID)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("do %s: error %q does not name %q", s.ID, err, part)
	}
}

// made prepares and creates id and returns the object.
func (b *bench) made(t *testing.T, id plan.ID) plan.Object {
	t.Helper()
	if b.resource(id).Spec.Container != nil {
		b.do(t, plan.Step{ID: "prepare:" + id.String(), Op: plan.OpPrepare, Target: id})
	}
	return b.do(t, b.createStep(b.observe(t), id))
}

// running makes and starts id and returns the object as observed.
func (b *bench) running(t *testing.T, id plan.ID) plan.Object {
	t.Helper()
	obj := b.made(t, id)
	b.do(t, on(plan.OpStart, obj))
	return b.seen(t, obj.Handle)
}

// on is a step upon one object.
func on(op plan.Op, obj plan.Object) plan.Step {
	return plan.Step{
		ID: fmt.Sprintf("%s:%s@%s", op, obj.ID, obj.Handle), Op: op,
		Target: obj.ID, Object: obj.Handle, Name: obj.Name,
	}
}

// seen returns the observed object with the handle.
func (b *bench) seen(t *testing.T, handle string) plan.Object {
	t.Helper()
	o := b.observe(t)
	for _, obj := range o.Objects {
		if obj.Handle == handle {
			return obj
		}
	}
	t.Fatalf("observe: no object %s among %d", handle, len(o.Objects))
	return plan.Object{}
}

// eventually observes until the object is in the state: what ends by itself
// does so some time later.
func (b *bench) eventually(t *testing.T, handle string, want plan.State) plan.Object {
	t.Helper()
	for {
		obj := b.seen(t, handle)
		if obj.State == want {
			return obj
		}
		select {
		case <-b.ctx.Done():
			t.Fatalf("object %s is %s, want %s", handle, obj.State, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// sweep deletes all that the case left, containers first.
func (b *bench) sweep(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), caseTimeout)
	defer cancel()
	o, err := b.Runtime.Observe(ctx, b.d)
	if err != nil {
		t.Errorf("sweep: %v", err)
	}
	rank := func(obj plan.Object) int {
		if obj.Role == plan.RoleInstance {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(o.Objects, func(x, y plan.Object) int { return cmp.Compare(rank(x), rank(y)) })
	for _, obj := range o.Objects {
		for _, op := range []plan.Op{plan.OpStop, plan.OpDelete} {
			if op == plan.OpStop && obj.Role != plan.RoleInstance {
				continue
			}
			if _, err := b.Runtime.Do(ctx, ofRun(op, obj), b.d); err != nil {
				t.Errorf("sweep: %s: %v", obj.Name, err)
			}
		}
	}
}
