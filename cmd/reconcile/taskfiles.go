// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

// The kinds of what a run finds.
const (
	kindFile   = "file"
	kindFolder = "folder"
	kindLink   = "link"
)

// filesOf lists what f is in a container, at the path.
func (a *app) filesOf(src source, at string, f plan.File) ([]taskFile, error) {
	if f.TreeHash != "" {
		return a.filesIn(at, f.From)
	}
	if f.Digest == "" {
		return []taskFile{{Path: at, Kind: kindFolder, Mode: "0755"}}, nil
	}
	mode := f.Mode
	if mode == 0 {
		mode = 0o644
	}
	b, known := src.Desired.Contents[f.Digest]
	if !known {
		return nil, fmt.Errorf("what is in %s is not known", at)
	}
	open := func() ([]byte, error) { return b, nil }
	return []taskFile{{Path: at, Kind: kindFile, Mode: octal(mode), Size: int64(len(b)), Digest: f.Digest, open: open}}, nil
}

// filesIn lists the folder from, which is copied to the path.
func (a *app) filesIn(at, from string) ([]taskFile, error) {
	files := func() (fs.FS, func() error, error) {
		if filepath.IsAbs(from) {
			return os.DirFS(from), func() error { return nil }, nil
		}
		return a.openSource(from)
	}
	fsys, done, err := files()
	if err != nil {
		return nil, fmt.Errorf("read the files of %s: %w", at, err)
	}
	defer done()
	out := []taskFile{{Path: at, Kind: kindFolder, Mode: "0755"}}
	err = fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		f := taskFile{Path: path.Join(at, name), Kind: kindFile, Mode: "0644", Size: info.Size()}
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			f.Kind, f.Mode = kindLink, "0777"
		case info.Mode()&0o111 != 0:
			f.Mode = "0755"
		}
		f.open = func() ([]byte, error) {
			again, done, err := files()
			if err != nil {
				return nil, err
			}
			defer done()
			return fs.ReadFile(again, name)
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of %s: %w", at, err)
	}
	return out, nil
}

// originOf says what has put there what is at the path, and where that is written;
// otherwise is the place of all the rest.
func originOf(at string, files []workspace.TaskFile, otherwise string) (from, origin string) {
	best := ""
	origin = otherwise
	for _, f := range files {
		if (f.Path == at || strings.HasPrefix(at, strings.TrimSuffix(f.Path, "/")+"/")) && len(f.Path) >= len(best) {
			best, from, origin = f.Path, f.From, f.Origin.String()
		}
	}
	return from, origin
}
