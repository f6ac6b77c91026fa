// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/reconcile/plan"
)

// support carries out the one step that networks, volumes and secrets have
// besides their creation.
func (r *Runtime) support(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	if s.Op != plan.OpDelete {
		return plan.Object{}, fmt.Errorf("%s %s: there is no such step for it", s.Op, s.Target)
	}
	switch s.Target.Kind {
	case plan.Network:
		return plan.Object{}, r.deleteNetwork(ctx, s, d)
	case plan.Volume:
		return plan.Object{}, r.deleteVolume(ctx, s, d)
	}
	return plan.Object{}, r.deleteSecret(ctx, s, d)
}

// existing is a thing that has the name already: it is the one we want, or the
// name is somebody else's.
func (r *Runtime) existing(s plan.Step, want plan.Object, labels map[string]string, handle string) (plan.Object, error) {
	got, ok := plan.ParseLabels(labels)
	if !ok || identify(got) != identify(want) || got.Digest != want.Digest {
		return plan.Object{}, fmt.Errorf("create %s: the name belongs to another %s", s.Name, strings.ToLower(string(s.Target.Kind)))
	}
	got.Handle, got.Name, got.State = handle, s.Name, plan.StateExists
	return got, nil
}

func (r *Runtime) createNetwork(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (plan.Object, error) {
	obj := r.newObject(s, d, res)
	made, err := network.Create(ctx, &nettypes.Network{
		Name: s.Name, Driver: res.Spec.Network.Driver, DNSEnabled: res.Spec.Network.DNS, IPv6Enabled: res.Spec.Network.IPv6,
		Labels: r.newLabels(s, d, res, nil),
	})
	if says(err, "already used", "already exists") {
		held, err := network.Inspect(ctx, s.Name, nil)
		if err != nil {
			return plan.Object{}, r.explain("inspect network "+s.Name, err)
		}
		return r.existing(s, obj, held.Labels, held.ID)
	}
	if err != nil {
		return plan.Object{}, r.explain("create network "+s.Name, err)
	}
	obj.Handle, obj.Created, obj.State = made.ID, made.Created, plan.StateExists
	return obj, nil
}

func (r *Runtime) deleteNetwork(ctx context.Context, s plan.Step, d plan.Desired) error {
	held, err := network.Inspect(ctx, s.Object, nil)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return r.explain("inspect network "+s.Name, err)
	}
	if err := r.check(held.Labels, s, d, s.Object); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	// Without force: a network that somebody uses is not ours alone. By name:
	// Podman looks for users of what it is given, and they know the name only.
	reports, err := network.Remove(ctx, held.Name, nil)
	for _, report := range reports {
		err = errors.Join(err, report.Err)
	}
	if err != nil && !notFound(err) {
		return r.explain("delete network "+s.Name, err)
	}
	return nil
}

// volumeHandle tells a volume from a later one of the same name; Podman itself
// has only the name.
func volumeHandle(name string, created time.Time) string {
	return name + "@" + strconv.FormatInt(created.UnixNano(), 10)
}

func volumeName(handle string) string {
	name, _, _ := strings.Cut(handle, "@")
	return name
}

func (r *Runtime) createVolume(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (plan.Object, error) {
	obj := r.newObject(s, d, res)
	made, err := volumes.Create(ctx, types.VolumeCreateOptions{Name: s.Name, Labels: r.newLabels(s, d, res, nil)}, nil)
	if says(err, "already exists") {
		held, err := volumes.Inspect(ctx, s.Name, nil)
		if err != nil {
			return plan.Object{}, r.explain("inspect volume "+s.Name, err)
		}
		return r.existing(s, obj, held.Labels, volumeHandle(held.Name, held.CreatedAt))
	}
	if err != nil {
		return plan.Object{}, r.explain("create volume "+s.Name, err)
	}
	obj.Handle, obj.Created, obj.State = volumeHandle(made.Name, made.CreatedAt), made.CreatedAt, plan.StateExists
	return obj, nil
}

func (r *Runtime) deleteVolume(ctx context.Context, s plan.Step, d plan.Desired) error {
	name := volumeName(s.Object)
	held, err := volumes.Inspect(ctx, name, nil)
	if notFound(err) || err == nil && volumeHandle(held.Name, held.CreatedAt) != s.Object {
		return nil // it is gone; another one may have its name
	}
	if err != nil {
		return r.explain("inspect volume "+name, err)
	}
	if err := r.check(held.Labels, s, d, s.Object); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := volumes.Remove(ctx, name, nil); err != nil && !notFound(err) {
		return r.explain("delete volume "+name, err)
	}
	return nil
}

func (r *Runtime) createSecret(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (plan.Object, error) {
	ref := res.Spec.Secret.Ref
	value, err := r.secretValue(ref)
	if err != nil {
		return plan.Object{}, fmt.Errorf("create secret %s: %w", s.Name, err)
	}
	bound := s.Bound[plan.Input{Kind: plan.InputSecret, Name: ref}.String()]
	if bound != "" && r.opt.HostKey != nil && fingerprint(r.opt.HostKey, ref, value) != bound {
		return plan.Object{}, fmt.Errorf("create secret %s: %w", s.Name, changed(ref))
	}
	obj := r.newObject(s, d, res)
	opt := new(secrets.CreateOptions).WithName(s.Name).WithLabels(r.newLabels(s, d, res, nil))
	made, err := secrets.Create(ctx, bytes.NewReader(value), opt)
	if says(err, "secret name in use", "already exists") {
		held, err := secrets.Inspect(ctx, s.Name, nil)
		if err != nil {
			return plan.Object{}, r.explain("inspect secret "+s.Name, err)
		}
		return r.existing(s, obj, held.Spec.Labels, held.ID)
	}
	if err != nil {
		return plan.Object{}, r.explain("create secret "+s.Name, err)
	}
	obj.Handle, obj.Created, obj.State = made.ID, time.Now(), plan.StateExists
	return obj, nil
}

func (r *Runtime) deleteSecret(ctx context.Context, s plan.Step, d plan.Desired) error {
	held, err := secrets.Inspect(ctx, s.Object, nil)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return r.explain("inspect secret "+s.Name, err)
	}
	if err := r.check(held.Spec.Labels, s, d, s.Object); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := secrets.Remove(ctx, s.Object); err != nil && !notFound(err) {
		return r.explain("delete secret "+s.Name, err)
	}
	return nil
}
