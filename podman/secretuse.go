// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"

	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/reconcile/plan"
)

// binding is the secrets of one container on their way into it.
type binding struct {
	r    *Runtime
	s    plan.Step
	d    plan.Desired
	c    plan.ContainerSpec
	spec *specgen.SpecGenerator
	run  *runFolder // nil: the container is no run
	own  account    // whom its files belong to

	held  heldSecrets
	parts map[string][]secretPart // by reference
	used  []string                // derived secrets
	modes map[string]uint32       // of files by the secret's name
}

// bindSecrets has what is secret filled in by Podman when the container starts,
// so that no value is in its configuration. It returns the derived secrets that
// the container uses.
func (r *Runtime) bindSecrets(ctx context.Context, b binding) ([]string, error) {
	vars := secretVariables(b.c)
	if len(vars)+len(b.c.EnvFrom)+len(b.c.SecretFiles) == 0 {
		return nil, nil
	}
	b.r, b.parts, b.modes = r, map[string][]secretPart{}, map[string]uint32{}
	if err := b.look(ctx); err != nil {
		return nil, err
	}
	b.spec.EnvSecrets = map[string]string{}
	for _, name := range sortedKeys(vars) {
		if err := b.variable(ctx, name, b.parts[vars[name]]); err != nil {
			return nil, fmt.Errorf("env %s: %w", name, err)
		}
	}
	for _, ref := range b.c.EnvFrom {
		if err := b.variables(ctx, ref); err != nil {
			return nil, err
		}
	}
	for _, f := range b.c.SecretFiles {
		if err := b.files(ctx, f); err != nil {
			return nil, fmt.Errorf("file %s: %w", f.Target, err)
		}
	}
	return b.used, nil
}

// look resolves the references and checks that they stand for what was planned.
func (b *binding) look(ctx context.Context) error {
	refs := secretRefs(b.c)
	if slices.ContainsFunc(refs, ofPodman) {
		var err error
		if b.held, err = b.r.heldSecrets(ctx, refs); err != nil {
			return err
		}
	}
	for _, ref := range refs {
		parts, err := b.r.secretParts(ctx, ref, b.held, b.d.Sealed)
		if err != nil {
			return err
		}
		bound := b.s.Bound[plan.Input{Kind: plan.InputSecret, Name: ref}.String()]
		now := fingerprintOf(b.r.opt.HostKey, ref, parts)
		if bound != "" && now != "" && bound != now {
			return changed(ref)
		}
		b.parts[ref] = parts
	}
	return nil
}

// variable has a variable filled in.
func (b *binding) variable(ctx context.Context, name string, parts []secretPart) error {
	if len(parts) != 1 {
		return errors.New("the secret has several values")
	}
	p := parts[0]
	p.value = p.variable()
	if bytes.IndexByte(p.value, 0) >= 0 {
		return fmt.Errorf("secret %s holds a NUL byte, which no variable can have", p.name())
	}
	if most := maxVariable - len(name) - len("=\x00"); len(p.value) > most {
		return fmt.Errorf("secret %s has %d bytes, and the variable can have %d: mount it as a file", p.name(), len(p.value), most)
	}
	secret, err := b.keep(ctx, p, p.ref)
	if err != nil {
		return err
	}
	if secret == "" {
		b.spec.Env[name] = ""
	} else {
		b.spec.EnvSecrets[name] = secret
	}
	return nil
}

// maxVariable bounds in bytes NAME=VALUE and the NUL at its end: Linux starts nothing
// with more than 32 pages of it, which are 4 KiB or larger.
const maxVariable = 128 << 10

