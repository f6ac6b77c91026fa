// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// OpenReceived opens the repository gitDir as a hook of git receive-pack sees
// it: with the objects that are being pushed, which git keeps apart until the
// pre-receive hook has accepted them. Where they are it says in the hook's
// environment (GIT_OBJECT_DIRECTORY, GIT_ALTERNATE_OBJECT_DIRECTORIES).
// References are as before the push. Without these variables it is [Open].
func OpenReceived(gitDir string, lookupEnv func(string) (string, bool)) (*Repo, error) {
	repo, err := Open(gitDir)
	if err != nil {
		return nil, err
	}
	dirs, err := objectDirectories(lookupEnv)
	if err != nil {
		return nil, fmt.Errorf("open repository %q: %w", gitDir, err)
	}
	if len(dirs) == 0 {
		return repo, nil
	}
	repo.reopen = func() (*git.Repository, error) { return withObjects(repo.path, dirs) }
	if repo.git, err = repo.reopen(); err != nil {
		return nil, fmt.Errorf("open repository %q: %w", gitDir, err)
	}
	return repo, nil
}

func withObjects(path string, dirs []string) (*git.Repository, error) {
	base, err := git.PlainOpenWithOptions(path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if err != nil {
		return nil, err
	}
	all := &objectStores{Storer: base.Storer}
	for _, dir := range dirs {
		all.more = append(all.more, filesystem.NewStorage(objectsOnly{osfs.New(dir)}, cache.NewObjectLRUDefault()))
	}
	return git.Open(all, nil)
}

// objectDirectories are absolute, that of the push first.
func objectDirectories(lookupEnv func(string) (string, bool)) ([]string, error) {
	var names []string
	if dir, _ := lookupEnv("GIT_OBJECT_DIRECTORY"); dir != "" {
		names = append(names, dir)
	}
	list, _ := lookupEnv("GIT_ALTERNATE_OBJECT_DIRECTORIES")
	for list != "" {
		name, rest, err := nextDirectory(list)
		if err != nil {
			return nil, err
		}
		if list = rest; name != "" {
			names = append(names, name)
		}
	}
	for i, name := range names {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		names[i] = abs
	}
	return names, nil
}

// nextDirectory splits at the first separator; git quotes names that have one
// in them.
func nextDirectory(list string) (name, rest string, err error) {
	if !strings.HasPrefix(list, `"`) {
		name, rest, _ = strings.Cut(list, string(os.PathListSeparator))
		return name, rest, nil
	}
	quoted, err := strconv.QuotedPrefix(list)
	if err != nil {
		return "", "", errors.New("GIT_ALTERNATE_OBJECT_DIRECTORIES cannot be read")
	}
	if name, err = strconv.Unquote(quoted); err != nil {
		return "", "", errors.New("GIT_ALTERNATE_OBJECT_DIRECTORIES cannot be read")
	}
	return name, strings.TrimPrefix(list[len(quoted):], string(os.PathListSeparator)), nil
}

// objectStores finds objects in the repository, or in one of more.
type objectStores struct {
	storage.Storer
	more []storer.EncodedObjectStorer
}

func (o *objectStores) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	got, err := o.Storer.EncodedObject(t, h)
	for _, s := range o.more {
		if !errors.Is(err, plumbing.ErrObjectNotFound) {
			break
		}
		got, err = s.EncodedObject(t, h)
	}
	return got, err
}

func (o *objectStores) HasEncodedObject(h plumbing.Hash) error {
	err := o.Storer.HasEncodedObject(h)
	for _, s := range o.more {
		if !errors.Is(err, plumbing.ErrObjectNotFound) {
			break
		}
		err = s.HasEncodedObject(h)
	}
	return err
}

func (o *objectStores) EncodedObjectSize(h plumbing.Hash) (int64, error) {
	size, err := o.Storer.EncodedObjectSize(h)
	for _, s := range o.more {
		if !errors.Is(err, plumbing.ErrObjectNotFound) {
			break
		}
		size, err = s.EncodedObjectSize(h)
	}
	return size, err
}

// errReadOnly: what was pushed is git's to store.
var errReadOnly = errors.New("the repository is only read")

func (o *objectStores) SetEncodedObject(plumbing.EncodedObject) (plumbing.Hash, error) {
	return plumbing.ZeroHash, errReadOnly
}

// objectsOnly shows a folder of objects as the folder objects of a repository
// that has nothing else.
type objectsOnly struct{ billy.Filesystem }

const objectsFolder = "objects"

func withinObjects(op, name string) (string, error) {
	clean := path.Clean(filepath.ToSlash(name))
	if clean == objectsFolder {
		return ".", nil
	}
	if rest, ok := strings.CutPrefix(clean, objectsFolder+"/"); ok {
		return filepath.FromSlash(rest), nil
	}
	return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (o objectsOnly) Open(name string) (billy.File, error) {
	return o.OpenFile(name, os.O_RDONLY, 0)
}

func (o objectsOnly) OpenFile(name string, flag int, perm fs.FileMode) (billy.File, error) {
	in, err := withinObjects("open", name)
	if err != nil {
		return nil, err
	}
	if flag != os.O_RDONLY {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errReadOnly}
	}
	return o.Filesystem.OpenFile(in, flag, perm)
}

func (o objectsOnly) Stat(name string) (fs.FileInfo, error) {
	in, err := withinObjects("stat", name)
	if err != nil {
		return nil, err
	}
	return o.Filesystem.Stat(in)
}

func (o objectsOnly) Lstat(name string) (fs.FileInfo, error) {
	in, err := withinObjects("lstat", name)
	if err != nil {
		return nil, err
	}
	return o.Filesystem.Lstat(in)
}

func (o objectsOnly) ReadDir(name string) ([]fs.FileInfo, error) {
	in, err := withinObjects("readdir", name)
	if err != nil {
		return nil, err
	}
	return o.Filesystem.ReadDir(in)
}

func (o objectsOnly) Create(name string) (billy.File, error) {
	return nil, &fs.PathError{Op: "create", Path: name, Err: errReadOnly}
}

func (o objectsOnly) TempFile(dir, prefix string) (billy.File, error) {
	return nil, &fs.PathError{Op: "create", Path: dir, Err: errReadOnly}
}

func (o objectsOnly) Rename(from, to string) error {
	return &fs.PathError{Op: "rename", Path: from, Err: errReadOnly}
}

func (o objectsOnly) Remove(name string) error {
	return &fs.PathError{Op: "remove", Path: name, Err: errReadOnly}
}

func (o objectsOnly) MkdirAll(name string, perm fs.FileMode) error {
	return &fs.PathError{Op: "mkdir", Path: name, Err: errReadOnly}
}
