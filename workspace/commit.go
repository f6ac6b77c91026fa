// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// linkFS are the files of a commit, in which links lead where they point to,
// as they do in a folder that is opened as an [os.Root]: none leads out.
type linkFS struct{ files fs.FS }

var (
	errEscapes = errors.New("path escapes from parent") // as os.Root has it
	errLoop    = errors.New("too many levels of symbolic links")
)

// maxLinks is how many links the way to a file may have.
const maxLinks = 255

// resolve returns the path of name without links; a link at its end is
// followed when last is set. What is not there is an error.
func (l linkFS) resolve(op, name string, last bool) (string, error) {
	fail := func(err error) (string, error) { return "", &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	at, links := ".", 0
	for rest := strings.Split(name, "/"); len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch {
		case part == "" || part == ".":
			continue
		case part == ".." && at == ".":
			return fail(errEscapes)
		case part == "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := fs.Lstat(l.files, next)
		if err != nil {
			return fail(cause(err))
		}
		if info.Mode().Type() != fs.ModeSymlink || len(rest) == 0 && !last {
			at = next
			continue
		}
		target, err := fs.ReadLink(l.files, next)
		if err != nil {
			return fail(cause(err))
		}
		if links++; links > maxLinks {
			return fail(errLoop)
		}
		if path.IsAbs(target) {
			return fail(errEscapes)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// Open opens what name leads to.
func (l linkFS) Open(name string) (fs.File, error) {
	at, err := l.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	return l.files.Open(at)
}

// Stat describes what name leads to.
func (l linkFS) Stat(name string) (fs.FileInfo, error) {
	at, err := l.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return fs.Stat(l.files, at)
}

// ReadDir lists the folder that name leads to.
func (l linkFS) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := l.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	return fs.ReadDir(l.files, at)
}

// Lstat describes name itself.
func (l linkFS) Lstat(name string) (fs.FileInfo, error) {
	at, err := l.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return fs.Lstat(l.files, at)
}

// ReadLink returns where the link name points to.
func (l linkFS) ReadLink(name string) (string, error) {
	at, err := l.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	return fs.ReadLink(l.files, at)
}

// Sub returns the folder that dir leads to. No link leads out of it.
func (l linkFS) Sub(dir string) (fs.FS, error) {
	at, err := l.resolve("sub", dir, true)
	if err != nil {
		return nil, err
	}
	files, err := subFolder(l.files, at)
	if err != nil {
		return nil, err
	}
	return linkFS{files}, nil
}

// Source names the folder that dir leads to by its content.
func (l linkFS) Source(dir string) (string, error) {
	at, err := l.resolve("open", dir, true)
	if err != nil {
		return "", err
	}
	s, ok := l.files.(sourcer)
	if !ok {
		return "", fmt.Errorf("%s: the commit cannot name its folders", dir)
	}
	return s.Source(at)
}

// ofCommit reports whether path, of this host, is or would be a file of the
// workspace's commit, and under which name.
func (t *Tree) ofCommit(path string) (name string, ok bool) {
	if t.commit == nil || !within(path, t.root) {
		return "", false
	}
	rel, err := filepath.Rel(t.root, path)
	return filepath.ToSlash(rel), err == nil
}

// real is where a path of this host leads. In a workspace of a commit, which
// need not be checked out, the commit says so.
func (t *Tree) real(path string) (string, error) {
	name, ok := t.ofCommit(path)
	if !ok {
		return filepath.EvalSymlinks(path)
	}
	at, err := t.commit.resolve("open", name, true)
	if err != nil {
		return "", err
	}
	return filepath.Join(t.root, filepath.FromSlash(at)), nil
}

// link returns the first symbolic link on the way from the folder top to path,
// which is below it; "" = there is none. In a workspace of a commit the commit
// counts as well as what is checked out.
func (t *Tree) link(top, path string) (string, error) {
	if name, ok := t.ofCommit(path); ok && top == t.root {
		for i := 0; i <= len(name); i++ {
			if i < len(name) && name[i] != '/' {
				continue
			}
			info, err := fs.Lstat(t.commit.files, name[:i])
			if err != nil {
				break // what is not there is no link
			}
			if info.Mode().Type() == fs.ModeSymlink {
				return filepath.Join(t.root, filepath.FromSlash(name[:i])), nil
			}
		}
	}
	return firstLink(top, path)
}

// submodules are the folders of the commit that are commits of other
// repositories.
func (t *Tree) submodules() map[string]bool {
	if t.commit == nil {
		return nil
	}
	src, err := fs.ReadFile(t.commit.files, ".gitmodules")
	if err != nil {
		return nil // there are none
	}
	dirs := map[string]bool{}
	for line := range strings.Lines(string(src)) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "path" {
			dirs[path.Clean(strings.Trim(strings.TrimSpace(value), `"`))] = true
		}
	}
	return dirs
}

// openFiles opens what the workspace is read from.
func (t *Tree) openFiles() error {
	root, err := filepath.Abs(t.opt.Dir)
	if err != nil {
		return err
	}
	if t.opt.Files != nil {
		t.commit = &linkFS{t.opt.Files}
		t.root, t.files = root, *t.commit
		return nil
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	t.root, t.folder, t.files = root, dir, dir.FS()
	t.closer = append(t.closer, dir.Close)
	return nil
}

// Folders are the folders of this host whose files count as they are: the
// workspace, unless it is of a commit, and local repos.
func (t *Tree) Folders() []string {
	var dirs []string
	for _, name := range t.order {
		if r := t.repos[name]; r.root != nil || name == ownRepo && t.commit == nil {
			dirs = append(dirs, r.dir)
		}
	}
	return dirs
}
