// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	case len(value) >= maxSecret:
		return fmt.Errorf("the value has %d bytes, and Podman keeps fewer than %d", len(value), maxSecret)
	}
	return nil
}

// KeepSecret puts a value into Podman's secret store. It reports whether that
// changed anything: a service that gives back what it keeps is asked first.
// A secret has no way of being changed in place: whether the new value can be kept
// is tried under another name before the old one goes.
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
	trial := trialName(name)
	if err := secrets.Remove(ctx, trial); err != nil && !notFound(err) { // of one that was interrupted
		return r.explain("remove secret "+trial, err)
	}
	if err := r.storeSecret(ctx, trial, value, map[string]string{labelVar: labels[labelVar]}); err != nil {
		return fmt.Errorf("%w; the old value is kept", err)
	}
	ctx = context.WithoutCancel(ctx) // half of it would be worse than either
	if err := secrets.Remove(ctx, old.ID); err != nil && !notFound(err) {
		return errors.Join(r.explain("remove secret "+name, err), r.explain("remove secret "+trial, secrets.Remove(ctx, trial)))
	}
	if err := r.storeSecret(ctx, name, value, labels); err != nil {
		return fmt.Errorf("%w; the old value is gone: run this again", err)
	}
	return r.explain("remove secret "+trial, secrets.Remove(ctx, trial))
}

// trialName is a name that nobody else gives, short enough for any service.
func trialName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "reconcile-next-" + hex.EncodeToString(sum[:8])
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
