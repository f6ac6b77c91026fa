// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/repos"
	"reconcile/schema"
	"reconcile/workspace"
)

// source is a workspace as read: what it asks for and what is wrong with it.
type source struct {
	workspace.Result
	name, root string
	cache      *schema.Cache
	at         location
	reach      reach
	sources    []sourceState // git repositories, the workspace's own first
	requests   []workspace.GitRequest
	folders    []string      // that are read in place
	refused    []plan.Reason // why refusedCommit, a newer one, is not taken
	checkout   func() error  // brings the checkout up to date; nil when nothing mounts it

	refusedCommit string
}

// load reads and resolves the workspace. Problems of its files are
// diagnostics of the source, not errors.
func (a *app) load(ctx context.Context, to reach) (source, error) { return a.loadAs(ctx, to, "") }

// loadAs is load of a workspace that has the name where its file says none; "" =
// the name of its folder or repository.
func (a *app) loadAs(ctx context.Context, to reach, name string) (source, error) {
	at, err := locate(a.workspace)
	if err != nil {
		return source{}, err
	}
	return a.loadWith(ctx, loadOptions{at: at, name: name, git: a.newGitSources(to), reach: to})
}

// loadWith is load of a workspace that need not be the one of the command line.
func (a *app) loadWith(ctx context.Context, o loadOptions) (source, error) {
	if o.at.git == nil {
		return a.loadFiles(ctx, o)
	}
	src, err := a.loadGit(ctx, o)
	if no, ok := errors.AsType[*refusedError](err); ok {
		a.printDiagnostics(refusalDiagnostics(no.reasons))
		return source{}, exitWith(plan.ExitRefused)
	}
	return src, err
}

// loadGit reads a workspace from the commit that counts.
func (a *app) loadGit(ctx context.Context, o loadOptions) (source, error) {
	g, own := *o.at.git, o.at.git.source()
	f := o.git.ask(ctx, []repos.Source{own})[0]
	if f.Commit == "" && o.reach == reachHost && errors.Is(f.Err, repos.ErrNotHere) {
		// Never fetched here: there is nothing to fall back to.
		o.git = a.newGitSources(reachPeek)
		f = o.git.ask(ctx, []repos.Source{own})[0]
	}
	state := newSourceState("workspace", own, f)
	if f.Commit == "" {
		o.git.remember(state)
		return source{}, fmt.Errorf("workspace %s: %w", o.at.root(), f.Err)
	}
	acc, err := a.accept(g, f.Commit, o.reach == reachFetch)
	if err != nil {
		return source{}, err
	}
	origin := o.at.root() + ":1:1"
	o.refused, o.refusedCommit = acc.reasons(origin), acc.Refused
	state.Commit = acc.Commit
	if acc.Refused != "" {
		state.Refused = o.refused[0].Text
	}
	o.git.remember(state)
	if acc.Commit == "" {
		return source{}, &refusedError{acc.Refused, o.refused}
	}
	if acc.Commit != f.Commit {
		// A mirror keeps an older commit only for who asks for it; as a ref, the
		// remote is not asked where it is.
		own.Ref = acc.Commit
		if older := o.git.ask(ctx, []repos.Source{own})[0]; older.Commit == "" {
			return source{}, fmt.Errorf("workspace %s: the last good commit %.12s: %w", o.at.root(), acc.Commit, older.Err)
		}
		switch err := a.verifyCommit(own, acc.Commit); {
		case errors.Is(err, repos.ErrSignature):
			return source{}, &refusedError{acc.Refused, o.refused}
		case err != nil:
			return source{}, err
		}
	}
	files, err := filesOf(o.git.store, own, g.subdir, acc.Commit)
	if err != nil {
		return source{}, fmt.Errorf("workspace %s: %w", o.at.root(), err)
	}
	o.files, o.commit = files, acc.Commit
	src, err := a.loadFiles(ctx, o)
	if err == nil && f.Err != nil {
		src.Diagnostics = append(src.Diagnostics, staleDiagnostic(origin, state)).Sort()
	}
	return src, err
}

// filesOf are the files of a folder at a commit.
func filesOf(store *repos.Store, src repos.Source, dir, commit string) (fs.FS, error) {
	files, err := store.FS(src, commit)
	if err != nil || dir == "." {
		return files, err
	}
	below, err := files.Sub(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder %q of commit %.12s: %w", dir, commit, err)
	}
	return below, nil
}

func staleDiagnostic(origin string, s sourceState) schema.Diagnostic {
	since := "it was never reached"
	if !s.Since.IsZero() {
		since = "it was last reached at " + s.Since.UTC().Format(time.RFC3339)
	}
	return schema.Diagnostic{
		Severity: schema.Error, Summary: "workspace is stale", Pos: schema.ParsePos(origin),
		Detail: fmt.Sprintf("%s; %s; commit %.12s is used", s.Error, since, s.Commit),
	}
}

// loadOptions say which files are the workspace.
type loadOptions struct {
	at   location
	name string // whatever the workspace's file says; "" = what that says
	// fallback is the name where the file says none; "" = that of the folder or
	// repository.
	fallback string
	git      *gitSources
	reach    reach
	// unlocked are the repos and images whose lock entries do not count; nil =
	// none.
	unlocked func(name string) bool

	// The workspace file and its content, whatever is there; "" = what is there.
	fileName string
	file     []byte

	// Of a git workspace, or of one with a site.
	files   fs.FS
	commit  string
	refused []plan.Reason // why refusedCommit, a newer one, is not taken

	refusedCommit string

	// site is where files are said to be; nil = where they are.
	site *site
}

