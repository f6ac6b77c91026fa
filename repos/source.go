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

// Source is a folder of files. Close it when its files are read.
type Source struct {
	fs.FS
	close func() error
}

// Close releases what the source holds open.
func (s Source) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// OpenSource opens a folder of this host, given by its absolute path, or a
// folder of a repository as [FS.Source] names it. No link is followed out of
// the folder.
func OpenSource(from string) (Source, error) {
	if !strings.HasPrefix(from, sourceScheme+":") {
		root, err := os.OpenRoot(from)
		if err != nil {
			return Source{}, fmt.Errorf("open source: %w", err)
		}
		return Source{FS: root.FS(), close: root.Close}, nil
	}
	u, err := url.Parse(from)
	if err != nil {
		return Source{}, fmt.Errorf("open source: %w", err)
	}
	if !plumbing.IsHash(u.Fragment) {
		return Source{}, fmt.Errorf("open source %q: no tree is named", from)
	}
	repo, err := Open(filepath.FromSlash(u.Path))
	if err != nil {
		return Source{}, fmt.Errorf("open source: %w", err)
	}
	f, err := repo.treeFS(plumbing.NewHash(u.Fragment))
	if err != nil {
		return Source{}, fmt.Errorf("open source: %w", err)
	}
	return Source{FS: f}, nil
}
