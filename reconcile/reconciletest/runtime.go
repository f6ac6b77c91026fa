// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"reconcile/reconcile/plan"
)

// ErrDown is what a runtime answers while it is down.
var ErrDown = errors.New("runtime does not answer")

// Options of a [Runtime].
type Options struct {
	Owner   string // written into the labels of what is created
	Version string
	// Now is the clock of the engine; nil: one that starts in 2026 and moves a
	// millisecond at each reading.
	Now func() time.Time
	// Latency is how long each step takes.
	Latency time.Duration
}

// Runtime is a container engine in memory: containers, networks, volumes,
// secrets and images with the states, names and refusals of a real one, beside
// what runs hooks on its host. It is safe for concurrent use.
type Runtime struct {
	opt Options

	mu      sync.Mutex
	things  map[string]*thing // by handle
	images  map[string]image  // by reference
	secrets map[string]string // secret reference → value
	unknown map[plan.Input]string
	partial []plan.Reason
	made    int // handles given out
	ports   uint16
	ticks   int
	changed chan struct{} // closed when a thing changes

	noCommit bool
	hooks    []HookRun
	fails    map[hookKey]error                    // what a hook ends with; nil = well
	host     map[string]map[plan.ID]plan.HostHook // by workspace
	folders  map[folderKey]*folder                // of runs
	onChange func()
	unready  map[plan.ID]bool // does not pass its readiness probe by itself

	down          bool
	before, after func(n int, s plan.Step) error
	journal       []plan.Step
	observed      int
	active, peak  int
}

// image is what is behind a reference.
type image struct{ local, remote string } // digests; "" = not there

// thing is anything the engine keeps under a name.
type thing struct {
	class    string      // of the namespace of its name, see classOf
	ours     bool        // has labels
	obj      plan.Object // Drift is empty: it is found, not kept
	spec     plan.Spec
	attached bool  // to spec.Container.Network
	lost     bool  // an image: what its install hook left beside it is gone
	life     *life // nil: it is no run
}

// The classes of names.
const (
	classContainer = "container"
	classNetwork   = "network"
	classVolume    = "volume"
	classSecret    = "secret"
	classImage     = "image"
)

// classOf returns what a resource of the kind is at the engine.
func classOf(k plan.Kind) string {
	switch k {
	case plan.Network:
		return classNetwork
	case plan.Volume:
		return classVolume
	case plan.Secret:
		return classSecret
	case plan.Image:
		return classImage
	}
	return classContainer
}

// New returns an empty engine.
func New(o Options) *Runtime {
	return &Runtime{
		opt:     o,
		things:  map[string]*thing{},
		images:  map[string]image{},
		secrets: map[string]string{},
		unknown: map[plan.Input]string{},
		fails:   map[hookKey]error{},
		host:    map[string]map[plan.ID]plan.HostHook{},
		unready: map[plan.ID]bool{},
		folders: map[folderKey]*folder{},
		ports:   40000,
		changed: make(chan struct{}),
	}
}

// Capabilities says that the engine runs on this host.
func (rt *Runtime) Capabilities() plan.Capabilities {
	return plan.Capabilities{Name: "memory", HostPaths: true}
}

// Observe implements reconcile.Reader.
func (rt *Runtime) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	if err := ctx.Err(); err != nil {
		return plan.Observed{}, fmt.Errorf("observe: %w", err)
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.observed++
	if rt.down {
		return plan.Observed{}, fmt.Errorf("observe: %w", ErrDown)
	}
	o := plan.Observed{
		Inputs: map[plan.Input]plan.Fact{}, Incomplete: slices.Clone(rt.partial),
		HostHooks: maps.Clone(rt.host[d.Workspace]), NoCommit: rt.noCommit,
	}
	for _, th := range rt.things {
		if th.ours && th.obj.Workspace == d.Workspace {
			o.Objects = append(o.Objects, th.view())
		}
	}
	rt.addOutcomes(&o, d)
	for _, r := range d.Resources {
		for _, in := range r.Spec.Inputs() {
			o.Inputs[in] = rt.fact(in, d)
		}
		th := rt.named(classOf(r.ID.Kind), r.Name)
		if th != nil && !(th.ours && th.obj.Workspace == d.Workspace) {
			obj := th.view()
			obj.ID = r.ID
			o.Foreign = append(o.Foreign, obj)
		}
	}
	slices.SortFunc(o.Objects, compareObjects)
	slices.SortFunc(o.Foreign, compareObjects)
	return o, nil
}

