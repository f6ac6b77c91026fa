// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// The summaries about repos.
const (
	summaryUnsupported = "not supported by this build"
	summaryRepo        = "repo cannot be opened"
	summaryRepoTwice   = "repo given twice"
	summaryPolicy      = "refused by policy"
)

// ownRepo is the name of the workspace itself as a repo.
const ownRepo = "workspace"

// repo is a place where agents are: the workspace, a folder or a commit.
type repo struct {
	name  string
	decl  schema.Repo
	files fs.FS // nil: it cannot be had
	// root is the folder behind files, nil for a commit.
	root *os.Root
	// dir is the folder that is used in place; "" for a commit.
	dir    string
	commit string // of a repo in git; "" = it is a folder
	// request is how it was asked for; nil for what is not in git, or was refused.
	request *GitRequest
	locked  schema.LockedRef // its entry in the lock file; zero = none
	// label is put before the paths of its files in messages; "" = nothing.
	label string
	// blocked says why nothing of it can be had.
	blocked *plan.Reason
	agents  map[string]*agent // by name; nil = there is none
	cue     map[string][]byte // its .cue files, once one is asked for
}

// sub opens a folder of the repo. What is read in it is not looked up from the
// root of the repo each time.
func (r *repo) sub(dir string) (fs.FS, func() error, error) {
	if r.root == nil {
		files, err := fs.Sub(r.files, dir)
		return files, func() error { return nil }, err
	}
	root, err := r.root.OpenRoot(filepath.FromSlash(dir))
	if err != nil {
		return nil, nil, err
	}
	return root.FS(), root.Close, nil
}

// display is how a file of the repo is called in messages.
func (r *repo) display(name string) string {
	if r.label == "" {
		return name
	}
	return path.Join(r.label, name)
}

func (t *Tree) openWorkspaceRepos(ctx context.Context) {
	t.repos = map[string]*repo{ownRepo: {name: ownRepo, files: t.files, root: t.folder, dir: t.root, agents: map[string]*agent{}}}
	t.order = []string{ownRepo}
	t.openGit(ctx, t.addRepos(t.file.Repos, nil), t.askContexts())
}

// addRepos adds repos, and returns those in git, which are still to be opened.
// by is the agent whose manifest asks for them, nil for the workspace file.
func (t *Tree) addRepos(decls []schema.Repo, by *agent) (asked []*repo) {
	for _, decl := range decls {
		r := t.addRepo(decl, by)
		switch {
		case r == nil:
		case isRemote(decl.URL.V):
			if t.mayFetch(r, by) {
				asked = append(asked, r)
			}
		default:
			t.openFolder(r, by)
		}
	}
	return asked
}

// addRepo adds a repo that is not opened yet, or returns nil. One name for two
// places is an error.
func (t *Tree) addRepo(decl schema.Repo, by *agent) *repo {
	if !decl.Name.IsSet() || !decl.URL.IsSet() || decl.Name.V == ownRepo {
		return nil // reported with its document
	}
	if first, ok := t.repos[decl.Name.V]; ok {
		if t.place(first.decl) != t.place(decl) {
			t.report.fail(decl.Name.Pos, summaryRepoTwice, "rename one of them",
				"%s is %s here and %s at %s", decl.Name.V, describe(decl), describe(first.decl), first.decl.Name.Pos)
		}
		return nil
	}
	if by != nil {
		// How a repo is asked for, and with whose secret, is the operator's choice.
		decl = schema.Repo{Name: decl.Name, URL: decl.URL, Ref: decl.Ref, Path: decl.Path}
	}
	r := &repo{name: decl.Name.V, decl: decl, agents: map[string]*agent{}}
	t.repos[r.name] = r
	t.order = append(t.order, r.name)
	return r
}

// block reports why nothing of r can be had, and keeps it.
func (t *Tree) block(r *repo, pos schema.Pos, code plan.Code, summary, hint, format string, args ...any) {
	reason := t.report.block(pos, code, summary, hint, format, args...)
	r.blocked = &reason
}

