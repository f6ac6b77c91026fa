// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

const sourceScheme = "git+file"

// Source names the folder dir of f by its content: a URL of the repository
// with git's hash of that folder's tree. A commit that does not touch the
// folder does not change it. [OpenSource] is the inverse.
func (f *FS) Source(dir string) (string, error) {
	t, err := f.tree(dir)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	u := url.URL{Scheme: sourceScheme, Path: filepath.ToSlash(f.repo.path), Fragment: t.Hash.String()}
	return u.String(), nil
}

// OpenSource opens a folder of this host, given by its absolute path, or a
// folder of a repository as [FS.Source] names it. No link is followed out of
// the folder; links can be read. Call close when the files are read.
func OpenSource(from string) (files fs.FS, close func() error, err error) {
	if !strings.HasPrefix(from, sourceScheme+":") {
		root, err := os.OpenRoot(from)
		if err != nil {
			return nil, nil, fmt.Errorf("open source: %w", err)
		}
		return root.FS(), root.Close, nil
	}
	u, err := url.Parse(from)
	if err != nil {
		return nil, nil, fmt.Errorf("open source: %w", err)
	}
	if !plumbing.IsHash(u.Fragment) {
		return nil, nil, fmt.Errorf("open source %q: no tree is named", from)
	}
	repo, err := Open(filepath.FromSlash(u.Path))
	if err != nil {
		return nil, nil, fmt.Errorf("open source: %w", err)
	}
	f, err := repo.treeFS(plumbing.NewHash(u.Fragment))
	if err != nil {
		return nil, nil, fmt.Errorf("open source: %w", err)
	}
	return f, func() error { return nil }, nil
}
