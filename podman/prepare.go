// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
	"reconcile/tree"
)

// prepare has everything ready that a container needs before it can be created:
// its image and its folders. With an object it restores only the folders, since
// that object has its image.
func (r *Runtime) prepare(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) error {
	if res.Spec.Image != nil {
		return r.prepareImage(ctx, s, d, *res.Spec.Image)
	}
	if res.Spec.Container == nil {
		return nil
	}
	spec := *res.Spec.Container
	if err := errors.Join(r.needsHost(spec), r.openChannel(s, d, spec)); err != nil {
		return err
	}
	if s.Object != "" {
		if err := r.prepareMounts(ctx, s, spec, func() (image, error) { return r.imageOf(ctx, s.Object) }); err != nil {
			return err
		}
		return r.restoreRun(ctx, s, d, spec)
	}
	img, err := r.imageFor(ctx, s, d, res)
	if err != nil {
		return err
	}
	if _, err := commandOf(spec, img); err != nil {
		return err
	}
	if _, err := r.hasBundle(ctx, spec, img); err != nil { // which takes a look at the image
		return err
	}
	if err := r.prepareMounts(ctx, s, spec, func() (image, error) { return img, nil }); err != nil {
		return err
	}
	_, err = r.prepareRun(ctx, s, d, spec, img)
	return err
}

// prepareImage has everything ready that an install hook needs.
func (r *Runtime) prepareImage(ctx context.Context, s plan.Step, d plan.Desired, spec plan.ImageSpec) error {
	of, err := instanceOf(d, spec)
	if err != nil {
		return err
	}
	c := installed(of, spec, nil)
	if err := r.needsHost(c); err != nil {
		return err
	}
	img, err := r.ensure(ctx, s, spec.Base)
	if err != nil {
		return err
	}
	return r.prepareMounts(ctx, s, c, func() (image, error) { return img, nil })
}

// imageOf is the image that a container was made of.
func (r *Runtime) imageOf(ctx context.Context, handle string) (image, error) {
	c, err := containers.Inspect(ctx, handle, nil)
	if err != nil {
		return image{}, r.explain("inspect "+handle, err)
	}
	return r.imageHeld(c), nil
}

// imageHeld is the image of a container that is there.
func (r *Runtime) imageHeld(c *define.InspectContainerData) image {
	// The key is apart from those of ensure, which know more.
	key := "user " + c.Config.User + " of " + c.Image
	return r.images.put(key, image{id: imageID(c.Image), user: c.Config.User})
}

// needsHost reports the mounts that a service on another host cannot have.
func (r *Runtime) needsHost(spec plan.ContainerSpec) error {
	if !r.remote {
		return nil
	}
	if spec.Task != nil {
		return fmt.Errorf("a run needs a folder of its own, and Podman at %s does not see the folders of this host", redact(r.url))
	}
	for _, m := range spec.Mounts {
		switch m.Type {
		case plan.MountDir, plan.MountCopy, plan.MountHelper, plan.MountFiles:
			return fmt.Errorf("mount %s: Podman at %s does not see the folders of this host", m.Target, redact(r.url))
		}
	}
	return nil
}

