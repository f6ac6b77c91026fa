// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
)

// placedFiles are the files of a folder as if they were those of the folder at: for a
// workspace that is read in one place and said to be in another.
type placedFiles struct {
	fs.FS
	at string // absolute
}

// openPlaced opens dir as if it were at. No link leads out of it.
func openPlaced(dir, at string) (placedFiles, func() error, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return placedFiles{}, nil, err
	}
	return placedFiles{root.FS(), at}, root.Close, nil
}

// ReadDir, ReadFile, Stat, Lstat and ReadLink are those of the folder.

func (p placedFiles) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(p.FS, name) }
func (p placedFiles) ReadFile(name string) ([]byte, error)       { return fs.ReadFile(p.FS, name) }
func (p placedFiles) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(p.FS, name) }
func (p placedFiles) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(p.FS, name) }
func (p placedFiles) ReadLink(name string) (string, error)       { return fs.ReadLink(p.FS, name) }

// Sub returns the folder dir.
func (p placedFiles) Sub(dir string) (fs.FS, error) {
	files, err := fs.Sub(p.FS, dir)
	return placedFiles{files, filepath.Join(p.at, filepath.FromSlash(dir))}, err
}

// Source names the folder dir, as a workspace that is a folder does.
func (p placedFiles) Source(dir string) (string, error) {
	return filepath.Join(p.at, filepath.FromSlash(dir)), nil
}
