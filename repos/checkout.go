// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Checkout gives the folder dir the files of a commit. Unlike a folder that is
// written once and replaced, dir stays the same folder, with what others have
// put into it: agents mount it and work there.
//
// What earlier checkouts wrote is told from the rest by the file state, which is
// not in dir. A file that is as a checkout wrote it is replaced, or removed when
// the commit no longer has it; folders that a checkout made go when they are
// empty. Anything else stays as it is: files that the commit does not have, and
// files that somebody has changed or put where the commit has one. The latter
// are returned: kept are the paths, sorted, at which dir differs from the
// commit, or that the commit has dropped. A file that somebody has deleted comes
// back.
//
// Files get mode 0644 or 0755 and folders 0755; those that are there keep their
// owner, and new ones get that of their folder. Symlinks are written as such,
// and none is followed. Entries named .git are left out.
//
// An error leaves a mixture of the old files and the new, and so does a process
// that is killed; the next checkout, of whatever commit, mends that. At most one
// may run on a folder at a time.
func Checkout(files fs.FS, dir, state string) (kept []string, err error) {
	c := &checkout{files: files, dir: dir, state: state, before: func(string) error { return nil }}
	if kept, err = c.run(); err != nil {
		return nil, fmt.Errorf("check out to %s: %w", dir, err)
	}
	return kept, nil
}

type checkout struct {
	files      fs.FS
	dir, state string
	// before is called before each effect: a seam for crashes.
	before func(effect string) error

	was     checkoutState
	want    map[string]wanted // files and links of the commit
	folders map[string]bool   // of the commit
	disk    *disk

	writes, removes []change // sorted by path
	kept            []string
	result          checkoutState // what will be ours
}

// wanted is a file or link of the commit.
type wanted struct {
	id     identity
	target string // of a link
	blob   string // git's name for the content; "" = not known
}

// change is what is done at one path, if it is still as it was seen.
type change struct {
	path string
	seen seen
	wanted
	staged string      // name of its new content; "" = none
	info   fs.FileInfo // of that
}

func (c *checkout) run() (kept []string, err error) {
	if c.was, err = loadCheckoutState(c.state); err != nil {
		return nil, err
	}
	source := treeOf(c.files)
	if c.unchanged(source) {
		return nil, nil
	}
	if err := c.list(); err != nil {
		return nil, err
	}
	if err := makeDir(c.dir); err != nil {
		return nil, err
	}
	if c.disk, err = openDisk(c.dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.disk.close()) }()
	// Of a checkout that was broken off.
	if err := c.disk.clearStaging(); err != nil {
		return nil, err
	}
	if err := c.compare(); err != nil {
		return nil, err
	}
	if err := c.apply(); err != nil {
		return nil, err
	}
	slices.Sort(c.kept)
	if len(c.kept) == 0 {
		c.result.Tree = source
	}
	c.result.Version = checkoutVersion
	if reflect.DeepEqual(c.result, c.was) {
		return c.kept, nil
	}
	return c.kept, c.save(c.result)
}

func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // whatever the umask
}

// treeOf is git's name for the content of files; "" = not known.
func treeOf(files fs.FS) string {
	f, ok := files.(interface{ Source(string) (string, error) })
	if !ok {
		return ""
	}
	source, err := f.Source(".")
	if err != nil {
		return ""
	}
	_, tree, _ := strings.Cut(source, "#")
	return tree
}

// unchanged: the last checkout was of the same content, and nobody has touched
// it.
func (c *checkout) unchanged(tree string) bool {
	if tree == "" || c.was.Tree != tree {
		return false
	}
	d, err := openDisk(c.dir)
	if err != nil {
		return false
	}
	defer func() { _ = d.close() }()
	for _, name := range slices.Sorted(maps.Keys(c.was.Files)) {
		was := c.was.Files[name]
		found, err := d.look(name, was)
		if err != nil || len(was.IDs) != 1 || found.id != was.IDs[0] {
			return false
		}
	}
	return true
}

// list reads what the commit has, all of it, before anything is changed.
func (c *checkout) list() error {
	c.want, c.folders = map[string]wanted{}, map[string]bool{}
	return fs.WalkDir(c.files, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case strings.EqualFold(d.Name(), ".git"):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			c.folders[name] = true
			return nil
		}
		w, err := c.describe(name, d)
		c.want[name] = w
		return err
	})
}

// describe does not read a file of which git says that it is as it was.
func (c *checkout) describe(name string, d fs.DirEntry) (wanted, error) {
	if d.Type() == fs.ModeSymlink {
		target, err := fs.ReadLink(c.files, name)
		return wanted{id: linkIdentity(target), target: target}, err
	}
	blob := ""
	if e, ok := d.(*info); ok {
		blob = e.entry.Hash.String()
		was := c.was.Files[name]
		if was.Blob == blob && len(was.IDs) == 1 && was.IDs[0].kind() == kindOf(e.mode) {
			return wanted{id: was.IDs[0], blob: blob}, nil
		}
	}
	info, err := d.Info()
	if err != nil {
		return wanted{}, err
	}
	if !info.Mode().IsRegular() {
		return wanted{}, fmt.Errorf("%s is neither a file nor a link", name)
	}
	f, err := c.files.Open(name)
	if err != nil {
		return wanted{}, err
	}
	id, err := fileIdentity(f, info.Mode())
	return wanted{id: id, blob: blob}, errors.Join(err, f.Close())
}

// compare decides about each path of the commit and of the last checkout.
func (c *checkout) compare() error {
	c.result = checkoutState{Files: map[string]written{}, Folders: map[string]bool{}}
	paths := map[string]bool{}
	for name := range c.want {
		paths[name] = true
	}
	for name := range c.was.Files {
		paths[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		found, err := c.disk.look(name, c.was.Files[name])
		if err != nil {
			return err
		}
		c.decide(name, found)
	}
	for name := range c.was.Folders {
		if c.folders[name] {
			c.result.Folders[name] = true
		}
	}
	return nil
}

func (c *checkout) decide(name string, found seen) {
	w, wanted := c.want[name]
	was, known := c.was.Files[name]
	ours := slices.Contains(was.IDs, found.id)
	switch {
	case wanted && found.id == w.id:
		c.result.Files[name] = writtenAs(w).at(found)
	case wanted && (ours || found.kind != seenEntry):
		// A folder, or a file where the path has a folder, may go with the removals.
		c.writes = append(c.writes, change{path: name, seen: found, wanted: w})
		c.result.Files[name] = writtenAs(w)
	case wanted:
		c.keep(name)
	case found.kind == seenNothing || found.kind == seenBlocked:
	case ours:
		c.removes = append(c.removes, change{path: name, seen: found})
	case known && found.kind != seenFolder:
		c.kept = append(c.kept, name) // the commit has dropped it
	}
}

// keep leaves what somebody else has at a path of the commit. Should they take
// back their change, it is ours again.
func (c *checkout) keep(name string) {
	c.kept = append(c.kept, name)
	if was, ok := c.was.Files[name]; ok {
		c.result.Files[name] = written{IDs: was.IDs}
	} else {
		delete(c.result.Files, name)
	}
}

func (c *checkout) save(s checkoutState) error {
	if err := c.before("save"); err != nil {
		return err
	}
	return s.save(c.state)
}

// stagingOf is the folder beside dir in which new content waits.
func stagingOf(dir string) string { return filepath.Clean(dir) + ".new" }
