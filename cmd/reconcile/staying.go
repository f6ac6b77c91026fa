// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"io/fs"
	"path"
	"slices"

	"reconcile/repos"
)

// stayingFiles are the files of a commit, with those that git ignores in the
// folder where it would be checked out: a checkout leaves them as they are.
type stayingFiles struct {
	commit  fs.FS
	folder  placedFiles
	ignored map[string]bool // paths in the folder
	within  map[string]bool // folders with something ignored
	at      string          // the folder that this is, in both
}

// staying adds to the files of a commit what stays in dir when it is checked out
// there.
func staying(commit fs.FS, dir string) (files fs.FS, done func() error, err error) {
	paths, err := repos.Ignored(dir)
	if err != nil {
		return nil, nil, err
	}
	if len(paths) == 0 {
		return commit, func() error { return nil }, nil
	}
	folder, done, err := openPlaced(dir, dir)
	if err != nil {
		return nil, nil, err
	}
	s := stayingFiles{commit, folder, map[string]bool{}, map[string]bool{}, "."}
	for _, p := range paths {
		s.ignored[p], s.within[path.Dir(p)] = true, true
	}
	return s, done, nil
}

// side is where a file is, and its path there.
func (s stayingFiles) side(name string) (files fs.FS, full string) {
	if !fs.ValidPath(name) {
		return s.commit, name // which says so
	}
	full = path.Join(s.at, name)
	if s.stays(full) {
		if _, err := fs.Lstat(s.commit, full); err != nil {
			return s.folder, full
		}
	}
	return s.commit, full
}

// stays reports whether a path or a folder that it is in is ignored.
func (s stayingFiles) stays(full string) bool {
	for ; full != "."; full = path.Dir(full) {
		if s.ignored[full] {
			return true
		}
	}
	return false
}

func (s stayingFiles) Open(name string) (fs.File, error) {
	files, full := s.side(name)
	return files.Open(full)
}

func (s stayingFiles) ReadFile(name string) ([]byte, error) {
	files, full := s.side(name)
	return fs.ReadFile(files, full)
}

func (s stayingFiles) Stat(name string) (fs.FileInfo, error) {
	files, full := s.side(name)
	return fs.Stat(files, full)
}

func (s stayingFiles) Lstat(name string) (fs.FileInfo, error) {
	files, full := s.side(name)
	return fs.Lstat(files, full)
}

func (s stayingFiles) ReadLink(name string) (string, error) {
	files, full := s.side(name)
	return fs.ReadLink(files, full)
}

// ReadDir lists what both sides have.
func (s stayingFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	files, full := s.side(name)
	entries, err := fs.ReadDir(files, full)
	if err != nil || files != s.commit || !s.within[full] {
		return entries, err
	}
	others, err := s.folder.ReadDir(full)
	if err != nil {
		return nil, err
	}
	for _, d := range others {
		has := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == d.Name() })
		if !has && s.ignored[path.Join(full, d.Name())] {
			entries = append(entries, d)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Sub returns the folder dir.
func (s stayingFiles) Sub(dir string) (fs.FS, error) {
	if !fs.ValidPath(dir) {
		return nil, &fs.PathError{Op: "sub", Path: dir, Err: fs.ErrInvalid}
	}
	s.at = path.Join(s.at, dir)
	return s, nil
}

// Source names the folder dir, as a workspace that is a folder does.
func (s stayingFiles) Source(dir string) (string, error) {
	return s.folder.Source(path.Join(s.at, dir))
}
