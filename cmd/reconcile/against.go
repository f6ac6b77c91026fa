// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/repos"
	"reconcile/schema"
)

// previewAgainst plans against the host on which another state of the workspace
// has converged. Podman is not needed, nor is the network for repos that this
// host has mirrors of.
func (a *app) previewAgainst(ctx context.Context) (preview, error) {
	at, err := locate(a.workspace)
	if err != nil {
		return preview{}, err
	}
	ask := a.askNear()
	now, err := a.loadWith(ctx, loadOptions{at: at, git: a.sourcesBy(ask), reach: reachPeek})
	if err != nil {
		return preview{}, err
	}
	if now.Fatal {
		return preview{}, a.printFatal(now)
	}
	if !schema.IsName(now.name) {
		a.printDiagnostics(now.Diagnostics)
		return preview{}, fmt.Errorf("the workspace has no name that can be used: %q is not a DNS label", now.name)
	}
	other, err := a.otherSide(ctx, at, ask)
	if err != nil {
		return preview{}, err
	}
	defer other.close()
	observed, was, ds, err := a.assume(ctx, at, now, other, ask)
	if err != nil {
		return preview{}, err
	}
	now.Desired.Approvals.Files = nil // no host's records are here: what is reviewed counts, whoever could write it elsewhere
	opt := a.planOptions()
	opt.Now = time.Time{} // nothing on an assumed host depends on the time
	return preview{report: render.Report{
		Plan: plan.New(now.Desired, observed, opt), Mode: plan.ModeAgainst, Against: other.text,
		Diagnostics: append(now.Diagnostics, ds...).Sort(),
		Content:     contentOf(now.Desired.Contents, contentOf(was, nil)),
	}}, nil
}

// otherSide is what a workspace is compared with.
type otherSide struct {
	text   string // in words
	short  string // as written, for places in it
	files  fs.FS  // nil: the workspace is not in it at all
	commit string // "" for a folder
	close  func() error
}

// assume is the host on which the other side has converged. It stands in the
// same place and has the same name as the workspace, so that nothing but what it
// asks for can differ. It comes with what is in files there.
func (a *app) assume(ctx context.Context, at location, now source, other otherSide, ask asker) (plan.Observed, map[string][]byte, schema.Diagnostics, error) {
	if other.files == nil {
		return plan.Observed{}, nil, schema.Diagnostics{{
			Severity: schema.Warning, Summary: "the workspace is new", Pos: schema.ParsePos(now.Desired.Source),
			Detail: "it is not in " + other.text,
		}}, nil
	}
	load := func(name string) (source, error) {
		return a.loadFiles(ctx, loadOptions{
			at: at, name: name, fallback: now.name, git: a.sourcesBy(ask), reach: reachPeek,
			files: other.files, commit: other.commit, site: a.siteOf(at),
		})
	}
	old, err := load("")
	if err != nil {
		return plan.Observed{}, nil, nil, fmt.Errorf("%s: %w", other.text, err)
	}
	var ds schema.Diagnostics
	if old.name != now.name {
		ds = append(ds, schema.Diagnostic{
			Severity: schema.Warning, Summary: "the workspace was renamed", Pos: schema.ParsePos(now.Desired.Source),
			Detail: fmt.Sprintf("it is called %q in %s; a pass would make everything anew and leave alone what runs under that name", old.name, other.text),
			Hint:   "the plan compares the two as if they had one name",
		})
		if old, err = load(now.name); err != nil {
			return plan.Observed{}, nil, nil, fmt.Errorf("%s: %w", other.text, err)
		}
	}
	// Of what has mistakes the spec is not known.
	old.Desired.Resources = slices.DeleteFunc(slices.Clone(old.Desired.Resources), func(r plan.Resource) bool {
		return len(r.Blocked) > 0 && r.Spec == (plan.Spec{})
	})
	observed := plan.Assume(old.Desired, nil)
	return observed, old.Desired.Contents, append(ds, uncompared(other, old, &observed)...), nil
}

// uncompared warns of what is not known of the other side, and has it count as
// nothing: whether a plan is complete is a matter of the workspace itself, which
// may well be what mends the other side.
func uncompared(other otherSide, old source, o *plan.Observed) schema.Diagnostics {
	unknown := o.Incomplete
	o.Incomplete = nil
	if old.Fatal {
		for _, d := range old.Diagnostics {
			if d.Severity == schema.Error && !d.Policy {
				unknown = append(unknown, plan.Reason{Text: strings.TrimSuffix(d.Summary+": "+d.Detail, ": "), Origin: d.Pos.String()})
			}
		}
	}
	var ds schema.Diagnostics
	for _, r := range unknown {
		ds = append(ds, schema.Diagnostic{
			Severity: schema.Warning, Summary: "not compared", Pos: schema.ParsePos(other.short + ":" + r.Origin),
			Detail: "not known of " + other.text + ": " + r.Text,
			Hint:   "what it stands for counts as not there, and shows as new",
		})
	}
	return ds
}

// siteOf is where a workspace stands on this host.
func (a *app) siteOf(at location) *site {
	p := &site{root: at.root(), dir: at.dir, stateDir: a.stateDir}
	if at.git != nil {
		p.dir = a.checkout(*at.git)
	}
	return p
}

