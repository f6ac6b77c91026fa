// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// step is an entry on the way to a folder.
type step struct{ dir, name string }

// maxRouteLinks is how many links a way may have, as for the kernel.
const maxRouteLinks = 40

// route follows path and returns the folder that it leads to, without links, and
// every entry on the way. The folder is "" when there is none; the steps then
// end where the way does.
func route(path string) (string, []step) {
	var steps []step
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		steps = append(steps, step{at, name})
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			return "", steps
		case info.IsDir():
			at = next
			continue
		case info.Mode()&fs.ModeSymlink == 0:
			return "", steps
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxRouteLinks {
			return "", steps
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, steps
}

// gitDir is where git keeps what belongs to the work tree that dir is in; "" =
// it is in none.
func gitDir(dir string) string {
	for {
		path := filepath.Join(dir, ".git")
		info, err := os.Lstat(path)
		switch {
		case err == nil && info.IsDir():
			return path
		case err == nil && info.Mode().IsRegular(): // of a submodule or a further work tree
			return gitLink(path)
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return ""
	}
}

// gitLink is where a .git file says that the folder is.
func gitLink(file string) string {
	src, err := os.ReadFile(file)
	target, ok := strings.CutPrefix(strings.TrimSpace(string(src)), "gitdir:")
	if err != nil || !ok {
		return ""
	}
	target = strings.TrimSpace(target)
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(file), target)
	}
	dir, err := filepath.EvalSymlinks(target)
	if err != nil {
		return ""
	}
	return dir
}
