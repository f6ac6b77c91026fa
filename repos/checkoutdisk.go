// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a folder that others may write to meanwhile. Each folder in it is
// opened from the one above, and is none that a link leads to.
type disk struct {
	root    *os.Root
	staging *os.Root // nil = not opened
	at      string   // path of stagingOf
	way     []step   // open folders, each in the one before
}

type step struct {
	name string
	root *os.Root
}

// errBlocked: something that is no folder is where a path has one.
var errBlocked = errors.New("is not a folder")

type seenKind int

const (
	seenNothing seenKind = iota
	seenBlocked          // something that is no folder is on the way
	seenFolder
	seenEntry
)

// seen is what is at a path.
type seen struct {
	kind seenKind
	id   identity // of an entry that is no folder
	info fs.FileInfo
	// settled: the next change of it has another time than the last.
	settled bool
}

func openDisk(dir string) (*disk, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &disk{root: root, at: stagingOf(dir)}, nil
}

func (d *disk) close() error {
	d.back(0)
	err := d.root.Close()
	if d.staging != nil {
		err = errors.Join(err, d.staging.Close())
	}
	return err
}

// back closes the folders of the way after the first n.
func (d *disk) back(n int) {
	for _, s := range d.way[n:] {
		_ = s.root.Close()
	}
	d.way = d.way[:n]
}

// folder opens the folder of a path. Its error is errBlocked, fs.ErrNotExist, or
// another. The folder is open until the next call.
func (d *disk) folder(name string) (*os.Root, error) {
	if name == "." {
		return d.root, nil
	}
	parts := strings.Split(name, "/")
	n := 0
	for n < len(parts) && n < len(d.way) && d.way[n].name == parts[n] {
		n++
	}
	d.back(n)
	for _, part := range parts[n:] {
		above := d.root
		if len(d.way) > 0 {
			above = d.way[len(d.way)-1].root
		}
		in, err := enter(above, part)
		if err != nil {
			return nil, err
		}
		d.way = append(d.way, step{part, in})
	}
	return d.way[len(d.way)-1].root, nil
}

// enter opens the folder name, which must not be a link to one.
func enter(above *os.Root, name string) (*os.Root, error) {
	info, err := above.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errBlocked
	}
	in, err := above.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	opened, err := in.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = errBlocked
	}
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	return in, nil
}

func (d *disk) lstat(name string) (fs.FileInfo, error) {
	in, err := d.folder(path.Dir(name))
	if err != nil {
		return nil, err
	}
	return in.Lstat(path.Base(name))
}

// look reads what is at a path, or takes it from what is known of it.
func (d *disk) look(name string, known written) (seen, error) {
	now := time.Now()
	info, err := d.lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return seen{kind: seenNothing}, nil
	case errors.Is(err, errBlocked):
		return seen{kind: seenBlocked}, nil
	case err != nil:
		return seen{}, err
	case info.IsDir():
		return seen{kind: seenFolder, info: info}, nil
	case known.fits(info):
		return seen{kind: seenEntry, id: known.IDs[0], info: info, settled: true}, nil
	}
	in, err := d.folder(path.Dir(name))
	if err != nil {
		return seen{}, err
	}
	id, err := identify(in, path.Base(name), info)
	if err != nil {
		return seen{}, fmt.Errorf("read %s: %w", name, err)
	}
	return seen{kind: seenEntry, id: id, info: info, settled: now.Sub(info.ModTime()) > tick}, nil
}

func identify(in *os.Root, name string, info fs.FileInfo) (id identity, err error) {
	switch kindOf(info.Mode()) {
	case otherKind:
		return otherKind, nil
	case linkKind:
		target, err := in.Readlink(name)
		return linkIdentity(target), err
	}
	// A pipe that has taken the file's place must not hold us.
	f, err := in.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	opened, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !os.SameFile(info, opened) {
		return otherKind, nil
	}
	return fileIdentity(f, info.Mode())
}

// same: nobody has touched what was seen. The rest of a path is looked at again
// by whoever acts on it.
func (s seen) same(info fs.FileInfo, err error) bool {
	if s.kind != seenEntry {
		return errors.Is(err, fs.ErrNotExist)
	}
	return err == nil && os.SameFile(s.info, info) && s.info.Size() == info.Size() && s.info.ModTime().Equal(info.ModTime()) && s.info.Mode() == info.Mode()
}

