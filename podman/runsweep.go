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

// sweepRuns removes the folders of runs that never began, since whoever made them
// was killed before there was a container.
func (r *Runtime) sweepRuns(ctx context.Context, d plan.Desired) error {
	if r.remote || r.opt.StateDir == "" || d.Workspace == "" {
		return nil
	}
	var unbegun []string
	for _, kind := range []plan.Kind{plan.Task, plan.CronTask} {
		ofKind := filepath.Dir(filepath.Dir(plan.RunsDir(r.opt.StateDir, d.Workspace, plan.ID{Kind: kind, Name: "any"})))
		found, err := unbegunRuns(ofKind)
		if err != nil {
			return err
		}
		unbegun = append(unbegun, found...)
	}
	if len(unbegun) == 0 {
		return nil
	}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(map[string][]string{"label": {labelRun}}))
	if err != nil {
		return r.explain("list containers", err)
	}
	used := map[string]bool{}
	for _, c := range list {
		used[c.Labels[labelRun]] = true
	}
	for _, dir := range unbegun {
		if used[dir] {
			continue
		}
		if err := r.removeBelow(dir); err != nil {
			return fmt.Errorf("remove the folder of a run that never began, %s: %w", dir, err)
		}
		_ = os.Remove(filepath.Dir(dir)) // which other runs may be in
	}
	return nil
}

// unbegunRuns finds the folders of runs below base that have neither a log nor an
// outcome, and those that are not complete.
func unbegunRuns(base string) (found []string, err error) {
	err = filepath.WalkDir(base, func(at string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("look for runs: %w", err)
		case !e.IsDir():
			return nil
		case unfinishedName(e.Name()):
			found = append(found, at)
			return fs.SkipDir
		case !runKey.MatchString(e.Name()) || !exists(filepath.Join(at, madeFile)):
			return nil
		}
		if !exists(filepath.Join(at, logFile)) && !exists(outcomeIn(at)) {
			found = append(found, at)
		}
		return fs.SkipDir
	})
	return found, err
}

// unfinishedName reports whether a folder is one of a run that is not complete.
func unfinishedName(name string) bool {
	key, rest, ok := strings.Cut(strings.TrimPrefix(name, "."), ".tmp-")
	return ok && rest != "" && name[0] == '.' && runKey.MatchString(key)
}

// exists reports whether there is, or may be, something.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
