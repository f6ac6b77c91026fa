// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
)

// What an install hook writes to the copy of the agent's folder is no part of the
// image it makes, and may be lost without it. A mark beside the copy says that the
// hook has written there: a copy that was made anew has none.

// markOf is the file that marks the copy at path.
func markOf(path string) string {
	dir, base := filepath.Split(path)
	return filepath.Join(dir, "."+base+".installed")
}

// installCopies are the copies that the install hook of an image writes to.
func (r *Runtime) installCopies(d plan.Desired, spec plan.ImageSpec) []string {
	of, err := instanceOf(d, spec)
	if err != nil || spec.TreeHash == "" || r.remote {
		return nil
	}
	var list []string
	for _, m := range of.Spec.Container.Mounts {
		if m.Type == plan.MountCopy && m.TreeHash == spec.TreeHash {
			list = append(list, r.mountSource(m))
		}
	}
	return list
}

// markInstalled says that the hook that made obj has written to its copies.
func (r *Runtime) markInstalled(d plan.Desired, spec plan.ImageSpec, obj plan.Object) error {
	text := plan.Generation(obj.Digest, obj.Inputs) + "\n"
	for _, path := range r.installCopies(d, spec) {
		if err := atomicfile.Write(markOf(path), []byte(text), atomicfile.Options{Perm: 0o644, Sync: true}); err != nil {
			return fmt.Errorf("mark %s: %w", path, err)
		}
	}
	return nil
}

// installLost says why the image obj alone is not all that its hook made; "" = it
// is, as far as can be told.
func (r *Runtime) installLost(d plan.Desired, obj plan.Object) string {
	i := slices.IndexFunc(d.Resources, func(res plan.Resource) bool { return res.ID.Compare(obj.ID) == 0 })
	if i < 0 || d.Resources[i].Spec.Image == nil || d.Resources[i].Spec.DigestAs(obj.Digest) != obj.Digest {
		return ""
	}
	for _, path := range r.installCopies(d, *d.Resources[i].Spec.Image) {
		_, err := os.Stat(path)
		text, markErr := os.ReadFile(markOf(path))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(markErr, fs.ErrNotExist):
		case err != nil || markErr != nil:
			continue // what cannot be read is not lost
		case string(text) == plan.Generation(obj.Digest, obj.Inputs)+"\n":
			continue
		}
		return "what its install hook wrote to the copy of the agent's folder is gone"
	}
	return ""
}
