// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

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
	list, err := r.sameInstance(ctx, labels, labelCopies)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, c := range list {
		for path := range strings.SplitSeq(c.Labels[labelCopies], "\n") {
			used[path] = true
		}
	}
	for path := range strings.SplitSeq(label, "\n") {
		if !r.isCopy(path) {
			continue
		}
		if !used[path] {
			if err := r.dropCopy(ctx, path); err != nil {
				return err
			}
		}
		if err := r.sweepCopies(filepath.Dir(path), used); err != nil {
			return err
		}
		// The folder of the resource goes with its last copy; while it has
		// others this fails.
		_ = os.Remove(filepath.Dir(path))
	}
	return nil
}

// sameInstance lists the containers of the instance that has the labels, as far as
// they have one more label.
func (r *Runtime) sameInstance(ctx context.Context, labels map[string]string, label string) ([]types.ListContainer, error) {
	filter := map[string][]string{"label": {
		label, plan.LabelWorkspace + "=" + labels[plan.LabelWorkspace], plan.LabelID + "=" + labels[plan.LabelID],
	}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	return list, r.explain("list containers", err)
}

func (r *Runtime) dropCopy(ctx context.Context, path string) error {
	unlock, err := r.folders.lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	r.mu.Lock()
	delete(r.prepared, path)
	r.mu.Unlock()
	if err := errors.Join(removeFile(markOf(path)), os.RemoveAll(path)); err != nil {
		return fmt.Errorf("remove the copy %s: %w", path, err)
	}
	return nil
}

// unfinished is the name of a copy that is not complete: .TREE.tmp-RANDOM.
var unfinished = regexp.MustCompile(fmt.Sprintf(`^\.([0-9a-f]{%d})\.tmp-`, copyNameLen))

// sweepCopies removes what processes that were killed left in the folder of a
// resource's copies: those that no container has and that were not prepared by
// this process for one.
func (r *Runtime) sweepCopies(dir string, used map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the copies in %s: %w", dir, err)
	}
	for _, e := range entries {
		name, complete := e.Name(), true
		if m := unfinished.FindStringSubmatch(name); m != nil {
			name, complete = m[1], false
		}
		path := filepath.Join(dir, name)
		if !copyName.MatchString(name) || complete && used[path] {
			continue
		}
		if err := r.sweepCopy(path, filepath.Join(dir, e.Name()), complete); err != nil {
			return err
		}
	}
	return nil
}

// sweepCopy removes a leftover of the copy path, unless that is being made.
func (r *Runtime) sweepCopy(path, leftover string, complete bool) error {
	unlock, free := r.folders.try(path)
	if !free {
		return nil
	}
	defer unlock()
	r.mu.Lock()
	wanted := complete && r.prepared[path]
	r.mu.Unlock()
	if wanted {
		return nil
	}
	if complete {
		if err := removeFile(markOf(path)); err != nil {
			return fmt.Errorf("remove the copy %s: %w", leftover, err)
		}
	}
	if err := os.RemoveAll(leftover); err != nil {
		return fmt.Errorf("remove the copy %s: %w", leftover, err)
	}
	return nil
}

// isCopy reports whether a path can be a copy of ours: a label alone is no
// licence to remove a folder.
func (r *Runtime) isCopy(path string) bool {
	below, err := filepath.Rel(r.opt.StateDir, path)
	return err == nil && r.opt.StateDir != "" && filepath.IsLocal(below) && copyName.MatchString(filepath.Base(path))
}
