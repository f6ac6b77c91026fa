// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"path"
	"path/filepath"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/go-git/go-git/v5/plumbing/format/index"
)

// Dirty is what [Revision] appends for a work tree with uncommitted edits.
const Dirty = "+dirty"

// Revision returns the commit that is checked out in the work tree dir belongs
// to, with [Dirty] appended when files below dir differ from it, untracked
// files that are not ignored included. It returns "" when dir is in no git work
// tree, or in one without a commit. A work tree whose state cannot be read
// counts as dirty.
//
// Files with the size and time that the index remembers are not read.
func Revision(dir string) string {
	c, head, err := openComparison(dir)
	if c == nil || err != nil {
		return ""
	}
	if dirty, err := c.dirty(head); dirty || err != nil {
		return head.String() + Dirty
	}
	return head.String()
}

// openComparison opens the work tree that dir belongs to, at its commit; nil when there
// is none.
func openComparison(dir string) (c *comparison, head plumbing.Hash, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, head, err
	}
	r, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, head, nil
	}
	if err != nil {
		return nil, head, err
	}
	ref, err := r.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return nil, head, nil
	}
	if err != nil {
		return nil, head, err
	}
	w, err := r.Worktree()
	if errors.Is(err, git.ErrIsBareRepository) {
		return nil, head, nil
	}
	if err != nil {
		return nil, head, err
	}
	root, err := filepath.EvalSymlinks(w.Filesystem.Root())
	if err != nil {
		return nil, head, err
	}
	below, err := filepath.Rel(root, dir)
	if err != nil {
		return nil, head, err
	}
	return &comparison{git: r, root: root, below: filepath.ToSlash(below)}, ref.Hash(), nil
}

// comparison compares HEAD, index and files of the folder below.
type comparison struct {
	git   *git.Repository
	root  string // of the work tree, absolute
	below string // relative to root, with slashes; "." = all

	index    *index.Index
	conflict bool // a merge is not finished
	tracked  map[string]*index.Entry
	folders  map[string]bool // that hold a tracked file at any depth
	base     []gitignore.Pattern
}

func (c *comparison) dirty(head plumbing.Hash) (bool, error) {
	if err := c.readIndex(); err != nil || c.conflict {
		return c.conflict, err
	}
	if staged, err := c.staged(head); staged || err != nil {
		return staged, err
	}
	if changed, err := c.changed(); changed || err != nil {
		return changed, err
	}
	return c.untracked()
}

// readIndex finds out what of the folder is tracked.
func (c *comparison) readIndex() error {
	idx, err := c.git.Storer.Index()
	if err != nil {
		return err
	}
	c.index = idx
	c.tracked = make(map[string]*index.Entry, len(idx.Entries))
	c.folders = map[string]bool{".": true}
	for _, e := range idx.Entries {
		c.conflict = c.conflict || e.Stage != 0 // index.Merged is 1, wrongly
		if !c.covers(e.Name) {
			continue
		}
		c.tracked[e.Name] = e
		for d := path.Dir(e.Name); !c.folders[d]; d = path.Dir(d) {
			c.folders[d] = true
		}
	}
	return nil
}

func (c *comparison) covers(name string) bool {
	return c.below == "." || len(name) > len(c.below) && name[:len(c.below)] == c.below && name[len(c.below)] == '/'
}
