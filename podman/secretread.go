// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/secrets"
)

// Secret returns the value that a secret reference stands for, see plan.Input, for
// a process that is no container. Older services do not give back what they keep.
func (r *Runtime) Secret(ctx context.Context, ref string) (string, error) {
	name, ours := strings.CutPrefix(ref, "secret:")
	if ours {
		info, err := secrets.Inspect(r.with(ctx), name, new(secrets.InspectOptions).WithShowSecret(true))
		switch {
		case err == nil && info.SecretData != "":
			return info.SecretData, nil
		case err == nil:
			return r.secretBeside(name)
		case !notFound(err):
			return "", r.explain("inspect secret "+name, err)
		}
	}
	value, err := r.secretValue(ref)
	return string(value), err
}

// secretBeside is the value of a secret that Podman has and does not give back.
func (r *Runtime) secretBeside(name string) (string, error) {
	value, err := r.secretValue("secret:" + name)
	if err != nil {
		return "", fmt.Errorf("podman %s does not give back the value of secret %s; keep it as a file in the secrets directory as well (%w)",
			r.link.Load().version, name, err)
	}
	return string(value), nil
}
