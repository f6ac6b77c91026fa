// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/reconcile/plan"
)

// deleteRun removes what is left of a run without a container: its folder, and the
// secrets that were made for it.
func (r *Runtime) deleteRun(ctx context.Context, s plan.Step, d plan.Desired) error {
	if !runKey.MatchString(s.Run) {
		return fmt.Errorf("delete %s: %q is no key of a run", s.Target, s.Run)
	}
	path := filepath.Join(r.runsDir(s, d), s.Run)
	if err := r.unused(ctx, path); err != nil {
		return fmt.Errorf("delete %s: %w", s.Target, err)
	}
	return errors.Join(r.dropRun(ctx, path), r.pruneSecrets(ctx, d))
}

// runsDir is where the folders of the runs of a target are.
func (r *Runtime) runsDir(s plan.Step, d plan.Desired) string {
	for _, res := range d.Resources {
		if c := res.Spec.Container; res.ID.Compare(s.Target) == 0 && c != nil && c.Task != nil {
			return c.Task.Dir
		}
	}
	return plan.RunsDir(r.opt.StateDir, d.Workspace, s.Target)
}

// unused reports the container that has the folder of a run.
func (r *Runtime) unused(ctx context.Context, path string) error {
	filter := map[string][]string{"label": {labelRun + "=" + path}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		return r.explain("list containers", err)
	}
	if len(list) > 0 {
		return fmt.Errorf("the folder of the run belongs to the container %s", shortID(list[0].ID))
	}
	return nil
}

// dropRun removes the folder of a run; one that is gone is removed. A label alone is
// no licence to remove a folder, and a link leads nowhere.
func (r *Runtime) dropRun(ctx context.Context, path string) error {
	if path == "" || r.remote || !r.isRun(path) {
		return nil
	}
	dir := filepath.Dir(path)
	unlock, err := r.folders.lock(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.removeBelow(path); err != nil {
		return fmt.Errorf("remove the folder of the run, %s: %w", path, err)
	}
	if err := removeStale(dir, unfinishedRun(filepath.Base(path))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what is unfinished of the run, %s: %w", path, err)
	}
	// The folder of the task goes with its last run; while it has others this
	// fails.
	_ = os.Remove(dir)
	return nil
}

// removeBelow removes a folder below the state directory, and through no link.
func (r *Runtime) removeBelow(path string) error {
	root, err := os.OpenRoot(r.opt.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	below, err := filepath.Rel(r.opt.StateDir, path)
	if err != nil {
		return err
	}
	at := ""
	for name := range strings.SplitSeq(below, string(filepath.Separator)) {
		at = filepath.Join(at, name)
		info, err := root.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is not a folder", filepath.Join(r.opt.StateDir, at))
		}
	}
	return root.RemoveAll(below)
}
