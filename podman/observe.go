// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/reconcile/plan"
)

// Observe returns what exists for d's workspace. It makes one list call each
// for containers, networks, volumes, secrets and images, one per kind whose
// desired names are not all ours, and one registry look-up per image reference.
// Nothing is inspected one by one.
//
// Only a failed list of containers is an error; what else could not be read is
// in Incomplete. A service that was lost is looked for once more, and a private
// one that has ended is started again.
func (r *Runtime) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	link := r.link.Load()
	out, err := r.observe(ctx, d)
	if _, lost := errors.AsType[*lostError](err); !lost || r.reopen(ctx, link) != nil {
		return out, err
	}
	return r.observe(ctx, d)
}

func (r *Runtime) observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	o := observation{
		r: r, d: d, ours: map[string][]string{workspaceFilter: {plan.LabelWorkspace + "=" + d.Workspace}},
		channels: map[string]string{}, out: plan.Observed{NoHostPaths: r.remote},
	}
	ctx, cancel := context.WithCancel(r.with(ctx))
	defer cancel()

	var group sync.WaitGroup
	group.Go(func() { o.err = o.containers(ctx); cancelOn(o.err, cancel) })
	group.Go(func() { o.note("networks", o.networks(ctx)) })
	group.Go(func() { o.note("volumes", o.volumes(ctx)) })
	group.Go(func() { o.note("secrets", o.secrets(ctx)) })
	group.Go(func() { o.note("images", o.images(ctx)) })
	group.Go(func() { o.out.Unenforced = r.vainLimits(ctx, d) })
	group.Wait()
	if o.err != nil {
		return plan.Observed{}, o.err
	}
	o.note("images", o.installed(ctx))
	o.listen(ctx)
	o.note("names", o.foreigners(ctx))

	slices.SortFunc(o.out.Objects, func(a, b plan.Object) int {
		return cmp.Or(a.ID.Compare(b.ID), a.Created.Compare(b.Created), cmp.Compare(a.Handle, b.Handle))
	})
	slices.SortFunc(o.out.Foreign, func(a, b plan.Object) int {
		return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(o.out.Incomplete, func(a, b plan.Reason) int { return cmp.Compare(a.Text, b.Text) })
	o.lostRuns()
	o.out.Inputs = o.facts(ctx)
	r.remember(d.Workspace, o.out, o.awaited)
	return o.out, nil
}

const workspaceFilter = "label"

func cancelOn(err error, cancel context.CancelFunc) {
	if err != nil {
		cancel()
	}
}

// observation is one Observe at work.
type observation struct {
	r    *Runtime
	d    plan.Desired
	ours map[string][]string // filter for objects of this workspace

	mu  sync.Mutex
	out plan.Observed
	err error

	channels    map[string]string     // of probed containers by handle
	awaited     []string              // the outcomes of runs that go on
	imageFacts  map[string]plan.Fact  // by reference
	derivedList []*types.ImageSummary // under names of derived images
	secretInfos heldSecrets
	secretErr   error
}

func (o *observation) add(obj plan.Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Objects = append(o.out.Objects, obj)
}

// note makes an error a part of Incomplete.
func (o *observation) note(what string, err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Incomplete = append(o.out.Incomplete, plan.Reason{
		Code: plan.CodeUnknown, Text: fmt.Sprintf("the %s could not be read: %v", what, err),
	})
}

func (o *observation) containers(ctx context.Context) error {
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(o.ours))
	if err != nil {
		return o.r.explain("list containers", err)
	}
	hooked := withHooks(o.d)
	for _, c := range list {
		obj, ok := o.r.container(c)
		if !ok {
			continue
		}
		if slices.ContainsFunc(obj.Drift, func(r plan.Reason) bool { return r.Code == plan.CodeOtherImage }) {
			inherited, err := o.r.inheritsLabels(ctx, obj.Image)
			if err != nil || inherited {
				o.note("image of the container "+obj.Name, err)
				continue
			}
		}
		if key := c.Labels[labelChannel]; key != "" {
			o.channels[obj.Handle] = key
		}
		if obj.State == plan.StateExited && o.r.endedUnseen(c) {
			obj.State, obj.ExitCode, obj.Finished = plan.StateCreated, 0, time.Time{}
		}
		if obj.State == plan.StateExited && hooked[obj.ID] {
			obj.Started = o.r.began(ctx, run{handle: c.ID, second: c.StartedAt})
		}
		o.outcome(c, &obj)
		o.add(obj)
	}
	return nil
}

// inheritsLabels reports whether an image gives our labels to every container
// that is made of it, as one does that somebody committed from an instance.
// Such a container is theirs.
func (r *Runtime) inheritsLabels(ctx context.Context, image string) (bool, error) {
	img, err := images.GetImage(ctx, image, nil)
	if err != nil {
		return false, r.explain("inspect "+image, err)
	}
	_, ours := plan.ParseLabels(img.Labels)
	return ours, nil
}

