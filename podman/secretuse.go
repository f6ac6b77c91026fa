// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/reconcile/plan"
)

// bindSecrets has the variables that are secrets filled in by Podman when the
// container starts, so that no value is in its configuration. It returns the
// derived secrets that the container uses.
func (r *Runtime) bindSecrets(ctx context.Context, s plan.Step, d plan.Desired, spec *specgen.SpecGenerator, vars map[string]string) ([]string, error) {
	if len(vars) == 0 {
		return nil, nil
	}
	var used []string
	spec.EnvSecrets = map[string]string{}
	for _, name := range sortedKeys(vars) {
		secret, derived, err := r.bindSecret(ctx, s, d, vars[name])
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", name, err)
		}
		if secret == "" { // Podman keeps no empty secrets
			spec.Env[name] = ""
			continue
		}
		spec.EnvSecrets[name] = secret
		if derived && !slices.Contains(used, secret) {
			used = append(used, secret)
		}
	}
	return used, nil
}

// bindSecret returns the name of the Podman secret that a reference stands for.
// A file or a variable becomes a secret of ours first. "" is an empty value.
func (r *Runtime) bindSecret(ctx context.Context, s plan.Step, d plan.Desired, ref string) (name string, derived bool, err error) {
	bound := s.Bound[plan.Input{Kind: plan.InputSecret, Name: ref}.String()]
	if name, ok := strings.CutPrefix(ref, "secret:"); ok {
		info, err := secrets.Inspect(ctx, name, nil)
		switch {
		case err == nil && bound != "" && podmanFingerprint(info) != bound:
			return "", false, changed(ref)
		case err == nil:
			return info.Spec.Name, false, nil
		case !notFound(err):
			return "", false, r.explain("inspect secret "+name, err)
		}
	}
	value, err := r.secretValue(ref)
	if err != nil {
		return "", false, err
	}
	if bound != "" && r.opt.HostKey != nil && fingerprint(r.opt.HostKey, ref, value) != bound {
		return "", false, changed(ref)
	}
	switch {
	case len(value) == 0:
		return "", false, nil
	case bytes.IndexByte(value, 0) >= 0:
		return "", false, fmt.Errorf("secret %s holds a NUL byte", ref)
	case len(value) > maxSecret:
		return "", false, fmt.Errorf("secret %s is longer than %d bytes", ref, maxSecret)
	}
	name = r.derivedName(d, ref, value)
	return name, true, r.derive(ctx, d, name, ref, value)
}

func changed(ref string) error {
	_, name, _ := strings.Cut(ref, ":")
	return fmt.Errorf("secret %s changed while planning", name)
}

// derivedName is the name of the secret that is made of a value. Another value
// has another name, so a container never sees a value it was not made with.
func (r *Runtime) derivedName(d plan.Desired, ref string, value []byte) string {
	key := r.opt.HostKey
	if key == nil {
		key = r.ephemKey
	}
	sum := sha256.Sum256([]byte(d.Root + "\n" + r.opt.Owner + "\n" + fingerprint(key, ref, value)))
	workspace := d.Workspace[:min(len(d.Workspace), 32)] // Podman takes 64 characters
	return "reconcile-" + workspace + "-" + hex.EncodeToString(sum[:8])
}

// derive has Podman keep a value under the name.
func (r *Runtime) derive(ctx context.Context, d plan.Desired, name, ref string, value []byte) error {
	labels := map[string]string{labelDerived: ref, plan.LabelWorkspace: d.Workspace}
	_, err := secrets.Create(ctx, bytes.NewReader(value), new(secrets.CreateOptions).WithName(name).WithLabels(labels))
	if err == nil || says(err, "secret name in use", "already exists") {
		return nil
	}
	return r.explain("keep secret "+ref, err)
}

// pruneSecrets removes the derived secrets of the workspace that no container
// uses any more, those that an interrupted pass left included.
func (r *Runtime) pruneSecrets(ctx context.Context, d plan.Desired) error {
	r.uses.Lock()
	defer r.uses.Unlock()
	filter := map[string][]string{"label": {labelSecrets}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		return r.explain("list containers", err)
	}
	used := map[string]bool{}
	for _, c := range list {
		for name := range strings.SplitSeq(c.Labels[labelSecrets], ",") {
			used[name] = true
		}
	}
	all, err := r.listSecrets(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		l := s.Spec.Labels
		if l[labelDerived] == "" || l[plan.LabelWorkspace] != d.Workspace || used[s.Spec.Name] {
			continue
		}
		if err := secrets.Remove(ctx, s.ID); err != nil && !notFound(err) {
			return r.explain("remove secret "+s.Spec.Name, err)
		}
	}
	return nil
}

// labelledLists is the first Podman whose list of secrets has their labels.
var labelledLists = version{5, 0, 0}

// listSecrets returns all secrets with their labels. On older services each
// secret is inspected once: another secret of the same name has another ID.
func (r *Runtime) listSecrets(ctx context.Context) ([]*types.SecretInfoReport, error) {
	list, err := secrets.List(ctx, nil)
	if err != nil {
		return nil, r.explain("list secrets", err)
	}
	if !r.link.Load().version.less(labelledLists) {
		return list, nil
	}
	for _, s := range list {
		r.mu.Lock()
		labels, known := r.secretLabels[s.ID]
		r.mu.Unlock()
		if !known {
			full, err := secrets.Inspect(ctx, s.ID, nil)
			if notFound(err) {
				continue // removed since the list
			}
			if err != nil {
				return nil, r.explain("inspect secret "+s.Spec.Name, err)
			}
			labels = full.Spec.Labels
			r.mu.Lock()
			r.secretLabels[s.ID] = labels
			r.mu.Unlock()
		}
		s.Spec.Labels = labels
	}
	return list, nil
}