// remove returns false when somebody has touched the file meanwhile.
func (d *disk) remove(name string, was seen) (bool, error) {
	in, err := d.folder(path.Dir(name))
	if errors.Is(err, errBlocked) || errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	info, err := in.Lstat(path.Base(name))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if !was.same(info, err) {
		return false, nil
	}
	return true, in.Remove(path.Base(name))
}

// removeFolder returns false when the folder is not empty.
func (d *disk) removeFolder(name string) (bool, error) {
	in, err := d.folder(path.Dir(name))
	if errors.Is(err, errBlocked) || errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	info, err := in.Lstat(path.Base(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	err = in.Remove(path.Base(name))
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.EBUSY) {
		return false, nil
	}
	return err == nil, err
}

// mkdir returns false when there is something already, or something else where
// the path has a folder.
func (d *disk) mkdir(name string) (bool, error) {
	in, err := d.folder(path.Dir(name))
	if errors.Is(err, errBlocked) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	base := path.Base(name)
	err = in.Mkdir(base, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	owner, err := in.Stat(".")
	if err != nil {
		return true, err
	}
	made, err := enter(in, base)
	if err != nil {
		return true, err
	}
	defer func() { _ = made.Close() }()
	f, err := made.Open(".")
	if err != nil {
		return true, err
	}
	return true, errors.Join(own(f, owner), f.Chmod(0o755), f.Close())
}

// own gives a file the owner that another has, as far as we may.
func own(f *os.File, like fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	is, ok1 := info.Sys().(*syscall.Stat_t)
	should, ok2 := like.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 || is.Uid == should.Uid && is.Gid == should.Gid {
		return nil
	}
	if err := f.Chown(int(should.Uid), int(should.Gid)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// openStaging makes the folder for new content anew.
func (d *disk) openStaging() error {
	if err := os.RemoveAll(d.at); err != nil {
		return err
	}
	if err := os.Mkdir(d.at, 0o700); err != nil {
		return err
	}
	var err error
	d.staging, err = os.OpenRoot(d.at)
	return err
}

func (d *disk) clearStaging() error { return os.RemoveAll(d.at) }

func (d *disk) stage(name string, mode fs.FileMode, fill func(io.Writer) error) (info fs.FileInfo, err error) {
	f, err := d.staging.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := errors.Join(fill(f), f.Chmod(mode)); err != nil {
		return nil, err
	}
	return f.Stat()
}

// place puts new content where it belongs. It returns false when something is
// there that is not ours.
func (d *disk) place(w change) (bool, error) {
	in, err := d.folder(path.Dir(w.path))
	if errors.Is(err, errBlocked) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	base := path.Base(w.path)
	info, err := in.Lstat(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if !w.seen.same(info, err) {
		return false, nil
	}
	to, err := in.Open(".")
	if err != nil {
		return false, err
	}
	defer func() { _ = to.Close() }()
	like := info
	if like == nil {
		if like, err = to.Stat(); err != nil {
			return false, err
		}
	}
	staged := w.staged
	if staged == "" {
		staged = "link" // one at a time
		if err := d.staging.Symlink(w.target, staged); err != nil {
			return false, err
		}
	} else if err := d.ownStaged(staged, like); err != nil {
		return false, err
	}
	from, err := d.staging.Open(".")
	if err != nil {
		return false, err
	}
	defer func() { _ = from.Close() }()
	switch err := unix.Renameat(int(from.Fd()), staged, int(to.Fd()), base); {
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return false, nil // a folder has come into being
	case err != nil:
		return false, &os.LinkError{Op: "rename", Old: filepath.Join(d.at, staged), New: w.path, Err: err}
	}
	return true, nil
}

func (d *disk) ownStaged(name string, like fs.FileInfo) error {
	f, err := d.staging.Open(name)
	if err != nil {
		return err
	}
	mode, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	// A change of owner may clear bits.
	return errors.Join(own(f, like), f.Chmod(mode.Mode().Perm()), f.Close())
}

// sync puts all that was written on disk.
func (d *disk) sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(syncFileSystem(f), f.Close())
}
