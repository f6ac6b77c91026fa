// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/tree"
)

// defaultFileMode is that of a file that asks for none.
const defaultFileMode = 0o644

// isFile reports whether a mount of files is one file.
func isFile(m plan.Mount) bool {
	return len(m.Files) == 1 && m.Files[0].Path == "" && m.Files[0].Digest != ""
}

// makeFiles makes what is mounted at one target.
func (x runMaking) makeFiles(r *Runtime, place string, m plan.Mount) error {
	if isFile(m) {
		f := m.Files[0]
		content, err := x.content(f)
		if err != nil {
			return err
		}
		root, err := os.OpenRoot(filepath.Dir(place))
		if err != nil {
			return err
		}
		defer root.Close()
		return x.writeIn(root, filepath.Base(place), content, cmp.Or(f.Mode, defaultFileMode))
	}
	if err := x.makeDir(place); err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := x.makeFile(r, place, f); err != nil {
			return fmt.Errorf("%s: %w", path.Join(m.Target, f.Path), err)
		}
	}
	for _, inner := range x.c.Mounts {
		if outer, ok := holder(x.c, inner.Target); !ok || outer.Target != m.Target {
			continue
		}
		if err := x.mountPointIn(place, m, inner.Target, !(inner.Type == plan.MountFiles && isFile(inner))); err != nil {
			return err
		}
	}
	return nil
}

// makeFile makes one file, or one folder that is copied, in the folder place.
func (x runMaking) makeFile(r *Runtime, place string, f plan.File) error {
	if f.Path != "" && !filepath.IsLocal(f.Path) {
		return errors.New("the path leads out of the mount")
	}
	root, err := os.OpenRoot(place)
	if err != nil {
		return err
	}
	defer root.Close()
	if f.Digest != "" {
		content, err := x.content(f)
		if err != nil {
			return err
		}
		if err := x.parents(root, path.Dir(f.Path)); err != nil {
			return err
		}
		return x.writeIn(root, f.Path, content, cmp.Or(f.Mode, defaultFileMode))
	}
	if err := x.parents(root, f.Path); err != nil || f.From == "" {
		return err
	}
	return x.copyIn(r, filepath.Join(place, filepath.FromSlash(f.Path)), f)
}

// copyIn copies a folder to a folder that is empty, and checks that it is what was
// planned.
func (x runMaking) copyIn(r *Runtime, to string, f plan.File) error {
	from, closeFrom, err := r.opt.OpenSource(f.From)
	if err != nil {
		return err
	}
	defer closeFrom()
	own := x.own.onHost()
	if err := tree.Copy(to, from, tree.CopyOptions{UID: own.uid, GID: own.gid}); err != nil {
		return err
	}
	return verifyTree(to, plan.Mount{From: f.From, TreeHash: f.TreeHash})
}

// content is what the digest of a file stands for.
func (x runMaking) content(f plan.File) ([]byte, error) {
	content, ok := x.d.Contents[f.Digest]
	if !ok {
		return nil, fmt.Errorf("the content with the digest %q is not known", f.Digest)
	}
	if sum := sha256.Sum256(content); f.Digest != "sha256:"+hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("its content is not what its digest %s says", f.Digest)
	}
	return content, nil
}

// parents makes the folders down to dir that are not there.
func (f *runFolder) parents(root *os.Root, dir string) error {
	own := f.own.onHost()
	at := ""
	for name := range strings.SplitSeq(path.Clean(dir), "/") {
		if name == "." || name == "" {
			continue
		}
		at = path.Join(at, name)
		err := root.Mkdir(at, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err := errors.Join(err, root.Chmod(at, 0o755), root.Lchown(at, own.uid, own.gid)); err != nil {
			return err
		}
	}
	return nil
}

// writeIn writes a file that is not there yet.
func (f *runFolder) writeIn(root *os.Root, name string, content []byte, mode uint32) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	own := f.own.onHost()
	_, err = out.Write(content)
	// A change of owner may clear bits of the mode.
	return errors.Join(err, out.Chown(own.uid, own.gid), out.Chmod(fs.FileMode(mode)&fs.ModePerm), out.Close())
}

// holder is the mount of files, a folder, that holds the place where target is
// mounted.
func holder(c plan.ContainerSpec, target string) (plan.Mount, bool) {
	deepest := -1
	for i, m := range c.Mounts {
		if within(m.Target, target) && (deepest < 0 || len(m.Target) > len(c.Mounts[deepest].Target)) {
			deepest = i
		}
	}
	if deepest < 0 || c.Mounts[deepest].Type != plan.MountFiles {
		return plan.Mount{}, false
	}
	return c.Mounts[deepest], true
}

// within reports whether a path is strictly below a folder.
func within(dir, path string) bool {
	return len(path) > len(dir) && (dir == "/" || strings.HasPrefix(path, dir+"/"))
}

// mountPointIn makes what another mount covers in the folder place, which is
// mounted as m: whoever makes it while the container starts makes it root's, and
// cannot in what is mounted for reading only.
func (f *runFolder) mountPointIn(place string, m plan.Mount, target string, isDir bool) error {
	root, err := os.OpenRoot(place)
	if err != nil {
		return err
	}
	defer root.Close()
	name := strings.TrimPrefix(strings.TrimPrefix(target, m.Target), "/")
	if isDir {
		return f.parents(root, name)
	}
	if err := f.parents(root, path.Dir(name)); err != nil {
		return err
	}
	err = f.writeIn(root, name, nil, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// mountPoint makes the place where a file or folder is mounted at target in a
// container that was not started yet, if that is below a mount of files.
func (f *runFolder) mountPoint(c plan.ContainerSpec, target string, isDir bool) error {
	m, ok := holder(c, target)
	switch {
	case f == nil || !ok:
		return nil
	case isFile(m):
		return fmt.Errorf("it is below %s, which is a file", m.Target)
	}
	return f.mountPointIn(f.source(m), m, target, isDir)
}

// source is where a mount of files is on this host.
func (f *runFolder) source(m plan.Mount) string {
	return filepath.Join(f.dir, filesDir, targetName(m.Target))
}

// emptyFile makes an empty file for target and returns where it is.
func (f *runFolder) emptyFile(target string, mode uint32) (string, error) {
	place := filepath.Join(f.dir, emptyDir)
	root, err := os.OpenRoot(place)
	if err != nil {
		return "", err
	}
	defer root.Close()
	name := targetName(target)
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return filepath.Join(place, name), f.writeIn(root, name, nil, mode)
}