// variableName is what a variable may be called.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variables has a variable filled in for each key of a secret.
func (b *binding) variables(ctx context.Context, ref string) error {
	name := secretName(ref)
	for _, p := range b.parts[ref] {
		_, literal := b.spec.Env[p.key]
		_, secret := b.spec.EnvSecrets[p.key]
		switch {
		case !variableName.MatchString(p.key):
			return fmt.Errorf("env of secret %s: its key %q cannot be the name of a variable", name, p.key)
		case literal || secret:
			return fmt.Errorf("env of secret %s: there is another variable with the name of its key %s", name, p.key)
		}
		if err := b.variable(ctx, p.key, []secretPart{p}); err != nil {
			return fmt.Errorf("env %s: %w", p.key, err)
		}
	}
	return nil
}

// files has a file filled in, or a folder with a file for each key.
func (b *binding) files(ctx context.Context, f plan.SecretFile) error {
	if !severalFiles(f) {
		return b.file(ctx, f.Target, f.Mode, b.parts[f.Ref])
	}
	for _, p := range b.parts[f.Ref] {
		if err := b.file(ctx, path.Join(f.Target, p.key), f.Mode, []secretPart{p}); err != nil {
			return err
		}
	}
	return nil
}

// file has a file filled in. Podman keeps one copy of a secret for a container,
// with one mode.
func (b *binding) file(ctx context.Context, target string, mode uint32, parts []secretPart) error {
	if len(parts) != 1 {
		return errors.New("the secret has several values")
	}
	p := parts[0]
	secret, err := b.keep(ctx, p, fmt.Sprintf("%s\nmode %o", p.ref, mode))
	if err != nil {
		return err
	}
	if err := b.run.mountPoint(b.c, target, false); err != nil {
		return err
	}
	if secret == "" {
		return b.emptyFile(p, target, mode)
	}
	if other, twice := b.modes[secret]; twice && other != mode {
		return fmt.Errorf("the secret %s of Podman is a file with the mode %04o already, and cannot have %04o as well", p.info.Spec.Name, other, mode)
	}
	b.modes[secret] = mode
	b.spec.Secrets = append(b.spec.Secrets, specgen.Secret{
		Source: secret, Target: target, UID: uint32(b.own.uid), GID: uint32(b.own.gid), Mode: mode,
	})
	return nil
}

// emptyFile has a file filled in that Podman keeps no secret for.
func (b *binding) emptyFile(p secretPart, target string, mode uint32) error {
	if b.run == nil {
		return fmt.Errorf("secret %s is empty, and Podman keeps no empty secrets", p.name())
	}
	source, err := b.run.emptyFile(target, mode)
	if err != nil {
		return err
	}
	m := plan.Mount{Source: source, Target: target}
	for _, other := range b.c.Mounts {
		m.Relabel = cmp.Or(m.Relabel, other.Relabel)
	}
	b.spec.Mounts = append(b.spec.Mounts, bindMount(m))
	return nil
}

// keep returns what Podman knows the secret with the value by. What Podman does not
// have becomes a secret of ours first, named by what it is kept for. "" is an empty
// value, which Podman does not keep.
func (b *binding) keep(ctx context.Context, p secretPart, as string) (string, error) {
	switch {
	case p.info != nil:
		return p.info.ID, nil // which another secret of that name does not have
	case len(p.value) == 0:
		return "", nil
	case len(p.value) >= maxSecret:
		return "", fmt.Errorf("secret %s: %w", p.name(), errLongSecret)
	}
	name := b.r.derivedName(b.d, as, p.value)
	if slices.Contains(b.used, name) {
		return name, nil
	}
	b.used = append(b.used, name)
	return name, b.r.derive(ctx, b.d, name, p.ref, p.value)
}

// secretRefs are the secret references of a container, each once.
func secretRefs(c plan.ContainerSpec) []string {
	refs := slices.Clone(c.EnvFrom)
	for _, v := range c.Env {
		if v.Secret != "" {
			refs = append(refs, v.Secret)
		}
	}
	for _, f := range c.SecretFiles {
		refs = append(refs, f.Ref)
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

func changed(ref string) error {
	return fmt.Errorf("secret %s changed while planning", secretName(ref))
}
