// SPDX-License-Identifier: Apache-2.0

package repos

import (
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
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	r, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return ""
	}
	head, err := r.Head()
	if err != nil {
		return ""
	}
	w, err := r.Worktree()
	if err != nil {
		return "" // bare
	}
	root, err := filepath.EvalSymlinks(w.Filesystem.Root())
	if err != nil {
		return ""
	}
	below, err := filepath.Rel(root, dir)
	if err != nil {
		return ""
	}
	c := comparison{git: r, root: root, below: filepath.ToSlash(below)}
	if dirty, err := c.dirty(head.Hash()); dirty || err != nil {
		return head.Hash().String() + Dirty
	}
	return head.Hash().String()
}

// comparison compares HEAD, index and files of the folder below.
type comparison struct {
	git   *git.Repository
	root  string // of the work tree, absolute
	below string // relative to root, with slashes; "." = all

	index   *index.Index
	tracked map[string]*index.Entry
	folders map[string]bool // that hold a tracked file at any depth
	base    []gitignore.Pattern
}

func (c *comparison) dirty(head plumbing.Hash) (bool, error) {
	idx, err := c.git.Storer.Index()
	if err != nil {
		return false, err
	}
	c.index = idx
	c.tracked = make(map[string]*index.Entry, len(idx.Entries))
	c.folders = map[string]bool{".": true}
	for _, e := range idx.Entries {
		if e.Stage != 0 { // a merge conflict; index.Merged is 1, wrongly
			return true, nil
		}
		if !c.covers(e.Name) {
			continue
		}
		c.tracked[e.Name] = e
		for d := path.Dir(e.Name); !c.folders[d]; d = path.Dir(d) {
			c.folders[d] = true
		}
	}
	if staged, err := c.staged(head); staged || err != nil {
		return staged, err
	}
	if changed, err := c.changed(); changed || err != nil {
		return changed, err
	}
	return c.untracked()
}

func (c *comparison) covers(name string) bool {
	return c.below == "." || len(name) > len(c.below) && name[:len(c.below)] == c.below && name[len(c.below)] == '/'
}
