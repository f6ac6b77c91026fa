// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/go-git/go-git/v5/plumbing/format/index"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// staged reports whether the index differs from the commit.
func (c *comparison) staged(head plumbing.Hash) (bool, error) {
	commit, err := c.git.CommitObject(head)
	if err != nil {
		return false, err
	}
	if c.index.Cache != nil {
		for _, e := range c.index.Cache.Entries {
			if e.Path == "" && e.Entries >= 0 && e.Hash == commit.TreeHash {
				return false, nil
			}
		}
	}
	t, err := commit.Tree()
	if err != nil {
		return false, err
	}
	prefix := ""
	if c.below != "." {
		prefix = c.below + "/"
		if t, err = t.Tree(c.below); errors.Is(err, object.ErrDirectoryNotFound) {
			return len(c.tracked) > 0, nil
		} else if err != nil {
			return false, err
		}
	}
	seen := 0
	same, err := c.sameTree(t, prefix, &seen)
	return !same || seen != len(c.tracked), err
}

func (c *comparison) sameTree(t *object.Tree, prefix string, seen *int) (bool, error) {
	for _, te := range t.Entries {
		name := prefix + te.Name
		if te.Mode == filemode.Dir {
			sub, err := object.GetTree(c.git.Storer, te.Hash)
			if err != nil {
				return false, err
			}
			if same, err := c.sameTree(sub, name+"/", seen); !same || err != nil {
				return same, err
			}
			continue
		}
		e, ok := c.tracked[name]
		if !ok || e.Hash != te.Hash || e.Mode != te.Mode {
			return false, nil
		}
		*seen++
	}
	return true, nil
}

// changed reports whether a tracked file differs from the index.
func (c *comparison) changed() (bool, error) {
	written := c.indexTime()
	for name, e := range c.tracked {
		if e.Mode == filemode.Submodule || e.SkipWorktree {
			continue
		}
		file := filepath.Join(c.root, filepath.FromSlash(name))
		info, err := os.Lstat(file)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		mode, err := filemode.NewFromOSFileMode(info.Mode())
		if err != nil || mode != e.Mode && (mode != filemode.Regular || e.Mode != filemode.Deprecated) {
			return true, nil
		}
		// A file written at or after the time of the index may have changed
		// although size and time say otherwise.
		if uint32(info.Size()) == e.Size && info.ModTime().Equal(e.ModifiedAt) && e.ModifiedAt.Before(written) {
			continue
		}
		if same, err := sameContent(file, e); !same || err != nil {
			return !same, err
		}
	}
	return false, nil
}

// indexTime is zero when it is not known, so that every file is read.
func (c *comparison) indexTime() time.Time {
	store, ok := c.git.Storer.(*filesystem.Storage)
	if !ok {
		return time.Time{}
	}
	info, err := store.Filesystem().Stat("index")
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func sameContent(file string, e *index.Entry) (bool, error) {
	var content []byte
	var err error
	if e.Mode == filemode.Symlink {
		var target string
		target, err = os.Readlink(file)
		content = []byte(target)
	} else {
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return false, err
	}
	return plumbing.ComputeHash(plumbing.BlobObject, content) == e.Hash, nil
}

// untracked reports whether a file below is neither in the index nor ignored.
func (c *comparison) untracked() (bool, error) {
	return c.untrackedIn(c.start())
}

// start is the folder below, relative to the root ("" = that), with the patterns
// of the folders that it lies in.
func (c *comparison) start() (dir string, patterns []gitignore.Pattern) {
	if c.below == "." {
		return "", nil
	}
	for part := range strings.SplitSeq(c.below, "/") {
		patterns = append(patterns, c.ignoreFile(dir)...)
		dir = path.Join(dir, part)
	}
	return dir, patterns
}

// within adds the patterns of a folder with these entries.
func (c *comparison) within(dir string, entries []fs.DirEntry, patterns []gitignore.Pattern) []gitignore.Pattern {
	if slices.ContainsFunc(entries, func(d fs.DirEntry) bool { return d.Name() == ".gitignore" }) {
		return append(patterns[:len(patterns):len(patterns)], c.ignoreFile(dir)...)
	}
	return patterns
}

func (c *comparison) untrackedIn(dir string, patterns []gitignore.Pattern) (bool, error) {
	entries, err := os.ReadDir(filepath.Join(c.root, filepath.FromSlash(dir)))
	if err != nil {
		return false, err
	}
	patterns = c.within(dir, entries, patterns)
	for _, d := range entries {
		name := path.Join(dir, d.Name())
		_, tracked := c.tracked[name]
		if tracked || d.Name() == ".git" {
			continue
		}
		if !c.folders[name] && c.ignored(patterns, name, d.IsDir()) {
			continue
		}
		if !d.IsDir() {
			return true, nil
		}
		if found, err := c.untrackedIn(name, patterns); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (c *comparison) ignored(patterns []gitignore.Pattern, name string, isDir bool) bool {
	all := append(c.basePatterns(), patterns...)
	return gitignore.NewMatcher(all).Match(strings.Split(name, "/"), isDir)
}

// basePatterns are the excludes of the user and of the repository; they are
// only read when there is something that is not tracked.
func (c *comparison) basePatterns() []gitignore.Pattern {
	if c.base == nil {
		c.base = []gitignore.Pattern{}
		if p, err := gitignore.LoadGlobalPatterns(osfs.New("/")); err == nil {
			c.base = append(c.base, p...)
		}
		if store, ok := c.git.Storer.(*filesystem.Storage); ok {
			c.base = append(c.base, parsePatterns(filepath.Join(store.Filesystem().Root(), "info", "exclude"), nil)...)
		}
	}
	return c.base[:len(c.base):len(c.base)]
}

func (c *comparison) ignoreFile(dir string) []gitignore.Pattern {
	var domain []string
	if dir != "" {
		domain = strings.Split(dir, "/")
	}
	return parsePatterns(filepath.Join(c.root, filepath.FromSlash(dir), ".gitignore"), domain)
}

func parsePatterns(file string, domain []string) []gitignore.Pattern {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var patterns []gitignore.Pattern
	for line := range bytes.Lines(src) {
		text := strings.TrimRight(string(line), "\r\n")
		if strings.TrimSpace(text) != "" && !strings.HasPrefix(text, "#") {
			patterns = append(patterns, gitignore.ParsePattern(text, domain))
		}
	}
	return patterns
}