// openFolder uses a folder in place.
func (t *Tree) openFolder(r *repo, by *agent) {
	dir := t.folderOf(r.decl)
	if by != nil && by.repo.dir == "" && !within(dir, t.root) && t.policy.mounts != "any" {
		t.block(r, r.decl.URL.Pos, plan.CodePolicy, summaryPolicy, "",
			"the manifest of a git repository may not name the folder %s, which is outside of the workspace%s", dir, forbids(t.policy.mountsAt))
		return
	}
	if r.decl.Ref.IsSet() {
		t.report.warn(r.decl.Ref.Pos, "field has no effect", "", "a folder is used as it is")
	}
	dir, err := t.real(dir)
	if err == nil && t.isOurs(dir) {
		t.block(r, r.decl.URL.Pos, plan.CodePolicy, summaryPolicy, "", "the repo %s: %s is in the state directory or that of secrets", r.name, dir)
		return
	}
	if err == nil {
		err = t.useFolder(r, dir)
	}
	if err == nil {
		return
	}
	t.report.fail(r.decl.URL.Pos, summaryRepo, "", "the folder of the repo %s: %v", r.name, err)
	r.blocked = &plan.Reason{Code: plan.CodeInvalid, Text: summaryRepo, Origin: r.decl.URL.Pos.String()}
}

func (t *Tree) useFolder(r *repo, dir string) error {
	if name, ok := t.ofCommit(dir); ok {
		files, err := t.commit.Sub(name)
		if err != nil {
			return err
		}
		r.files, r.dir, r.label = files, dir, t.labelOf(dir)
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	t.closer = append(t.closer, root.Close)
	r.files, r.root, r.dir, r.label = root.FS(), root, dir, t.labelOf(dir)
	return nil
}

// isOurs reports whether a folder is in the state directory or that of secrets,
// where the workspace itself is not.
func (t *Tree) isOurs(dir string) bool {
	for _, own := range []string{t.opt.StateDir, t.opt.SecretsDir} {
		if own == "" {
			continue
		}
		real, err := filepath.EvalSymlinks(own)
		in := within(dir, filepath.Clean(own)) || err == nil && within(dir, real)
		if in && !within(dir, t.root) {
			return true
		}
	}
	return false
}

// folderOf is the absolute path of a repo that is a folder.
func (t *Tree) folderOf(decl schema.Repo) string {
	dir := filepath.FromSlash(decl.URL.V)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(t.root, dir)
	}
	return filepath.Join(dir, filepath.FromSlash(decl.Path.V))
}

// insideFolder returns the slash path of a repo that is a folder below the
// workspace's root.
func (t *Tree) insideFolder(decl schema.Repo) (string, bool) {
	if decl.URL.V == "" || strings.Contains(decl.URL.V, "://") || isRemote(decl.URL.V) {
		return "", false
	}
	return t.inside(filepath.FromSlash(decl.URL.V))
}

// inside returns the slash path of a folder that is below the workspace's root.
// A relative one is relative to the root.
func (t *Tree) inside(dir string) (string, bool) {
	if dir == "" {
		return "", false
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(t.root, dir)
	}
	if real, err := t.real(dir); err == nil {
		dir = real
	}
	rel, err := filepath.Rel(t.root, dir)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// labelOf is how the folder is called in messages.
func (t *Tree) labelOf(dir string) string {
	if rel, err := filepath.Rel(t.root, dir); err == nil && filepath.IsLocal(rel) {
		if rel == "." {
			return ""
		}
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(dir)
}

var scpAddress = regexp.MustCompile(`^[^/\s]+@[^/\s]+:`)

func isRemote(address string) bool {
	return strings.Contains(address, "://") || scpAddress.MatchString(address)
}

// place is equal for two spellings of one repo.
func (t *Tree) place(decl schema.Repo) string {
	address := decl.URL.V
	if !isRemote(address) {
		address = t.folderOf(schema.Repo{URL: decl.URL})
	}
	return strings.Join([]string{address, decl.Ref.V, path.Clean("./" + decl.Path.V)}, "\n")
}

func describe(decl schema.Repo) string {
	s := safeURL(decl.URL.V)
	if decl.Ref.V != "" {
		s += " ref " + decl.Ref.V
	}
	if decl.Path.V != "" {
		s += " path " + decl.Path.V
	}
	return s
}

// safeURL leaves out a password.
func safeURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		return s
	}
	return u.Redacted()
}

// within reports whether path is dir or below it. Both are clean.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// errNoResult stands for what Options.Git did not answer.
var errNoResult = errors.New("there is no answer")

func subFolder(files fs.FS, dir string) (fs.FS, error) {
	info, err := fs.Stat(files, dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", dir)
	}
	return fs.Sub(files, dir)
}
