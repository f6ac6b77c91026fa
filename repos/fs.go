// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// FS is the read-only file system of one tree of a repository. It implements
// [fs.ReadDirFS], [fs.ReadFileFS], [fs.ReadLinkFS] and [fs.SubFS].
//
// Symlinks are listed and can be read with ReadLink, but no path leads through
// one. Submodules are folders in what [Store.FS] returns, empty ones where the
// source is without them, and elsewhere left out.
type FS struct {
	treeIn
	folders map[string]treeIn // by path; folders that were opened
	store   *Store            // opens submodules; nil = there are none
	modules map[string]module // by path
	hollow  bool              // submodules are empty folders
}

// treeIn is a folder; that of a submodule is in a repository of its own.
type treeIn struct {
	repo *Repo
	tree *object.Tree
}

func newFS(root treeIn) *FS { return &FS{treeIn: root, folders: map[string]treeIn{".": root}} }

var (
	errSymlink = errors.New("is a symbolic link")
	errFolder  = errors.New("is a folder")
)

// Open opens a file or folder.
func (f *FS) Open(name string) (fs.File, error) {
	e, err := f.entry("open", name)
	if err != nil {
		return nil, err
	}
	switch {
	case e.IsDir():
		entries, err := f.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &folder{info: e, entries: entries}, nil
	case e.Type() == fs.ModeSymlink:
		return nil, &fs.PathError{Op: "open", Path: name, Err: errSymlink}
	}
	r, err := e.reader()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &file{ReadCloser: r, info: e}, nil
}

// ReadFile returns the content of a file.
func (f *FS) ReadFile(name string) ([]byte, error) {
	e, err := f.entry("read", name)
	if err != nil {
		return nil, err
	}
	if e.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errFolder}
	}
	if e.Type() == fs.ModeSymlink {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errSymlink}
	}
	content, err := e.content()
	if errors.Is(err, errLFS) {
		err = &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return content, err
}

// ReadDir returns the entries of a folder, sorted by name.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	n, err := f.folder(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	entries := make([]fs.DirEntry, 0, len(n.tree.Entries))
	for _, te := range n.tree.Entries {
		if e, ok := f.describe(n, name, te); ok {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if a.Name() < b.Name() {
			return -1
		}
		return 1
	})
	return entries, nil
}

// Lstat describes a file, folder or symlink.
func (f *FS) Lstat(name string) (fs.FileInfo, error) {
	e, err := f.entry("lstat", name)
	if err != nil {
		return nil, err
	}
	return e, e.load()
}

// ReadLink returns the target of a symlink.
func (f *FS) ReadLink(name string) (string, error) {
	e, err := f.entry("readlink", name)
	if err != nil {
		return "", err
	}
	if e.Type() != fs.ModeSymlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	b, err := e.content()
	return string(b), err
}

// Sub returns the folder dir, as an *FS of its own.
func (f *FS) Sub(dir string) (fs.FS, error) {
	if !fs.ValidPath(dir) {
		return nil, &fs.PathError{Op: "sub", Path: dir, Err: fs.ErrInvalid}
	}
	n, err := f.folder(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "sub", Path: dir, Err: err}
	}
	sub := newFS(n)
	sub.store, sub.modules, sub.hollow = f.store, f.modulesBelow(dir), f.hollow
	return sub, nil
}

// modulesBelow returns the submodules below the folder dir, by their paths in it.
func (f *FS) modulesBelow(dir string) map[string]module {
	if dir == "." {
		return f.modules
	}
	below := map[string]module{}
	for p, m := range f.modules {
		if rest, ok := strings.CutPrefix(p, dir+"/"); ok {
			below[rest] = m
		}
	}
	return below
}

// gitlink returns the commit of the submodule name.
func (f *FS) gitlink(name string) (commit string, ok bool) {
	if !fs.ValidPath(name) || name == "." {
		return "", false
	}
	n, err := f.folder(path.Dir(name))
	if err != nil {
		return "", false
	}
	te := find(n.tree, path.Base(name))
	if te == nil || te.Mode != filemode.Submodule {
		return "", false
	}
	return te.Hash.String(), true
}

func (f *FS) folder(name string) (treeIn, error) {
	if n, ok := f.folders[name]; ok {
		return n, nil
	}
	parent, err := f.folder(path.Dir(name))
	if err != nil {
		return treeIn{}, err
	}
	te := find(parent.tree, path.Base(name))
	m, isModule := f.modules[name]
	switch {
	case te == nil, te.Mode == filemode.Submodule && !isModule && !f.hollow:
		return treeIn{}, fs.ErrNotExist
	case te.Mode == filemode.Symlink:
		return treeIn{}, errSymlink
	case te.Mode == filemode.Submodule && f.hollow:
		return treeIn{parent.repo, &object.Tree{}}, nil
	case te.Mode == filemode.Submodule:
		return f.enter(name, m)
	case te.Mode != filemode.Dir:
		return treeIn{}, errors.New("is not a folder")
	}
	t, err := parent.repo.tree(te.Hash)
	if err != nil {
		return treeIn{}, err
	}
	f.folders[name] = treeIn{parent.repo, t}
	return f.folders[name], nil
}