// Do implements reconcile.Runtime.
func (rt *Runtime) Do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	if err := ctx.Err(); err != nil {
		return plan.Object{}, err
	}
	rt.mu.Lock()
	rt.journal = append(rt.journal, s)
	n := len(rt.journal)
	before, after := rt.before, rt.after
	if s.Op != plan.OpWait {
		rt.active++
		rt.peak = max(rt.peak, rt.active)
		defer func() {
			rt.mu.Lock()
			rt.active--
			rt.mu.Unlock()
		}()
	}
	rt.mu.Unlock()

	if before != nil {
		if err := before(n, s); err != nil {
			return plan.Object{}, err
		}
	}
	if rt.opt.Latency > 0 {
		select {
		case <-time.After(rt.opt.Latency):
		case <-ctx.Done():
			return plan.Object{}, ctx.Err()
		}
	}
	if s.Op == plan.OpWait {
		return rt.wait(ctx, s, d)
	}
	obj, err := rt.effect(s, d)
	if err == nil && after != nil {
		err = after(n, s)
	}
	return obj, err
}

// effect carries out a step that ends at once.
func (rt *Runtime) effect(s plan.Step, d plan.Desired) (plan.Object, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.down {
		return plan.Object{}, ErrDown
	}
	defer rt.broadcast()
	switch s.Op {
	case plan.OpPrepare:
		return plan.Object{}, rt.prepare(s, d)
	case plan.OpCreate:
		return rt.create(s, d)
	case plan.OpStart:
		return rt.start(s, d)
	case plan.OpStop:
		return rt.stop(s, d)
	case plan.OpDelete:
		return plan.Object{}, rt.remove(s, d)
	case plan.OpActivate:
		return rt.activate(s, d)
	case plan.OpExec:
		return rt.exec(s, d)
	case plan.OpHost:
		return plan.Object{}, rt.runHost(s, d)
	}
	return plan.Object{}, fmt.Errorf("no such step")
}

// fact says what is known about an input.
func (rt *Runtime) fact(in plan.Input, d plan.Desired) plan.Fact {
	if why, ok := rt.unknown[in]; ok {
		return plan.Fact{State: plan.FactUnknown, Detail: why}
	}
	switch in.Kind {
	case plan.InputImage:
		img := rt.images[in.Name]
		if v := cmp.Or(img.remote, img.local); v != "" {
			return plan.Fact{State: plan.FactKnown, Value: v, Local: img.local == v}
		}
		return plan.Fact{State: plan.FactMissing, Detail: "no image " + in.Name + ", here or in its registry"}
	case plan.InputSecret:
		if v, ok := rt.secret(in.Name, d); ok {
			return plan.Fact{State: plan.FactKnown, Value: fingerprint(v)}
		}
		return plan.Fact{State: plan.FactMissing, Detail: "no secret " + in.Name}
	}
	return plan.Fact{State: plan.FactUnknown, Detail: "unknown kind of input"}
}

// named returns what holds a name; nil when it is free.
func (rt *Runtime) named(class, name string) *thing {
	for _, th := range rt.things {
		if th.class == class && class != classImage && th.obj.Name == name {
			return th
		}
	}
	return nil
}

// broadcast wakes every wait. The lock is held.
func (rt *Runtime) broadcast() {
	close(rt.changed)
	rt.changed = make(chan struct{})
}

// now reads the engine's clock. The lock is held.
func (rt *Runtime) now() time.Time {
	if rt.opt.Now != nil {
		return rt.opt.Now()
	}
	rt.ticks++
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rt.ticks) * time.Millisecond)
}

// add keeps a new thing under the next handle. The lock is held.
func (rt *Runtime) add(th *thing) *thing {
	rt.made++
	th.obj.Handle = fmt.Sprintf("%s-%06d", th.class, rt.made)
	th.obj.Created = rt.now()
	rt.things[th.obj.Handle] = th
	return th
}

// view returns the thing as an observer sees it, sharing nothing with it.
func (th *thing) view() plan.Object {
	obj := th.obj
	obj.Inputs = maps.Clone(obj.Inputs)
	obj.Ports = slices.Clone(obj.Ports)
	if obj.Health != nil {
		obj.Health = &plan.Health{Liveness: clone(obj.Health.Liveness), Readiness: clone(obj.Health.Readiness)}
	}
	if th.life != nil {
		obj.Outcome = clone(th.life.host.outcome)
	}
	if th.lost {
		obj.Drift = append(obj.Drift, plan.Reason{Code: plan.CodeMissing, Text: "what install wrote to /code is gone"})
	}
	c := th.spec.Container
	if c == nil {
		return obj
	}
	if c.Network != "" && !th.attached {
		obj.Drift = append(obj.Drift, plan.Reason{Code: plan.CodeDetached, Text: "not attached to network " + c.Network})
	}
	bound := obj.Inputs[plan.Input{Kind: plan.InputImage, Name: c.Image}.String()]
	if bound != obj.Image && !c.Installed {
		obj.Drift = append(obj.Drift, plan.Reason{Code: plan.CodeOtherImage, Text: "runs image " + obj.Image + ", made with " + bound})
	}
	return obj
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func compareObjects(a, b plan.Object) int {
	return cmp.Or(a.ID.Compare(b.ID), a.Created.Compare(b.Created), cmp.Compare(a.Handle, b.Handle))
}
