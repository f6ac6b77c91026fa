// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/reconcile/plan"
)

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
	return r.explain("keep secret "+secretName(ref), err)
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
	all, err := r.listSecrets(ctx, nil)
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

// listSecrets returns the secrets that are wanted, nil = all, with their labels. On
// older services each secret is inspected once: another secret of the same name has
// another ID.
func (r *Runtime) listSecrets(ctx context.Context, wanted func(name string) bool) ([]*types.SecretInfoReport, error) {
	list, err := secrets.List(ctx, nil)
	if err != nil {
		return nil, r.explain("list secrets", err)
	}
	if wanted != nil {
		list = slices.DeleteFunc(list, func(s *types.SecretInfoReport) bool { return !wanted(s.Spec.Name) })
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

// heldSecrets lists what references may stand for among the secrets of Podman.
func (r *Runtime) heldSecrets(ctx context.Context, refs []string) (heldSecrets, error) {
	list, err := r.listSecrets(ctx, func(name string) bool {
		return slices.ContainsFunc(refs, func(ref string) bool { return mayBe(ref, name) })
	})
	if err != nil {
		return nil, err
	}
	held := heldSecrets{}
	for _, s := range list {
		if _, ours := plan.ParseLabels(s.Spec.Labels); !ours {
			held[s.Spec.Name] = s
		}
	}
	return held, nil
}

// mayBe reports whether a reference may stand for the secret of Podman of that
// name.
func mayBe(ref, name string) bool {
	scheme, of, _ := strings.Cut(ref, ":")
	switch scheme {
	case "secret":
		return name == of
	case "key":
		of, key, _ := strings.Cut(of, "/")
		return name == of || name == of+"."+key
	case "keys":
		return strings.HasPrefix(name, of+".")
	}
	return false
}