// site is where a workspace is, for what depends on it: the paths of mounts.
type site struct {
	root     string // its path or URL, as labels have it
	dir      string // the folder of its files
	stateDir string
}

// loadFiles reads and resolves a workspace whose files are at hand.
func (a *app) loadFiles(ctx context.Context, o loadOptions) (source, error) {
	vars, err := a.variables()
	if err != nil {
		return source{}, err
	}
	policy, diags, err := a.hostPolicy()
	if err != nil {
		return source{}, err
	}
	opt := workspace.Options{
		Dir:          o.at.dir,
		FileName:     o.fileName,
		File:         o.file,
		Name:         o.name,
		DefaultName:  o.fallback,
		Profile:      a.profile,
		Vars:         vars,
		Outputs:      a.std.files(),
		LookupEnv:    a.lookupEnv,
		StateDir:     a.stateDir,
		SecretsDir:   a.secretsDir,
		HostPolicy:   policy,
		HostHooks:    a.hostHooks,
		NeverMounted: a.neverMounted(),
		Cache:        a.validationCache(),
		Hash:         a.hasher.Hash,
		Git:          o.git.git,
		Locked:       a.locked,
		Unlocked:     o.unlocked,
		Revision:     repos.Revision,
	}
	if o.at.git != nil {
		opt.Dir, opt.Files, opt.Root = a.checkout(*o.at.git), o.files, o.at.root()
		opt.DefaultName = cmp.Or(o.fallback, o.at.git.name())
		opt.Revision = func(string) string { return o.commit }
	}
	root := o.at.root()
	if o.site != nil {
		root, opt.Files = o.site.root, o.files
		opt.Dir, opt.Root, opt.StateDir, opt.DefaultName = o.site.dir, o.site.root, o.site.stateDir, o.fallback
		opt.Revision = func(string) string { return o.commit }
	}
	tree, treeDiags, err := workspace.Load(ctx, opt)
	if err != nil {
		return source{}, err
	}
	s := source{
		Result: tree.Resolve(), cache: opt.Cache, root: root, at: o.at,
		sources: o.git.states(), reach: o.reach, requests: tree.GitRequests(), folders: tree.Folders(), refused: o.refused, refusedCommit: o.refusedCommit,
	}
	if o.at.git != nil && s.NeedsCheckout {
		s.checkout = func() error { return a.checkOut(*o.at.git, o.files) }
	}
	s.Diagnostics = append(append(append(diags, treeDiags...), s.Diagnostics...), refusalDiagnostics(o.refused)...).Sort()
	s.Diagnostics = append(s.Diagnostics, a.ageKeyWarning(s.Desired.Sealed)...).Sort()
	s.Fatal = s.Fatal || diags.HasErrors()
	s.name = s.Desired.Workspace
	return s, nil
}

// validationCache remembers which documents passed validation, between loads
// and between runs.
func (a *app) validationCache() *schema.Cache {
	if a.cache == nil {
		a.cache = schema.NewCache()
		if b, err := os.ReadFile(a.cachePath()); err == nil {
			_ = a.cache.Load(b) // a cache that cannot be read is an empty one
		}
	}
	return a.cache
}

// neverMounted are the host's paths, beyond those that every workspace is
// denied, that would give an instance power over it: the socket of the service
// that --podman names, that of a service of our own, and the key of secrets.
func (a *app) neverMounted() []string {
	paths := []string{a.runDir()}
	key := a.secretOptions().KeyFile()
	// A place where there might be a key is nothing to keep from anybody.
	if _, err := os.Stat(key); err == nil || a.ageKey != "" {
		if abs, err := filepath.Abs(key); err == nil {
			paths = append(paths, abs)
		}
	}
	if socket, ok := strings.CutPrefix(a.podman, "unix://"); ok {
		paths = append(paths, socket)
	}
	return paths
}

// cachePath is where the digests of documents that passed validation are kept
// between runs.
func (a *app) cachePath() string { return filepath.Join(a.stateDir, "cache", "validated") }

func (a *app) hostPolicy() (*schema.Policy, schema.Diagnostics, error) {
	if a.policyFile == "" {
		return nil, nil, nil
	}
	src, err := os.ReadFile(a.policyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the host's policy: %w", err)
	}
	policy, diags := schema.DecodePolicy(a.policyFile, src)
	return &policy, diags, nil
}

// printDiagnostics writes diagnostics to stderr.
func (a *app) printDiagnostics(ds schema.Diagnostics) {
	s := a.styleFor(a.std.err)
	for _, d := range ds {
		d.Pos.File = escape(d.Pos.File) // one line, whatever a file is called
		text := a.plainText(escapeLines(d.String()))
		if d.Severity == schema.Error {
			text = s.red(text)
		} else {
			text = s.yellow(text)
		}
		fmt.Fprintln(a.std.err, text)
	}
}

// diagnosticsJSON is the form diagnostics have in every JSON output.
func diagnosticsJSON(ds schema.Diagnostics) []plan.Diagnostic {
	return render.Diagnostics(ds)
}

// countDiagnostics returns the number of errors and warnings.
func countDiagnostics(ds schema.Diagnostics) (errs, warnings int) {
	for _, d := range ds {
		if d.Severity == schema.Error {
			errs++
		} else {
			warnings++
		}
	}
	return errs, warnings
}
