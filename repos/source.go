// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	sourcePrefix = "git+"
	hollow       = "-" // instead of submodules: they are empty folders
)

// Source names the folder dir of f by its content: the repository's URL with
// git's hash of that folder's tree, git+URL#TREE. A commit that does not touch
// the folder does not change it, and neither does the place of a mirror.
// [Store.OpenSource] is the inverse. Where the folder has submodules below it,
// their commits and URLs follow, &PATH=COMMIT@URL, or &- where they are empty
// folders.
func (f *FS) Source(dir string) (string, error) {
	n, err := f.folder(dir)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	text := sourcePrefix + n.repo.url.String() + "#" + n.tree.Hash.String()
	if f.hollow {
		return text + "&" + hollow, nil
	}
	below := f.modulesBelow(dir)
	for _, p := range slices.Sorted(maps.Keys(below)) {
		text += "&" + url.QueryEscape(p) + "=" + below[p].commit + "@" + url.QueryEscape(below[p].u.String())
	}
	return text, nil
}

// OpenSource opens a folder of this host, given by its absolute path, or a
// folder of a repository of this host as [FS.Source] names it. No link is
// followed out of the folder; links can be read. Call close when the files are
// read.
func OpenSource(from string) (files fs.FS, close func() error, err error) {
	return NewStore(StoreOptions{}).OpenSource(from)
}

// OpenSource opens what [FS.Source] named, as the function [OpenSource] does,
// and folders of mirrors, whichever generation of a mirror they are in by now.
func (s *Store) OpenSource(from string) (files fs.FS, close func() error, err error) {
	if !strings.HasPrefix(from, sourcePrefix) {
		root, err := os.OpenRoot(from)
		if err != nil {
			return nil, nil, fmt.Errorf("open source: %w", err)
		}
		return root.FS(), root.Close, nil
	}
	f, err := s.openSource(strings.TrimPrefix(from, sourcePrefix))
	if err != nil {
		return nil, nil, fmt.Errorf("open source: %w", err)
	}
	return f, func() error { return nil }, nil
}

func (s *Store) openSource(from string) (*FS, error) {
	address, content, _ := strings.Cut(from, "#")
	hash, rest, _ := strings.Cut(content, "&")
	if !plumbing.IsHash(hash) {
		return nil, fmt.Errorf("%q: no tree is named", from)
	}
	u, err := ParseURL(address)
	if err != nil {
		return nil, err
	}
	modules := map[string]module{}
	if rest != hollow {
		if modules, err = sourceModules(rest); err != nil {
			return nil, fmt.Errorf("%q: %w", from, err)
		}
	}
	tree := plumbing.NewHash(hash)
	repo, err := s.anywhere(u, func(r *Repo) bool { return r.git.Storer.HasEncodedObject(tree) == nil })
	if err != nil {
		return nil, err
	}
	f, err := repo.treeFS(tree)
	if err != nil {
		return nil, err
	}
	f.store, f.modules, f.hollow = s, modules, rest == hollow
	return f, nil
}

func sourceModules(text string) (map[string]module, error) {
	modules := map[string]module{}
	if text == "" {
		return modules, nil
	}
	for part := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(part, "=")
		commit, address, _ := strings.Cut(value, "@")
		name, err1 := url.QueryUnescape(name)
		address, err2 := url.QueryUnescape(address)
		if err := errors.Join(err1, err2); err != nil || !fs.ValidPath(name) || !plumbing.IsHash(commit) {
			return nil, errors.New("a submodule is not of the form PATH=COMMIT@URL")
		}
		u, err := ParseURL(address)
		if err != nil {
			return nil, err
		}
		modules[name] = module{u: u, commit: commit}
	}
	return modules, nil
}

// anywhere opens a repository at u that has something: in place, or a mirror of
// any backend and depth.
func (s *Store) anywhere(u URL, has func(*Repo) bool) (*Repo, error) {
	if u.Local() != "" {
		if r, err := Open(u.Local()); err == nil && (has(r) || r.renewed(has)) {
			return r, nil
		}
	}
	for _, m := range s.copies(u, "") {
		for range 2 { // a generation may go between two looks
			if r, err := m.open(); err == nil && has(r) {
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: %s, or what is wanted of it", ErrNotHere, u)
}

// renewed asks once more, with the repository opened anew.
func (r *Repo) renewed(has func(*Repo) bool) bool {
	g, err := r.open()
	if err != nil {
		return false
	}
	r.git = g
	return has(r)
}
