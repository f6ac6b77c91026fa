// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
)

// labelVar says for which variable a secret was kept, as WORKSPACE/NAME.
const labelVar = "reconcile.var"

// KeptSecret is a value for Podman's secret store.
type KeptSecret struct {
	Name  string
	Value []byte
	For   string // the variable that it is of, WORKSPACE/NAME
	// Replace: one of this name may be replaced whoever made it, since the variable
	// refers to it already. Otherwise only one that was kept for the same variable.
	Replace bool
}

// ErrForeignSecret: a secret of that name is somebody else's.
var ErrForeignSecret = errors.New("there is a secret of that name, which was not made for this variable")

// CheckSecret returns why Podman would not keep a value; nil = it would.
func CheckSecret(value []byte) error {
	switch {
	case len(value) == 0:
		return errors.New("the value is empty, and Podman keeps no empty secrets")
	case bytes.IndexByte(value, 0) >= 0:
		return errors.New("the value has a NUL byte, which no variable can have")
	case len(value) > maxSecret:
		return fmt.Errorf("the value is longer than %d bytes", maxSecret)
	}
	return nil
}

// KeepSecret puts a value into Podman's secret store. It reports whether that
// changed anything: a service that gives back what it keeps is asked first.
// A secret has no way of being changed in place; when the new one cannot be kept,
// the old one is put back as far as the service had told its value.
func (r *Runtime) KeepSecret(ctx context.Context, s KeptSecret) (changed bool, err error) {
	if err := CheckSecret(s.Value); err != nil {
		return false, err
	}
	ctx = r.with(ctx)
	labels := map[string]string{labelVar: s.For}
	old, err := secrets.Inspect(ctx, s.Name, new(secrets.InspectOptions).WithShowSecret(true))
	switch {
	case notFound(err):
		return true, r.storeSecret(ctx, s.Name, s.Value, labels)
	case err != nil:
		return false, r.explain("inspect secret "+s.Name, err)
	case !s.Replace && old.Spec.Labels[labelVar] != s.For:
		return false, fmt.Errorf("secret %s: %w", s.Name, ErrForeignSecret)
	case old.SecretData == string(s.Value):
		return false, nil
	}
	return true, r.replaceSecret(ctx, old, s.Value)
}

func (r *Runtime) replaceSecret(ctx context.Context, old *types.SecretInfoReport, value []byte) error {
	name, labels := old.Spec.Name, maps.Clone(old.Spec.Labels)
	if err := secrets.Remove(ctx, old.ID); err != nil && !notFound(err) {
		return r.explain("remove secret "+name, err)
	}
	err := r.storeSecret(ctx, name, value, labels)
	if err == nil {
		return nil
	}
	if old.SecretData == "" {
		return fmt.Errorf("%w; the old value is gone: run this again", err)
	}
	ctx = context.WithoutCancel(ctx)
	if again := r.storeSecret(ctx, name, []byte(old.SecretData), labels); again != nil {
		return fmt.Errorf("%w; the old value is gone: run this again", err)
	}
	return fmt.Errorf("%w; the old value is kept", err)
}

func (r *Runtime) storeSecret(ctx context.Context, name string, value []byte, labels map[string]string) error {
	_, err := secrets.Create(ctx, bytes.NewReader(value), new(secrets.CreateOptions).WithName(name).WithLabels(labels))
	return r.explain("keep secret "+name, err)
}

// HasSecret reports whether Podman has a secret of that name, which goes before a
// file of the secrets directory.
func (r *Reader) HasSecret(ctx context.Context, name string) (bool, error) {
	_, err := secrets.Inspect(r.rt.with(ctx), name, nil)
	if notFound(err) {
		return false, nil
	}
	return err == nil, r.rt.explain("inspect secret "+name, err)
}
