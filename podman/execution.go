// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/reconcile/plan"
)

// Labels of the containers of executions, for people.
const (
	labelExecution = "reconcile.execution"
	labelOf        = "reconcile.agent-revision"
)

// ExecutionOptions say whose executions they are. Owner and version are those of
// the [Runtime], and so is how the host is heard in networks.
type ExecutionOptions struct {
	Workspace, Root string
	Log             *slog.Logger // nil = none
}

// Executions are the containers of executions, and of what waits for some. It
// implements dispatch.Runtime, and its methods may be called by several goroutines
// at once.
type Executions struct {
	rt  *Runtime
	opt ExecutionOptions

	mu     sync.Mutex
	made   map[string]*executed // by handle
	making map[string]bool      // names of containers that are being made
	owed   map[string]bool      // handles and names of what could not be removed

	relays string // the session of its relays
}

// executed is a container of this session.
type executed struct {
	stdin   bool
	monitor int              // number of the process that holds its streams
	stream  *executionStream // nil until something is attached
}

// Executions returns those of a workspace.
func (r *Runtime) Executions(o ExecutionOptions) *Executions {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Executions{rt: r, opt: o, relays: newSession(), made: map[string]*executed{}, making: map[string]bool{}, owed: map[string]bool{}}
}

const (
	// createGrace is how long the service may go on with what was cut off, so that
	// it is known what there is to remove.
	createGrace = 10 * time.Second
	// removeTimeout bounds the removal of what is left of a creation.
	removeTimeout = time.Minute
)

// Create makes a container whose network is up and whose process is not started.
// What cannot be finished is removed, also when ctx ends.
func (x *Executions) Create(ctx context.Context, l plan.Launch) (handle string, addresses []netip.Addr, err error) {
	if ctx.Err() != nil {
		return "", nil, context.Cause(ctx)
	}
	handle, c, err := x.create(ctx, l)
	if err == nil {
		if addresses = addressesIn(c, l.Spec.Network); len(addresses) == 0 && l.Spec.Network != "" {
			err = fmt.Errorf("%s has no address in the network %s", c.Name, l.Spec.Network)
			x.removeCut(ctx, handle)
		}
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
		x.removeCut(ctx, handle)
	}
	if err != nil {
		return "", nil, oneLine(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.made[handle] = &executed{stdin: l.Stdin, monitor: c.State.ConmonPid}
	return handle, addresses, nil
}

// find returns what is known of a container that this session has made.
func (x *Executions) find(handle string) (executed, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.made[handle]; e != nil {
		return *e, nil
	}
	return executed{}, fmt.Errorf("the container %s is gone: %w", shortID(handle), fs.ErrNotExist)
}

func (x *Executions) create(ctx context.Context, l plan.Launch) (string, *define.InspectContainerData, error) {
	spec, err := x.spec(x.rt.with(ctx), l)
	if err != nil {
		return "", nil, err
	}
	x.mu.Lock()
	x.making[spec.Name] = true
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.making, spec.Name)
	}()
	// The service does not hear that it is cut off, and goes on: what it makes then
	// would be found by nobody.
	calls, done := outlive(ctx, createGrace)
	defer done()
	handle, err := x.make(calls, spec, l)
	if err != nil {
		x.removeCut(ctx, spec.Name)
		return "", nil, err
	}
	c, err := x.initialise(calls, handle)
	if err != nil {
		x.removeCut(ctx, handle)
		return "", nil, err
	}
	return handle, c, nil
}

// outlive returns a context that ends a while after ctx.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	timer := time.AfterFunc(time.Hour, func() { cancel(context.Cause(ctx)) })
	timer.Stop()
	stop := context.AfterFunc(ctx, func() { timer.Reset(grace) })
	return out, func() {
		stop()
		timer.Stop()
		cancel(context.Canceled)
	}
}

// make creates the container. An image that has gone since it was looked at is
// fetched anew, once.
func (x *Executions) make(ctx context.Context, spec *specgen.SpecGenerator, l plan.Launch) (string, error) {
	link := x.rt.link.Load()
	made, err := containers.CreateWithSpec(x.rt.with(ctx), spec, nil)
	switch {
	case says(err, "image not known", "no such image"):
		x.rt.images.forgetID(spec.Labels[labelImage])
		again, specErr := x.spec(x.rt.with(ctx), l)
		if specErr != nil {
			return "", specErr
		}
		made, err = containers.CreateWithSpec(x.rt.with(ctx), again, nil)
	case x.rt.lost(ctx, link, err):
		made, err = containers.CreateWithSpec(x.rt.with(ctx), spec, nil)
	}
	if err != nil {
		return "", x.rt.explain("create "+spec.Name, err)
	}
	return made.ID, nil
}

