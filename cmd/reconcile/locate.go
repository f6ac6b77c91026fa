// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"reconcile/repos"
)

// location is where a workspace is: a folder of this host, or a folder of a git
// repository at a ref.
type location struct {
	dir string        // absolute, without symlinks; "" for git
	git *gitWorkspace // nil for a folder
}

// root is how the workspace is called in labels and messages. It has no
// credentials.
func (l location) root() string {
	if l.git != nil {
		return l.git.root()
	}
	return l.dir
}

// gitWorkspace is a workspace in a git repository, written URL[#REF][:SUBDIR].
type gitWorkspace struct {
	url    string
	ref    string // "" = the default branch
	subdir string // slash path in the repository; "." = its root
}

func (g gitWorkspace) root() string {
	s := g.url
	if g.ref != "" || g.subdir != "." {
		s += "#" + g.ref
	}
	if g.subdir != "." {
		s += ":" + g.subdir
	}
	return s
}

// name is what the workspace is called where no workspace file says it.
func (g gitWorkspace) name() string {
	if g.subdir != "." {
		return path.Base(g.subdir)
	}
	s := strings.TrimSuffix(strings.TrimRight(g.url, "/"), ".git")
	return s[strings.LastIndexAny(s, "/:")+1:]
}

// source is the repository at the ref.
func (g gitWorkspace) source() repos.Source { return repos.Source{URL: g.url, Ref: g.ref} }

// checkout is the folder of a git workspace that instances may mount: below the
// state directory, one for each root.
func (a *app) checkout(g gitWorkspace) string { return filepath.Join(a.checkoutDir(g), g.name()) }

// checkoutDir holds the checkout and what is known of it.
func (a *app) checkoutDir(g gitWorkspace) string {
	sum := sha256.Sum256([]byte(g.root()))
	return filepath.Join(a.stateDir, "checkouts", hex.EncodeToString(sum[:6]))
}

var scpAddress = regexp.MustCompile(`^[^/\s:@]+@[^/\s:]+:`)

// isGitAddress reports whether text can only mean a git repository.
func isGitAddress(text string) bool {
	return strings.Contains(text, "://") || scpAddress.MatchString(text)
}

// locate says where the workspace is that WORKSPACE or -C names.
func locate(text string) (location, error) {
	address, _, _ := strings.Cut(text, "#")
	if isGitAddress(address) {
		g, err := parseGitWorkspace(text)
		return location{git: &g}, err
	}
	if _, err := os.Stat(text); err != nil && isBare(address) && address != text {
		return locateBare(text, address)
	}
	dir, err := filepath.Abs(text)
	if err != nil {
		return location{}, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return location{}, fmt.Errorf("open workspace: %w", err)
	}
	if isBare(dir) {
		return locateBare(dir, dir)
	}
	return location{dir: dir}, nil
}

// locateBare is a bare repository given by its path, which is at the start of
// text. Its default branch is named, so that the path alone and the path with
// that branch are one workspace.
func locateBare(text, dir string) (location, error) {
	real, err := filepath.Abs(dir)
	if err != nil {
		return location{}, err
	}
	if real, err = filepath.EvalSymlinks(real); err != nil {
		return location{}, fmt.Errorf("open workspace: %w", err)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(real)}
	g, err := parseGitWorkspace(u.String() + strings.TrimPrefix(text, dir))
	return location{git: &g}, err
}

// isBare reports whether dir is a git repository without a work tree.
func isBare(dir string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(dir, ".git"))
	return err != nil
}

// parseGitWorkspace reads URL[#REF][:SUBDIR]; the part after # is REF, :SUBDIR
// or REF:SUBDIR.
func parseGitWorkspace(text string) (gitWorkspace, error) {
	address, fragment, _ := strings.Cut(text, "#")
	ref, subdir, hasSubdir := strings.Cut(fragment, ":")
	g := gitWorkspace{url: address, ref: ref, subdir: "."}
	normal, err := repos.ParseURL(address)
	if err != nil {
		return g, fmt.Errorf("workspace: %w", err)
	}
	g.url = normal.String()
	if hasSubdir {
		if g.subdir = path.Clean("./" + subdir); strings.HasPrefix(g.subdir, "..") || path.IsAbs(subdir) {
			return g, fmt.Errorf("workspace: the folder %q is not inside of the repository", subdir)
		}
	}
	if strings.HasPrefix(ref, "-") || strings.ContainsFunc(ref, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return g, errors.New("workspace: the ref after # is no name of a branch, tag or commit")
	}
	if local := normal.Local(); ref == "" && local != "" {
		if repo, err := repos.Open(local); err == nil {
			g.ref = repo.DefaultBranch()
		}
	}
	return g, nil
}
