// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// Ignored returns what git ignores below the folder dir and does not track:
// paths relative to dir, with slashes. A folder stands for all that is in it.
// There is nothing of the kind when dir is in no git work tree, or in one without
// a commit.
func Ignored(dir string) ([]string, error) {
	c, _, err := openComparison(dir)
	if c == nil || err != nil {
		return nil, err
	}
	if err := c.readIndex(); err != nil {
		return nil, err
	}
	at, patterns := c.start()
	found, err := c.ignoredIn(at, patterns)
	for i := range found {
		found[i] = strings.TrimPrefix(found[i], at+"/")
	}
	return found, err
}

func (c *comparison) ignoredIn(dir string, patterns []gitignore.Pattern) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(c.root, filepath.FromSlash(dir)))
	if err != nil {
		return nil, err
	}
	patterns = c.within(dir, entries, patterns)
	var found []string
	for _, d := range entries {
		name := path.Join(dir, d.Name())
		_, tracked := c.tracked[name]
		switch {
		case tracked || d.Name() == ".git":
		case !c.folders[name] && c.ignored(patterns, name, d.IsDir()):
			found = append(found, name)
		case d.IsDir():
			below, err := c.ignoredIn(name, patterns)
			if err != nil {
				return nil, err
			}
			found = append(found, below...)
		}
	}
	return found, nil
}