// initialise has the network of a container and its monitor made.
func (x *Executions) initialise(ctx context.Context, handle string) (*define.InspectContainerData, error) {
	ctx = x.rt.with(ctx)
	if err := containers.ContainerInit(ctx, handle, nil); err != nil {
		return nil, x.rt.explain("initialise "+shortID(handle), err)
	}
	c, err := containers.Inspect(ctx, handle, nil)
	if err != nil {
		return nil, x.rt.explain("inspect "+shortID(handle), err)
	}
	return c, nil
}

// addressesIn are those of a container in a network.
func addressesIn(c *define.InspectContainerData, network string) []netip.Addr {
	if c.NetworkSettings == nil || c.NetworkSettings.Networks[network] == nil {
		return nil
	}
	n := c.NetworkSettings.Networks[network]
	var out []netip.Addr
	for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// spec is all of what is sent to Podman.
func (x *Executions) spec(ctx context.Context, l plan.Launch) (*specgen.SpecGenerator, error) {
	c := *l.Spec
	if err := x.check(ctx, c); err != nil {
		return nil, err
	}
	input := plan.Input{Kind: plan.InputImage, Name: c.Image}
	step := plan.Step{Op: plan.OpCreate, Target: l.Agent, Name: l.Name, Bound: map[string]string{input.String(): l.Image}}
	img, err := x.rt.ensure(ctx, step, c.Image)
	if err != nil {
		return nil, err
	}
	bundle, err := x.rt.hasBundle(ctx, c, img)
	if err != nil {
		return nil, err
	}
	c.Env = slices.Concat(l.Env, c.Env)
	s, err := x.rt.generate(ctx, x.name(l), c, nil, img, bundle)
	if err != nil {
		return nil, err
	}
	s.Stdin = &l.Stdin
	// Whoever attaches keeps what it writes. A log of Podman's would have no bound.
	s.LogConfiguration = &specgen.LogConfig{Driver: define.NoLogging}
	s.Labels = x.labels(l)
	s.Labels[labelImage] = img.id
	return s, nil
}

// check reports what such a container cannot have: nothing is prepared for it.
func (x *Executions) check(ctx context.Context, c plan.ContainerSpec) error {
	if err := validate(c); err != nil {
		return err
	}
	if c.Helper || c.Installed || c.Task != nil || len(c.SecretFiles) > 0 || len(c.EnvFrom) > 0 || len(c.Ports) > 0 || len(secretVariables(c)) > 0 {
		return errors.New("an execution has no helper, secrets or ports")
	}
	for _, m := range c.Mounts {
		switch m.Type {
		case plan.MountTmpfs:
		case plan.MountVolume:
			// Podman would make one that belongs to nobody.
			if _, err := volumes.Inspect(ctx, m.Source, nil); notFound(err) {
				return fmt.Errorf("the volume %s is gone; reconcile makes it anew", m.Source)
			} else if err != nil {
				return x.rt.explain("inspect volume "+m.Source, err)
			}
		default:
			return fmt.Errorf("mount %s: an execution has volumes and memory only, not %q", m.Target, m.Type)
		}
	}
	return nil
}

func (x *Executions) labels(l plan.Launch) map[string]string {
	labels := labelsOf(plan.Object{
		ID: l.Agent, Workspace: x.opt.Workspace, Root: x.opt.Root, Owner: x.rt.opt.Owner, Version: x.rt.opt.Version,
		Role: l.Role, Session: l.Session, Digest: plan.Spec{Container: l.Spec}.Digest(),
	}, l.Spec.Labels)
	labels[labelOf] = l.Revision
	if l.Execution != "" {
		labels[labelExecution] = l.Execution
	}
	if l.Spec.Network != "" {
		labels[labelNetwork] = l.Spec.Network
	}
	return labels
}

// name is that of the container: 8 digits of its key, and 8 that only this
// workspace's are followed by. The storage of Podman knows a container that was not
// finished by its name alone.
func (x *Executions) name(l plan.Launch) string {
	key := (l.Key + "00000000")[:nameKey]
	return l.Name + "-" + key + x.mark(key)
}

// nameKey is how many digits of a key are in a name, and how many the mark has.
const nameKey = 8

func (x *Executions) mark(key string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{x.rt.opt.Owner, x.opt.Root, x.opt.Workspace, key}, "\x00")))
	return fmt.Sprintf("%x", sum)[:nameKey]
}

// marked reports whether a name is one of [Executions.name].
func (x *Executions) marked(name string) bool {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || len(name)-i-1 != 2*nameKey {
		return false
	}
	key := name[i+1:][:nameKey]
	return name[i+1+nameKey:] == x.mark(key)
}

// oneLine is an error of which only the first line is said.
func oneLine(err error) error {
	text := err.Error()
	if !strings.Contains(text, "\n") {
		return err
	}
	return &shortError{strings.Join(strings.FieldsFunc(text, func(c rune) bool { return c == '\n' }), "; "), err}
}

type shortError struct {
	text string
	error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.error }