// container is a listed container as an object, if it is ours.
func (r *Runtime) container(c types.ListContainer) (plan.Object, bool) {
	obj, ok := plan.ParseLabels(c.Labels)
	if !ok || len(c.Names) == 0 {
		return plan.Object{}, false
	}
	obj.Handle, obj.Name = c.ID, c.Names[0]
	obj.Created = c.Created
	obj.State = r.state(c)
	if c.StartedAt > 0 {
		obj.Started = time.Unix(c.StartedAt, 0)
		if obj.State == plan.StateRunning {
			obj.Started = r.begun(run{c.ID, c.Pid, c.StartedAt})
		}
	}
	if obj.State == plan.StateExited {
		obj.ExitCode = int(c.ExitCode)
		if c.ExitedAt > 0 {
			obj.Finished = time.Unix(c.ExitedAt, 0)
		}
	}
	obj.Image = imageID(c.ImageID)
	obj.Ports = ports(c.Ports)
	if want := c.Labels[labelNetwork]; want != "" && !slices.Contains(c.Networks, want) {
		obj.Drift = append(obj.Drift, plan.Reason{Code: plan.CodeDetached, Text: "not on its network " + want})
	}
	if want := c.Labels[labelImage]; want != "" && want != obj.Image {
		obj.Drift = append(obj.Drift, plan.Reason{Code: plan.CodeOtherImage, Text: "runs another image than it was made with"})
	}
	return obj, true
}

// state maps Podman's states. A container that is being stopped still runs,
// unless its process is gone and Podman has not noticed: then nobody will ever
// finish the stop.
func (r *Runtime) state(c types.ListContainer) plan.State {
	switch c.State {
	case "created", "configured", "initialized":
		return plan.StateCreated
	case "running":
		return plan.StateRunning
	case "paused":
		return plan.StatePaused
	case "exited", "stopped":
		return plan.StateExited
	case "stopping":
		if !r.remote && !alive(c.Pid) {
			return plan.StateBroken
		}
		return plan.StateRunning
	}
	return plan.StateBroken
}

// imageID is the one spelling of an image's ID.
func imageID(id string) string {
	if id == "" || len(id) > 7 && id[:7] == "sha256:" {
		return id
	}
	return "sha256:" + id
}

// ports spells out published ports, sorted by container port and protocol.
func ports(list []nettypes.PortMapping) []plan.Port {
	var out []plan.Port
	for _, p := range list {
		for i := range max(p.Range, 1) {
			out = append(out, plan.Port{HostIP: p.HostIP, HostPort: p.HostPort + i, Container: p.ContainerPort + i, Protocol: cmp.Or(p.Protocol, "tcp")})
		}
	}
	slices.SortFunc(out, comparePorts)
	return out
}

func comparePorts(a, b plan.Port) int {
	return cmp.Or(
		cmp.Compare(a.Container, b.Container), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.HostIP, b.HostIP), cmp.Compare(a.HostPort, b.HostPort),
	)
}

func (o *observation) networks(ctx context.Context) error {
	list, err := network.List(ctx, new(network.ListOptions).WithFilters(o.ours))
	if err != nil {
		return o.r.explain("list networks", err)
	}
	o.r.hearAnew(o.d.Workspace, list)
	for _, n := range list {
		if obj, ok := plan.ParseLabels(n.Labels); ok {
			obj.Handle, obj.Name, obj.Created, obj.State = n.ID, n.Name, n.Created, plan.StateExists
			o.add(obj)
		}
	}
	return nil
}

func (o *observation) volumes(ctx context.Context) error {
	list, err := volumes.List(ctx, new(volumes.ListOptions).WithFilters(o.ours))
	if err != nil {
		return o.r.explain("list volumes", err)
	}
	for _, v := range list {
		if obj, ok := plan.ParseLabels(v.Labels); ok {
			obj.Handle, obj.Name, obj.Created, obj.State = volumeHandle(v.Name, v.CreatedAt), v.Name, v.CreatedAt, plan.StateExists
			o.add(obj)
		}
	}
	return nil
}

// secrets lists all of Podman's secrets: services cannot filter them by label,
// and references need those of others.
func (o *observation) secrets(ctx context.Context) error {
	list, err := o.r.listSecrets(ctx, nil)
	if err != nil {
		o.secretErr = err
		return err
	}
	o.secretInfos = heldSecrets{}
	for _, s := range list {
		obj, ok := plan.ParseLabels(s.Spec.Labels)
		if !ok {
			o.secretInfos[s.Spec.Name] = s
			continue
		}
		if obj.Workspace == o.d.Workspace {
			obj.Handle, obj.Name, obj.Created, obj.State = s.ID, s.Spec.Name, s.CreatedAt, plan.StateExists
			o.add(obj)
		}
	}
	return nil
}