// enter opens a submodule.
func (f *FS) enter(name string, m module) (treeIn, error) {
	repo, err := f.store.anywhere(m.u, func(r *Repo) bool { return r.has(m.commit) })
	if err != nil {
		return treeIn{}, fmt.Errorf("submodule %q: %w", name, err)
	}
	files, err := repo.FS(m.commit)
	if err != nil {
		return treeIn{}, fmt.Errorf("submodule %q: %w", name, err)
	}
	f.folders[name] = files.treeIn
	return files.treeIn, nil
}

func (f *FS) entry(op, name string) (*info, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return &info{repo: f.repo, name: ".", mode: fs.ModeDir | 0o755}, nil
	}
	parent, err := f.folder(path.Dir(name))
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	te := find(parent.tree, path.Base(name))
	if te == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	e, ok := f.describe(parent, path.Dir(name), *te)
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	if e.mode.IsRegular() || e.Type() == fs.ModeSymlink {
		if err := e.load(); err != nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return e, nil
}

// find does not rely on the order of a tree's entries: a repository may hold
// trees that git itself would not have written.
func find(t *object.Tree, name string) *object.TreeEntry {
	for i := range t.Entries {
		if t.Entries[i].Name == name {
			return &t.Entries[i]
		}
	}
	return nil
}

// describe returns false for submodules that are not here and for names that no
// file system would give, such as "..".
func (f *FS) describe(in treeIn, dir string, te object.TreeEntry) (*info, bool) {
	if !fs.ValidPath(te.Name) || te.Name == "." || path.Base(te.Name) != te.Name {
		return nil, false
	}
	e := &info{repo: in.repo, name: te.Name, entry: te}
	switch te.Mode {
	case filemode.Dir:
		e.mode = fs.ModeDir | 0o755
	case filemode.Submodule:
		if _, ok := f.modules[path.Join(dir, te.Name)]; !ok && !f.hollow {
			return nil, false
		}
		e.mode = fs.ModeDir | 0o755
	case filemode.Symlink:
		e.mode = fs.ModeSymlink | 0o777
	case filemode.Executable:
		e.mode = 0o755
	case filemode.Regular, filemode.Deprecated:
		e.mode = 0o644
	default:
		return nil, false
	}
	return e, true
}

// info is an entry in all the forms io/fs wants. The blob is read from the
// store when something asks for its size or content.
type info struct {
	repo  *Repo
	name  string
	mode  fs.FileMode
	entry object.TreeEntry
	blob  *object.Blob
	large *pointer // instead of the blob's content; nil = that is it
}

func (e *info) Name() string      { return e.name }
func (e *info) IsDir() bool       { return e.mode.IsDir() }
func (e *info) Type() fs.FileMode { return e.mode.Type() }
func (e *info) Mode() fs.FileMode { return e.mode }
func (e *info) Sys() any          { return nil }

// ModTime is zero: a tree has no times.
func (e *info) ModTime() time.Time { return time.Time{} }

func (e *info) Info() (fs.FileInfo, error) { return e, e.load() }

func (e *info) Size() int64 {
	switch {
	case e.blob == nil:
		return 0
	case e.large != nil:
		return e.large.size
	}
	return e.blob.Size
}

func (e *info) load() error {
	if e.blob != nil || e.IsDir() {
		return nil
	}
	b, err := e.repo.blob(e.entry.Hash)
	if err != nil {
		return err
	}
	e.blob = b
	if e.mode.IsRegular() {
		e.large, err = readPointer(b)
	}
	return err
}

func (e *info) content() (content []byte, err error) {
	if e.large != nil {
		f, err := e.repo.openLarge(*e.large)
		if err != nil {
			return nil, err
		}
		content, err = io.ReadAll(f)
		return content, errors.Join(err, f.Close())
	}
	b := e.blob // until somebody wrote to the repository
	err = e.repo.again(func(g *git.Repository) (err error) {
		if b == nil {
			b, err = g.BlobObject(e.entry.Hash)
		}
		if err == nil {
			content, err = all(b)
		}
		if err != nil {
			b = nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", e.entry.Hash, err)
	}
	return content, nil
}

func all(b *object.Blob) (content []byte, err error) {
	r, err := b.Reader()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	content = make([]byte, b.Size)
	_, err = io.ReadFull(r, content)
	return content, err
}

// maxAtOnce is how large a file may be that is read as a whole when it is
// opened: of a larger one, a part may be missing when somebody writes to the
// repository meanwhile.
const maxAtOnce = 4 << 20

func (e *info) reader() (io.ReadCloser, error) {
	switch {
	case e.large != nil:
		return e.repo.openLarge(*e.large)
	case e.blob.Size > maxAtOnce:
		return e.blob.Reader()
	}
	content, err := e.content()
	return io.NopCloser(bytes.NewReader(content)), err
}

type file struct {
	io.ReadCloser
	info *info
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

type folder struct {
	info    *info
	entries []fs.DirEntry
	read    int
}

func (d *folder) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *folder) Close() error               { return nil }

func (d *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errFolder}
}

func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.entries[d.read:]
	if n <= 0 {
		d.read = len(d.entries)
		return rest, nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	rest = rest[:min(n, len(rest))]
	d.read += len(rest)
	return rest, nil
}
