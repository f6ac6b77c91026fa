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
// second one, a secret two more.
func (r *Runtime) createContainer(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (plan.Object, error) {
	c := *res.Spec.Container
	if err := errors.Join(validate(c), r.needsHost(c)); err != nil {
		return plan.Object{}, fmt.Errorf("create %s: %w", s.Name, err)
	}
	// Nobody removes an unused secret or copy before the container uses it.
	r.uses.RLock()
	defer r.uses.RUnlock()
	vars := secretVariables(c)
	spec, err := r.containerSpec(ctx, s, d, res, vars)
	if err != nil {
		return plan.Object{}, fmt.Errorf("create %s: %w", s.Name, err)
	}
	obj := r.newObject(s, d, res)
	obj.State, obj.Created, obj.Image, obj.Ports = plan.StateCreated, time.Now(), spec.Labels[labelImage], ports(spec.PortMappings)

	obj.Handle, err = r.createOrFind(ctx, s, spec, obj)
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
func (r *Runtime) containerSpec(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource, vars map[string]string) (*specgen.SpecGenerator, error) {
	c := *res.Spec.Container
	img, err := r.imageFor(ctx, s, d, res)
	if err != nil {
		return nil, err
	}
	bundle := false
	if c.CABundle {
		p, err := r.look(ctx, img)
		if err != nil {
			return nil, err
		}
		bundle = p.bundle
	}
	published := s.Ports
	if published == nil {
		published = c.Ports
	}
	spec, err := r.generate(s.Name, c, r.choosePorts(published), img, bundle)
	if err != nil {
		return nil, err
	}
	// Prepare made the folders. They are made again if they went since, with the
	// last container that used them.
	if err := r.prepareMounts(ctx, s, c, func() (image, error) { return img, nil }); err != nil {
		return nil, err
	}
	if err := r.openChannel(s, d, c); err != nil {
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
	used, err := r.bindSecrets(ctx, s, d, spec, vars)
	if err != nil {
		return nil, err
	}
	if len(used) > 0 {
		spec.Labels[labelSecrets] = strings.Join(used, ",")
	}
	return spec, nil
}

// createOrFind creates the container. A name that is taken may be ours from a
// pass that was cut off, a leftover that no list shows, or somebody's.
func (r *Runtime) createOrFind(ctx context.Context, s plan.Step, spec *specgen.SpecGenerator, want plan.Object) (string, error) {
	made, err := containers.CreateWithSpec(ctx, spec, nil)
	if err == nil {
		return made.ID, nil
	}
	switch {
	case says(err, "image not known", "no such image"):
		r.images.forgetID(want.Image)
		return "", r.explain("create "+s.Name, err)
	case !says(err, "already in use"):
		return "", r.explain("create "+s.Name, err)
	}

	held, inspectErr := containers.Inspect(ctx, s.Name, nil)
	switch {
	case inspectErr == nil && sameObject(held, want):
		return held.ID, nil
	case inspectErr == nil:
		return "", fmt.Errorf("create %s: the name belongs to another container (%s)", s.Name, shortID(held.ID))
	case !notFound(inspectErr):
		return "", r.explain("inspect "+s.Name, inspectErr)
	}
	left, err := r.leftover(ctx, s.Name)
	if err != nil {
		return "", fmt.Errorf("create %s: %w", s.Name, err)
	}
	if err := r.removeContainer(ctx, left); err != nil {
		return "", r.explain("remove what a killed service left of "+s.Name, err)
	}
	made, err = containers.CreateWithSpec(ctx, spec, nil)
	if err != nil {
		return "", r.explain("create "+s.Name, err)
	}
	return made.ID, nil
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
		case c.State == "storage" && slices.Equal(c.Command, []string{"storage"}):
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
	return ok && identify(got) == identify(want) && got.Digest == want.Digest &&
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
