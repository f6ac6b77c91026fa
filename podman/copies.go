// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/reconcile/plan"
)

// copyNameLen is how much of a tree hash names the folder of a copy.
const copyNameLen = 12

var copyName = regexp.MustCompile(fmt.Sprintf("^[0-9a-f]{%d}$", copyNameLen))

// copies are the folders that are copied for a container.
func (r *Runtime) copies(c plan.ContainerSpec) []string {
	var list []string
	for _, m := range c.Mounts {
		if m.Type == plan.MountCopy {
			list = append(list, r.mountSource(m))
		}
	}
	return list
}

// dropCopies removes the copies of a container that was deleted, given by its
// labels, unless another container has them: the next generation, made of the
// same tree. A resource's copies are its own, so nobody else can have them.
func (r *Runtime) dropCopies(ctx context.Context, labels map[string]string) error {
	label := labels[labelCopies]
	if label == "" || r.remote {
		return nil
	}
	r.uses.Lock()
	defer r.uses.Unlock()
	filter := map[string][]string{"label": {
		labelCopies, plan.LabelWorkspace + "=" + labels[plan.LabelWorkspace], plan.LabelID + "=" + labels[plan.LabelID],
	}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		return r.explain("list containers", err)
	}
	used := map[string]bool{}
	for _, c := range list {
		for path := range strings.SplitSeq(c.Labels[labelCopies], "\n") {
			used[path] = true
		}
	}
	for path := range strings.SplitSeq(label, "\n") {
		if used[path] || !r.isCopy(path) {
			continue
		}
		unlock, err := r.folders.lock(ctx, path)
		if err != nil {
			return err
		}
		err = os.RemoveAll(path)
		unlock()
		if err != nil {
			return fmt.Errorf("remove the copy %s: %w", path, err)
		}
		// The folder of the resource goes with its last copy; while it has
		// others this fails.
		_ = os.Remove(filepath.Dir(path))
	}
	return nil
}

// isCopy reports whether a path can be a copy of ours: a label alone is no
// licence to remove a folder.
func (r *Runtime) isCopy(path string) bool {
	below, err := filepath.Rel(r.opt.StateDir, path)
	return err == nil && r.opt.StateDir != "" && filepath.IsLocal(below) && copyName.MatchString(filepath.Base(path))
}
