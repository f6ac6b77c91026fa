// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/config"
)

// maxNesting is how deep submodules may have submodules.
const maxNesting = 10

// maxGitmodules is larger than any file that somebody wrote.
const maxGitmodules = 1 << 20

// module is a commit of another repository, in the place of a folder.
type module struct {
	src    Source // its Ref is the commit
	u      URL
	commit string
}

// at is a module with its place in the files it was found in.
type placed struct {
	module
	path string
}

// chain is the way from a repository to a submodule, as URL@COMMIT.
type chain []string

func (c chain) with(u URL, commit string) (chain, error) {
	here := u.String() + "@" + commit
	if slices.Contains(c, here) {
		return nil, fmt.Errorf("it contains itself: %s", here)
	}
	if len(c) >= maxNesting {
		return nil, fmt.Errorf("submodules are nested more than %d deep", maxNesting)
	}
	return append(slices.Clone(c), here), nil
}

// submodules reads what the .gitmodules of a commit says of the submodules that
// its files have. A submodule that it says nothing of is left out, as git does.
func submodules(u URL, src Source, files *FS) ([]placed, error) {
	info, err := files.Lstat(".gitmodules")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxGitmodules:
		return nil, fmt.Errorf("%s: .gitmodules is not a file of up to 1 MiB", u)
	}
	content, err := files.ReadFile(".gitmodules")
	if err != nil {
		return nil, err
	}
	declared := config.NewModules()
	if err := declared.Unmarshal(content); err != nil {
		return nil, fmt.Errorf("%s: read .gitmodules: %s", u, plain(err.Error()))
	}
	var found []placed
	for _, name := range slices.Sorted(maps.Keys(declared.Submodules)) {
		d := declared.Submodules[name]
		commit, ok := files.gitlink(d.Path)
		if !ok {
			continue
		}
		m, err := u.module(src, d.URL, commit)
		if err != nil {
			return nil, fmt.Errorf("%s: submodule %q: %w", u, d.Path, err)
		}
		found = append(found, placed{m, d.Path})
	}
	return found, nil
}

// module resolves the address of a submodule of u. Credentials that were named
// for u go no further than to its host, and no remote repository reaches into
// the files of this host.
func (u URL) module(src Source, address, commit string) (module, error) {
	if strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../") {
		address = u.relativeTo(address)
	}
	to, err := ParseURL(address)
	if err != nil {
		return module{}, err
	}
	if to.Scheme == "file" && u.Scheme != "file" {
		return module{}, fmt.Errorf("%w %q: it is of this host, and the repository is not", ErrURL, to)
	}
	m := module{src: Source{URL: to.String(), Ref: commit, Exec: src.Exec}, u: to, commit: commit}
	if to.Scheme == u.Scheme && to.host() == u.host() {
		m.src.SecretRef = src.SecretRef
	}
	return m, nil
}

// relativeTo resolves ./x and ../x as git does: u counts as a folder.
func (u URL) relativeTo(address string) string {
	base := u
	base.raw = ""
	if base.Path = path.Join(u.Path, address); u.relative() && strings.HasPrefix(base.Path, "../") {
		base.Path = "" // above the home folder; ParseURL refuses it
	}
	return base.String()
}

// fetchModules brings all submodules of a commit that is here.
func (s *Store) fetchModules(ctx context.Context, u URL, src Source, commit string, way chain) error {
	mods, way, err := s.directly(u, src, commit, way)
	if err != nil || len(mods) == 0 {
		return err
	}
	out := make([]Fetched, len(mods))
	var wg sync.WaitGroup
	for i, m := range mods {
		wg.Go(func() {
			j := &job{src: m.src, u: m.u, out: &out[i], way: way}
			(&group{s: s, u: m.u, src: m.src, jobs: []*job{j}}).run(ctx)
		})
	}
	wg.Wait()
	for i, m := range mods {
		if out[i].Err != nil {
			err = both(err, fmt.Errorf("%s: submodule %q: %w", u, m.path, out[i].Err))
		}
	}
	return err
}

// directly returns the submodules of a commit, without theirs, and the way to
// them.
func (s *Store) directly(u URL, src Source, commit string, way chain) ([]placed, chain, error) {
	if src.NoModules {
		return nil, nil, s.here(u, src, commit)
	}
	repo, err := s.at(u, src, commit)
	if err != nil {
		return nil, nil, err
	}
	files, err := repo.FS(commit)
	if err != nil {
		return nil, nil, err
	}
	mods, err := submodules(u, src, files)
	if err != nil || len(mods) == 0 {
		return nil, nil, err
	}
	way, err = way.with(u, commit)
	return mods, way, err
}

// here returns nil when a commit is.
func (s *Store) here(u URL, src Source, commit string) error {
	_, err := s.at(u, src, commit)
	return err
}

// complete returns nil when a commit is here, and so are its submodules.
func (s *Store) complete(u URL, src Source, commit string, way chain) error {
	mods, way, err := s.directly(u, src, commit, way)
	if err != nil {
		return err
	}
	for _, m := range mods {
		if err := s.complete(m.u, m.src, m.commit, way); err != nil {
			return fmt.Errorf("%s: submodule %q: %w", u, m.path, err)
		}
	}
	return nil
}

// modules returns all submodules of files by their paths, theirs included.
func (s *Store) modules(u URL, src Source, files *FS, way chain) (map[string]module, error) {
	mods, err := submodules(u, src, files)
	if err != nil || len(mods) == 0 {
		return nil, err
	}
	if way, err = way.with(u, files.treeIn.tree.Hash.String()); err != nil {
		return nil, err
	}
	all := map[string]module{}
	for _, m := range mods {
		all[m.path] = m.module
		repo, err := s.at(m.u, m.src, m.commit)
		if err != nil {
			return nil, fmt.Errorf("%s: submodule %q: %w", u, m.path, err)
		}
		inner, err := repo.FS(m.commit)
		if err != nil {
			return nil, fmt.Errorf("%s: submodule %q: %w", u, m.path, err)
		}
		below, err := s.modules(m.u, m.src, inner, way)
		if err != nil {
			return nil, err
		}
		for p, b := range below {
			all[m.path+"/"+p] = b
		}
	}
	return all, nil
}
