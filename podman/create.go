// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/opencontainers/runtime-spec/specs-go"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// createContainer makes a container of the bound image and secrets. One API
// call does it for an image that is known; a port that Podman picks costs a
// second one, secrets one and another for each that Podman does not have.
func (r *Runtime) createContainer(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (plan.Object, error) {
	c := *res.Spec.Container
	if err := errors.Join(validate(c), r.needsHost(c)); err != nil {
		return plan.Object{}, fmt.Errorf("create %s: %w", s.Name, err)
	}
	img, err := r.imageFor(ctx, s, d, res)
	if err != nil {
		return plan.Object{}, fmt.Errorf("create %s: %w", s.Name, err)
	}
	// Nobody removes an unused secret or copy before the container uses it.
	r.uses.RLock()
	defer r.uses.RUnlock()
	spec, err := r.containerSpec(ctx, s, d, res, img)
	if err != nil {
		return plan.Object{}, fmt.Errorf("create %s: %w", s.Name, err)
	}
	obj := r.newObject(s, d, res)
	obj.State, obj.Created, obj.Image, obj.Ports = plan.StateCreated, time.Now(), spec.Labels[labelImage], ports(spec.PortMappings)

	fresh := false
	obj.Handle, fresh, err = r.createOrFind(ctx, s, spec, obj)
	if err == nil {
		err = r.makeParents(ctx, parents{handle: obj.Handle, fresh: fresh, c: c, img: img})
	}
	if err != nil {
		return plan.Object{}, err
	}
	if !slices.ContainsFunc(spec.PortMappings, func(p nettypes.PortMapping) bool { return p.HostPort == 0 }) {
		return obj, nil
	}
	made, err := containers.Inspect(ctx, obj.Handle, nil)
	if err != nil {
		return plan.Object{}, r.explain("inspect "+s.Name, err)
	}
	obj.Ports = inspectedPorts(made)
	return obj, nil
}

// containerSpec is all of what is sent to Podman.
func (r *Runtime) containerSpec(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource, img image) (*specgen.SpecGenerator, error) {
	c := *res.Spec.Container
	bundle, err := r.hasBundle(ctx, c, img)
	if err != nil {
		return nil, err
	}
	published := s.Ports
	if published == nil {
		published = c.Ports
	}
	// Prepare made the folders. They are made again if they went since, with the
	// last container that used them.
	if err := r.prepareMounts(ctx, s, c, func() (image, error) { return img, nil }); err != nil {
		return nil, err
	}
	run, err := r.prepareRun(ctx, s, d, c, img)
	if err != nil {
		return nil, err
	}
	c.Mounts = run.mounts(c)
	spec, err := r.generate(ctx, s.Name, c, r.choosePorts(published), img, bundle)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.openChannel(s, d, c), r.addDaemonEnv(ctx, s, c, spec)); err != nil {
		return nil, err
	}
	spec.Labels = r.newLabels(s, d, res, c.Labels)
	if copies := r.copies(c); len(copies) > 0 {
		spec.Labels[labelCopies] = strings.Join(copies, "\n")
	}
	spec.Labels[labelImage] = img.id
	if r.probed(c) {
		key := channelKey(d.Workspace, s.Target)
		spec.Labels[labelChannel] = key
		spec.Mounts = append(spec.Mounts, specs.Mount{
			Type: "bind", Source: r.channels.folder(key), Destination: helper.Channel, Options: []string{"bind", "rprivate", "ro"},
		})
	}
	if c.Network != "" {
		spec.Labels[labelNetwork] = c.Network
	}
	run.enter(s, spec)
	b := binding{s: s, d: d, c: c, spec: spec, run: run}
	if len(c.SecretFiles) > 0 {
		if b.own, err = r.accountOf(ctx, img, c); err != nil {
			return nil, err
		}
	}
	used, err := r.bindSecrets(ctx, b)
	if err != nil {
		return nil, err
	}
	if len(used) > 0 {
		spec.Labels[labelSecrets] = strings.Join(used, ",")
	}
	return spec, nil
}

// createOrFind creates the container. A name that is taken may be ours from a
// pass that was cut off, a leftover that no list shows, or somebody's. One that was
// made just now is fresh.
func (r *Runtime) createOrFind(ctx context.Context, s plan.Step, spec *specgen.SpecGenerator, want plan.Object) (id string, fresh bool, err error) {
	made, err := containers.CreateWithSpec(ctx, spec, nil)
	if err == nil {
		return made.ID, true, nil
	}
	switch {
	case says(err, "image not known", "no such image"):
		r.images.forgetID(want.Image)
		return "", false, r.explain("create "+s.Name, err)
	case !says(err, "already in use"):
		return "", false, r.explain("create "+s.Name, err)
	}

	held, inspectErr := containers.Inspect(ctx, s.Name, nil)
	switch {
	case inspectErr == nil && sameObject(held, want):
		return held.ID, false, nil
	case inspectErr == nil:
		return "", false, fmt.Errorf("create %s: the name belongs to another container (%s)", s.Name, shortID(held.ID))
	case !notFound(inspectErr):
		return "", false, r.explain("inspect "+s.Name, inspectErr)
	}
	left, err := r.leftover(ctx, s.Name)
	if err != nil {
		return "", false, fmt.Errorf("create %s: %w", s.Name, err)
	}
	if err := r.removeContainer(ctx, left); err != nil {
		return "", false, r.explain("remove what a killed service left of "+s.Name, err)
	}
	made, err = containers.CreateWithSpec(ctx, spec, nil)
	if err != nil {
		return "", false, r.explain("create "+s.Name, err)
	}
	return made.ID, true, nil
}

// leftover finds the container that Podman does not know but its storage has
// under the name: the service was killed while it created one. Other tools keep
// containers in that storage as well; theirs are left alone.
func (r *Runtime) leftover(ctx context.Context, name string) (id string, err error) {
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithExternal(true))
	if err != nil {
		return "", r.explain("list containers", err)
	}
	for _, c := range list {
		switch {
		case !slices.Contains(c.Names, name):
		case onlyStored(c):
			return c.ID, nil
		default:
			return "", fmt.Errorf("the name belongs to a container of another tool (%s)", shortID(c.ID))
		}
	}
	return "", errors.New("the name is in use, but no container has it")
}

// sameObject reports whether a container is what the step would make: the
// create was done already, by a pass that did not live to see it.
func sameObject(held *define.InspectContainerData, want plan.Object) bool {
	got, ok := plan.ParseLabels(held.Config.Labels)
	return ok && identify(got) == identify(want) && got.Run == want.Run && got.Digest == want.Digest &&
		maps.Equal(got.Inputs, want.Inputs) && held.State.Status == "created"
}

func shortID(id string) string { return id[:min(12, len(id))] }

// inspectedPorts are the ports of an inspected container.
func inspectedPorts(c *define.InspectContainerData) []plan.Port {
	var out []plan.Port
	for key, hosts := range c.HostConfig.PortBindings {
		number, protocol, _ := strings.Cut(key, "/")
		for _, h := range hosts {
			p := plan.Port{HostIP: h.HostIP, Protocol: protocol, Container: parsePort(number), HostPort: parsePort(h.HostPort)}
			out = append(out, p)
		}
	}
	slices.SortFunc(out, comparePorts)
	return out
}

func parsePort(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}
