// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/copy"

	"reconcile/reconcile/plan"
)

// parents are the folders that hold what is mounted in a new container.
type parents struct {
	handle string
	fresh  bool // nothing was done to the container yet
	c      plan.ContainerSpec
	img    image
}

// makeParents makes the folders above files and secrets that the image does not
// have, so that they belong to the user of the container: Podman makes them root's.
func (r *Runtime) makeParents(ctx context.Context, x parents) error {
	dirs := x.dirs()
	if len(dirs) == 0 {
		return nil
	}
	own, err := r.accountOf(ctx, x.img, x.c)
	if err != nil || own == (account{}) {
		return err // Podman makes them
	}
	missing := map[string]bool{}
	for _, dir := range dirs {
		for ; dir != "/" && !missing[dir]; dir = path.Dir(dir) {
			there, err := r.inImage(ctx, x, dir)
			if err != nil {
				return err
			}
			if there {
				break
			}
			missing[dir] = true
		}
	}
	return r.putDirs(ctx, x.handle, slices.Sorted(maps.Keys(missing)), own)
}

// dirs are the folders that have to be there, but for those in other mounts.
func (x parents) dirs() []string {
	dirs := map[string]bool{}
	for _, m := range x.c.Mounts {
		if m.Type == plan.MountFiles {
			dirs[path.Dir(m.Target)] = true
		}
	}
	for _, f := range x.c.SecretFiles {
		if severalFiles(f) {
			dirs[path.Clean(f.Target)] = true
		} else {
			dirs[path.Dir(f.Target)] = true
		}
	}
	maps.DeleteFunc(dirs, func(dir string, _ bool) bool {
		return dir == "/" || slices.ContainsFunc(x.c.Mounts, func(m plan.Mount) bool { return m.Target == dir || within(m.Target, dir) })
	})
	return slices.Sorted(maps.Keys(dirs))
}

// inImage reports whether the image of a container has something at a path.
func (r *Runtime) inImage(ctx context.Context, x parents, at string) (bool, error) {
	p := x.img.probe
	p.mu.Lock()
	there, known := p.paths[at]
	p.mu.Unlock()
	if known {
		return there, nil
	}
	_, err := containers.Stat(ctx, x.handle, at)
	if err != nil && !errors.Is(err, copy.ErrENOENT) {
		return false, r.explain("look for "+at, err)
	}
	there = err == nil
	if x.fresh {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.paths == nil {
			p.paths = map[string]bool{}
		}
		p.paths[at] = there
	}
	return there, nil
}

// putDirs makes folders in a container that was not started yet, each after the one
// that holds it.
func (r *Runtime) putDirs(ctx context.Context, handle string, dirs []string, own account) error {
	for len(dirs) > 0 {
		// What is below one folder that is there goes together.
		base := path.Dir(dirs[0])
		rest := slices.IndexFunc(dirs, func(d string) bool { return !within(dirs[0], d) && d != dirs[0] })
		if rest < 0 {
			rest = len(dirs)
		}
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, d := range dirs[:rest] {
			h := tar.Header{
				Typeflag: tar.TypeDir, Name: strings.TrimPrefix(strings.TrimPrefix(d, base), "/") + "/",
				Mode: 0o755, Uid: own.uid, Gid: own.gid,
			}
			if err := w.WriteHeader(&h); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
		put, err := containers.CopyFromArchiveWithOptions(ctx, handle, base, &buf, new(containers.CopyOptions).WithChown(false))
		if err == nil {
			err = put()
		}
		if err != nil {
			return r.explain("make "+strings.Join(dirs[:rest], ", "), err)
		}
		dirs = dirs[rest:]
	}
	return nil
}