// otherSide finds out what --against means: a folder when it is written as a
// path, else a revision, else a folder.
func (a *app) otherSide(ctx context.Context, at location, ask asker) (otherSide, error) {
	text := a.preview.against
	info, err := os.Stat(text)
	isDir := err == nil && info.IsDir()
	if isDir && isPath(text) {
		return a.otherFolder(at, text)
	}
	other, err := a.otherRevision(ctx, at, text, ask)
	switch {
	case err == nil && isDir:
		return otherSide{}, fmt.Errorf("--against: %q is both a revision and a folder; write ./%[1]s for the folder, or the hash of the commit", text)
	case err != nil && isDir:
		return a.otherFolder(at, text)
	case err != nil:
		return otherSide{}, fmt.Errorf("--against: %w", err)
	}
	return other, nil
}

// isPath reports whether text is written as a path, which no revision begins
// with.
func isPath(text string) bool {
	return filepath.IsAbs(text) || text == "." || text == ".." || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../")
}

func (a *app) otherFolder(at location, dir string) (otherSide, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return otherSide{}, fmt.Errorf("--against: %w", err)
	}
	files, done, err := openPlaced(real, a.siteOf(at).dir)
	if err != nil {
		return otherSide{}, fmt.Errorf("--against: %w", err)
	}
	return otherSide{text: dir, short: dir, files: files, close: done}, nil
}

func (a *app) otherRevision(ctx context.Context, at location, rev string, ask asker) (otherSide, error) {
	other := otherSide{short: rev, close: func() error { return nil }}
	var top fs.FS
	var sub string
	var err error
	if at.git != nil {
		sub = at.git.subdir
		top, other.commit, err = a.remoteRevision(ctx, *at.git, rev, ask)
	} else {
		top, sub, other.commit, err = localRevision(at.dir, rev)
	}
	if err != nil {
		return otherSide{}, err
	}
	other.text = rev
	if !strings.HasPrefix(other.commit, rev) {
		other.text = fmt.Sprintf("%s (%.12s)", rev, other.commit)
	}
	info, err := fs.Stat(top, sub)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return other, nil
	case err != nil:
		return otherSide{}, err
	case !info.IsDir():
		return other, nil
	}
	if other.files = top; sub != "." {
		if other.files, err = fs.Sub(top, sub); err != nil {
			return otherSide{}, err
		}
	}
	if at.git == nil {
		other.files, other.close, err = staying(other.files, at.dir)
	}
	return other, err
}

// localRevision is a revision of the repository that dir is in, and where dir is
// in that.
func localRevision(dir, rev string) (files fs.FS, sub, commit string, err error) {
	repo, top, err := enclosing(dir)
	if err != nil {
		return nil, "", "", err
	}
	if commit, err = repo.Resolve(rev); err != nil {
		return nil, "", "", err
	}
	rel, err := filepath.Rel(top, dir)
	if err != nil {
		return nil, "", "", err
	}
	files, err = repo.FS(commit)
	return files, filepath.ToSlash(rel), commit, err
}

// enclosing opens the repository that the folder dir is in.
func enclosing(dir string) (repo *repos.Repo, top string, err error) {
	for top = dir; ; top = filepath.Dir(top) {
		if repo, err = repos.Open(top); err == nil || !errors.Is(err, repos.ErrNotFound) {
			return repo, top, err
		}
		if top == filepath.Dir(top) {
			return nil, "", fmt.Errorf("%s is in no git repository, so that it has no revisions", dir)
		}
	}
}

// remoteRevision is a revision of the repository that a workspace is. Mirrors
// have no history, so that of one elsewhere it is a branch, a tag or a commit.
func (a *app) remoteRevision(ctx context.Context, g gitWorkspace, rev string, ask asker) (files fs.FS, commit string, err error) {
	u, err := repos.ParseURL(g.url)
	if err != nil {
		return nil, "", err
	}
	if dir := u.Local(); dir != "" {
		files, _, commit, err = localRevision(dir, rev)
		return files, commit, err
	}
	if strings.ContainsAny(rev, "~^") {
		return nil, "", fmt.Errorf("%q: mirrors have no history; name a branch, a tag or a commit of %s", rev, u)
	}
	src := repos.Source{URL: g.url, Ref: rev}
	got := ask(ctx, []repos.Source{src})[0]
	if got.Commit == "" {
		return nil, "", got.Err
	}
	files, err = a.openStore(reachPeek).FS(src, got.Commit)
	return files, got.Commit, err
}

// asker is what is known of repositories.
type asker func(context.Context, []repos.Source) []repos.Fetched

// sourcesBy are git sources that are asked for in one way.
func (a *app) sourcesBy(ask asker) *gitSources {
	g := a.newGitSources(reachPeek)
	g.ask = ask
	return g
}

// askNear takes what the mirrors of this host have, however old, and asks the
// remotes for the rest. What was answered once is not asked again, so that two
// states of a workspace are compared with the same repos.
func (a *app) askNear() asker {
	store := a.openStore(reachPeek)
	var mu sync.Mutex
	known := map[repos.Source]repos.Fetched{}
	return func(ctx context.Context, sources []repos.Source) []repos.Fetched {
		mu.Lock()
		defer mu.Unlock()
		var fresh, far []repos.Source
		for _, src := range sources {
			if _, ok := known[src]; !ok {
				fresh = append(fresh, src)
			}
		}
		for i, got := range store.Look(fresh) {
			if got.Commit == "" {
				far = append(far, fresh[i])
				continue
			}
			got.Err = nil // that its remote did not answer once is no matter here
			known[fresh[i]] = got
		}
		for i, got := range store.Fetch(ctx, far) {
			known[far[i]] = got
		}
		out := make([]repos.Fetched, len(sources))
		for i, src := range sources {
			out[i] = known[src]
		}
		return out
	}
}
