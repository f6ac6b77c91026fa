// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"reconcile/reconcile/plan"
)

// Exit codes of containers that are stopped or killed.
const (
	codeStopped = 128 + 15
	codeKilled  = 128 + 9
)

// exitCommand is the command of a process that ends at once with the code in
// its next argument.
const exitCommand = "exit"

func fingerprint(value string) string {
	sum := sha256.Sum256([]byte("memory:" + value))
	return "memory:" + hex.EncodeToString(sum[:8])
}

// prepare has the image and the folders here. The lock is held, as in all that follows.
func (rt *Runtime) prepare(s plan.Step, d plan.Desired) error {
	if s.Object != "" {
		return nil
	}
	r, err := resource(s, d)
	if err != nil {
		return err
	}
	c := r.Spec.Container
	if c == nil {
		return nil
	}
	img := rt.images[c.Image]
	switch {
	case img.remote != "":
		img.local = img.remote
		rt.images[c.Image] = img
	case img.local == "":
		err := fmt.Errorf("no image %s", c.Image)
		if s.Run != "" {
			return &plan.ImageError{Err: err}
		}
		return err
	}
	for _, m := range c.Mounts {
		if m.Type != plan.MountDir {
			continue
		}
		if err := os.MkdirAll(m.Source, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (rt *Runtime) create(s plan.Step, d plan.Desired) (plan.Object, error) {
	r, err := resource(s, d)
	if err != nil {
		return plan.Object{}, err
	}
	if th := rt.named(classOf(s.Target.Kind), s.Name); th != nil {
		same := th.ours && th.obj.Workspace == d.Workspace && th.obj.ID.Compare(s.Target) == 0 && th.obj.Run == s.Run && th.obj.Digest == s.Digest && maps.Equal(th.obj.Inputs, s.Bound)
		if !same {
			return plan.Object{}, fmt.Errorf("name %s is taken by %s", s.Name, th.obj.Handle)
		}
		return th.view(), nil
	}
	for _, in := range r.Spec.Inputs() {
		if got, bound := rt.fact(in, d).Value, s.Bound[in.String()]; got != bound {
			return plan.Object{}, fmt.Errorf("%s is %q now, planned with %q", in, got, bound)
		}
	}
	th := &thing{
		class: classOf(s.Target.Kind),
		ours:  true,
		spec:  r.Spec,
		obj: plan.Object{
			ID: s.Target, Name: s.Name, State: plan.StateExists,
			Workspace: d.Workspace, Root: d.Root, Revision: d.Revision,
			Owner: rt.opt.Owner, Version: rt.opt.Version,
			Role: s.Target.Kind.Role(), Digest: s.Digest, Inputs: maps.Clone(s.Bound), Keep: r.Keep,
		},
	}
	if r.Spec.Image != nil {
		return rt.createImage(th, s)
	}
	if c := r.Spec.Container; c != nil {
		if err := rt.createContainer(th, *c, s.Ports); err != nil {
			return plan.Object{}, err
		}
	}
	if s.Run != "" {
		if err := rt.makeRun(th, s, d); err != nil {
			return plan.Object{}, err
		}
	}
	return rt.add(th).view(), nil
}

// createContainer fills in what only containers have.
func (rt *Runtime) createContainer(th *thing, c plan.ContainerSpec, ports []plan.Port) error {
	img := rt.images[c.Image]
	if img.local == "" {
		return fmt.Errorf("image %s is not here", c.Image)
	}
	if c.Network != "" && rt.named(classNetwork, c.Network) == nil {
		return fmt.Errorf("no network %s", c.Network)
	}
	for _, m := range c.Mounts {
		if m.Type == plan.MountVolume && rt.named(classVolume, m.Source) == nil {
			return fmt.Errorf("no volume %s", m.Source)
		}
	}
	th.spec.Container = &c
	th.attached = c.Network != ""
	th.obj.State = plan.StateCreated
	th.obj.Image = img.local
	if c.Installed {
		made, err := rt.madeFor(th)
		if err != nil {
			return err
		}
		th.obj.Image = made.obj.Handle
	}
	for _, p := range ports {
		if p.HostPort == 0 {
			rt.ports++
			p.HostPort = rt.ports
		}
		th.obj.Ports = append(th.obj.Ports, p)
	}
	return nil
}

func (rt *Runtime) start(s plan.Step, d plan.Desired) (plan.Object, error) {
	th, err := rt.own(s, d)
	if err != nil {
		return plan.Object{}, err
	}
	if th == nil {
		return plan.Object{}, fmt.Errorf("no container %s", s.Object)
	}
	switch th.obj.State {
	case plan.StateRunning:
		return th.view(), nil
	case plan.StatePaused:
		th.obj.State = plan.StateRunning
		return th.view(), nil
	case plan.StateCreated, plan.StateExited:
	default:
		return plan.Object{}, fmt.Errorf("container %s is %s", th.obj.Name, th.obj.State)
	}
	for _, p := range th.obj.Ports {
		if other := rt.publisher(p); other != nil {
			return plan.Object{}, fmt.Errorf("host port %d is in use by %s", p.HostPort, other.obj.Name)
		}
	}
	th.obj.State = plan.StateRunning
	th.obj.Started, th.obj.Finished, th.obj.ExitCode = rt.now(), time.Time{}, 0
	rt.probe(th)
	if th.life != nil {
		if err := rt.command(th); err != nil {
			return plan.Object{}, err
		}
		return th.view(), nil
	}
	if main := th.spec.Container.Main; len(main.Command) == 2 && main.Command[0] == exitCommand {
		code, err := strconv.Atoi(main.Command[1])
		if err != nil {
			return plan.Object{}, fmt.Errorf("run %q: %w", main.Command, err)
		}
		rt.end(th, code)
	}
	return th.view(), nil
}

// publisher returns the running container that has a host port.
func (rt *Runtime) publisher(p plan.Port) *thing {
	for _, th := range rt.things {
		up := th.obj.State == plan.StateRunning || th.obj.State == plan.StatePaused
		if up && slices.ContainsFunc(th.obj.Ports, func(q plan.Port) bool {
			return p.HostPort == q.HostPort && p.Protocol == q.Protocol && (p.HostIP == q.HostIP || p.HostIP == "" || q.HostIP == "")
		}) {
			return th
		}
	}
	return nil
}

func (rt *Runtime) stop(s plan.Step, d plan.Desired) (plan.Object, error) {
	th, err := rt.own(s, d)
	if th == nil || err != nil {
		return plan.Object{}, err
	}
	switch th.obj.State {
	case plan.StateRunning, plan.StatePaused:
		rt.end(th, codeStopped)
	case plan.StateBroken:
		return plan.Object{}, fmt.Errorf("container %s is %s", th.obj.Name, th.obj.State)
	}
	return th.view(), nil
}

// end ends the process of a container.
func (rt *Runtime) end(th *thing, code int) {
	th.obj.State, th.obj.ExitCode, th.obj.Finished = plan.StateExited, code, rt.now()
	th.obj.Health = nil
	rt.endRun(th, code)
}

func (rt *Runtime) remove(s plan.Step, d plan.Desired) error {
	left := folderKey{d.Workspace, s.Target.String(), s.Run}
	if s.Run != "" && s.Object == "" {
		delete(rt.folders, left)
		return nil
	}
	th, err := rt.own(s, d)
	if th == nil && err == nil {
		delete(rt.folders, left)
	}
	if th == nil || err != nil {
		return err
	}
	if s.Run != th.obj.Run && s.Run != "" {
		return fmt.Errorf("%s %s is no run %s", th.class, th.obj.Name, s.Run)
	}
	if th.obj.UsedBy != "" {
		return fmt.Errorf("%s %s is in use by %s", th.class, th.obj.Name, th.obj.UsedBy)
	}
	for _, user := range rt.things {
		if user.uses(th) {
			return fmt.Errorf("%s %s is in use by %s", th.class, th.obj.Name, user.obj.Name)
		}
	}
	delete(rt.things, th.obj.Handle)
	delete(rt.folders, left)
	return nil
}

// uses reports whether other cannot go before th.
func (th *thing) uses(other *thing) bool {
	c := th.spec.Container
	if c == nil {
		return false
	}
	switch other.class {
	case classImage:
		return th.obj.Image == other.obj.Handle
	case classNetwork:
		return th.attached && c.Network == other.obj.Name
	case classVolume:
		return slices.ContainsFunc(c.Mounts, func(m plan.Mount) bool {
			return m.Type == plan.MountVolume && m.Source == other.obj.Name
		})
	}
	return false
}

func (rt *Runtime) activate(s plan.Step, d plan.Desired) (plan.Object, error) {
	th, err := rt.own(s, d)
	if err != nil {
		return plan.Object{}, err
	}
	if th == nil {
		return plan.Object{}, fmt.Errorf("no %s %s", classOf(s.Target.Kind), s.Object)
	}
	if other := rt.named(th.class, s.Name); other != nil && other != th {
		return plan.Object{}, fmt.Errorf("name %s is taken by %s", s.Name, other.obj.Handle)
	}
	th.obj.Name = s.Name
	return th.view(), nil
}

// wait waits until the object is as far as the step says.
func (rt *Runtime) wait(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	for {
		rt.mu.Lock()
		down, changed := rt.down, rt.changed
		th, err := rt.own(s, d)
		var obj plan.Object
		if th != nil {
			obj = th.view()
		}
		rt.mu.Unlock()
		switch {
		case down:
			return plan.Object{}, ErrDown
		case err != nil:
			return plan.Object{}, err
		case th == nil:
			return plan.Object{}, fmt.Errorf("no %s %s", classOf(s.Target.Kind), s.Object)
		}
		if done, err := arrived(obj, s.Until); done || err != nil {
			return obj, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if why := notReady(obj); why != nil {
				return plan.Object{}, fmt.Errorf("%w: %w", why, ctx.Err())
			}
			return plan.Object{}, ctx.Err()
		}
	}
}

// arrived says whether an object is as far as until, or that it never will be.
func arrived(obj plan.Object, until plan.Until) (bool, error) {
	exited := obj.State == plan.StateExited
	switch {
	case obj.State == plan.StateExists:
		return true, nil
	case obj.State == plan.StateBroken:
		return false, fmt.Errorf("container %s is broken", obj.Name)
	case until == plan.UntilFinished && exited && obj.ExitCode == 0, until == plan.UntilIdle && exited:
		return true, nil
	case exited:
		return false, fmt.Errorf("container %s exited with code %d", obj.Name, obj.ExitCode)
	case until == plan.UntilFinished, until == plan.UntilIdle:
		return false, nil
	}
	return obj.State == plan.StateRunning && notReady(obj) == nil, nil
}

// own returns the thing that a step acts on, nil when it is gone, and an error
// when it is not ours to act on.
func (rt *Runtime) own(s plan.Step, d plan.Desired) (*thing, error) {
	if s.Object == "" {
		return nil, fmt.Errorf("no object given")
	}
	th := rt.things[s.Object]
	if th == nil {
		return nil, nil
	}
	if !th.ours || th.obj.Workspace != d.Workspace || th.obj.ID.Compare(s.Target) != 0 {
		return nil, fmt.Errorf("%s %s is not ours: left alone", th.class, th.obj.Name)
	}
	return th, nil
}

// resource returns the desired resource that a step is for.
func resource(s plan.Step, d plan.Desired) (plan.Resource, error) {
	for _, r := range d.Resources {
		if r.ID.Compare(s.Target) == 0 {
			return r, nil
		}
	}
	return plan.Resource{}, fmt.Errorf("not desired")
}