// prepareMounts makes the host side of the mounts. The image is asked for only
// when something has to be made.
func (r *Runtime) prepareMounts(ctx context.Context, s plan.Step, spec plan.ContainerSpec, img func() (image, error)) error {
	for _, m := range spec.Mounts {
		var err error
		m.Source = r.mountSource(m)
		switch m.Type {
		case plan.MountHelper:
			err = r.writeHelper(ctx, m.Source)
		case plan.MountDir, plan.MountCopy:
			err = r.makeFolder(ctx, s, m, func() (uid, gid int, err error) {
				from, err := img()
				if err != nil {
					return 0, 0, err
				}
				return r.owner(ctx, from, spec.User)
			})
		}
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	return nil
}

// mountSource is where a mount comes from on the host. A copy is in a folder
// named by its tree, so that an old container keeps its own while the next one
// is made.
func (r *Runtime) mountSource(m plan.Mount) string {
	switch {
	case m.Type == plan.MountHelper && m.Source == "":
		return filepath.Join(r.opt.StateDir, "helper")
	case m.Type == plan.MountCopy:
		return CopyFolder(m)
	}
	return m.Source
}

// CopyFolder is the folder that a mount of type copy is made in.
func CopyFolder(m plan.Mount) string {
	return filepath.Join(m.Source, m.TreeHash[:min(copyNameLen, len(m.TreeHash))])
}

// makeFolder makes the folder of a mount unless it is there. What is there is
// left as it is, owner included.
func (r *Runtime) makeFolder(ctx context.Context, s plan.Step, m plan.Mount, owner func() (int, int, error)) error {
	if !filepath.IsAbs(m.Source) {
		return fmt.Errorf("source %q is not an absolute path", m.Source)
	}
	if m.Type == plan.MountCopy && !copyName.MatchString(filepath.Base(m.Source)) {
		return fmt.Errorf("%q is no tree hash", m.TreeHash)
	}
	unlock, err := r.folders.lock(ctx, m.Source)
	if err != nil {
		return err
	}
	defer unlock()
	if m.Type == plan.MountCopy {
		r.mu.Lock()
		r.prepared[m.Source] = true
		r.mu.Unlock()
	}
	if _, err := os.Stat(m.Source); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	uid, gid, err := owner()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		// Only root can give folders away. To a container of ours without root
		// rights, this user is its root.
		uid, gid = -1, -1
	}
	if err := os.MkdirAll(filepath.Dir(m.Source), 0o755); err != nil {
		return err
	}
	if m.Type == plan.MountCopy {
		r.say(s, "copy %s", m.From)
		return r.copyTree(m, uid, gid)
	}
	if err := os.Mkdir(m.Source, 0o755); err != nil {
		return err
	}
	return os.Chown(m.Source, uid, gid)
}

// copyTree makes the copy beside its place and renames it, so that what has
// the name is complete. The copy must be what the plan was made upon.
func (r *Runtime) copyTree(m plan.Mount, uid, gid int) error {
	dir, base := filepath.Split(m.Source)
	prefix := "." + base + ".tmp-"
	if err := removeStale(dir, prefix); err != nil {
		return err
	}
	from, closeFrom, err := r.opt.OpenSource(m.From)
	if err != nil {
		return err
	}
	defer closeFrom()
	tmp, err := os.MkdirTemp(dir, prefix)
	if err != nil {
		return err
	}
	err = tree.Copy(tmp, from, tree.CopyOptions{UID: uid, GID: gid})
	if err == nil {
		err = verifyTree(tmp, m)
	}
	if err == nil {
		err = errors.Join(removeFile(markOf(m.Source)), os.Rename(tmp, m.Source))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

func openFolder(dir string) (fs.FS, func() error, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	return root.FS(), root.Close, nil
}

// removeFile removes a file that may not be there.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func verifyTree(dir string, m plan.Mount) error {
	got, err := tree.Hash(os.DirFS(dir))
	if err != nil {
		return err
	}
	if got != m.TreeHash {
		return fmt.Errorf("%s: its files are not those that were planned, they changed since", m.From)
	}
	return nil
}

// removeStale removes copies that were interrupted. The caller holds the lock
// of the one folder that has this prefix.
func removeStale(dir, prefix string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), prefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeHelper makes the helper folder hold what this build carries. Files are
// replaced by rename: containers that run the old ones keep them.
func (r *Runtime) writeHelper(ctx context.Context, dir string) error {
	unlock, err := r.folders.lock(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	r.mu.Lock()
	done := r.helperDirs[dir]
	r.mu.Unlock()
	if done {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
	}
	if r.opt.Helper == nil {
		return errors.New("this build carries no helper")
	}
	files, err := r.opt.Helper()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := writeFile(filepath.Join(dir, name), content, helperMode(content)); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.helperDirs[dir] = true
	r.mu.Unlock()
	return nil
}

func helperMode(content []byte) fs.FileMode {
	programs := [][]byte{[]byte("\x7fELF"), []byte("#!")}
	if slices.ContainsFunc(programs, func(p []byte) bool { return bytes.HasPrefix(content, p) }) {
		return 0o755
	}
	return 0o644
}

// writeFile replaces a file as a whole, unless it is right already.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm() == mode && info.Size() == int64(len(content)) {
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
			return nil
		}
	}
	return atomicfile.Write(path, content, atomicfile.Options{Perm: mode, Sync: true})
}
