// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"reconcile/repos"
	"reconcile/workspace"
)

// reach says how far a command goes for git repositories.
type reach int

const (
	// reachHost: what the mirrors of this host have. The network is not used.
	reachHost reach = iota
	// reachPeek: the remotes are asked, and nothing of it is kept.
	reachPeek
	// reachFetch: the remotes are asked, and the mirrors are brought up to date.
	reachFetch
)

// openStore returns the store of mirrors. One command uses one store; it is
// closed when the command ends.
func (a *app) openStore(to reach) *repos.Store {
	if a.store == nil {
		a.store = repos.NewStore(repos.StoreOptions{
			Dir:      filepath.Join(a.stateDir, "cache", "mirrors"),
			ReadOnly: to != reachFetch,
			Auth: repos.Auth{
				Credentials: a.gitCredentials, Secret: a.gitSecret,
				SSHKey: a.gitSSHKey, KnownHosts: a.gitKnownHosts, LookupEnv: a.lookupEnv,
			},
			Log: a.logger(),
		})
	}
	return a.store
}

// openSource opens the files that a copy is made of.
func (a *app) openSource(from string) (fs.FS, func() error, error) {
	return a.openStore(reachHost).OpenSource(from)
}

// close gives back what the command opened.
func (a *app) close() {
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			fmt.Fprintln(a.std.err, "warning: "+escapeLines(err.Error()))
		}
	}
}

// gitSources gives a workspace the files of git repositories, and remembers
// what was asked for.
type gitSources struct {
	store *repos.Store
	// ask is Store.Fetch or Store.Look.
	ask func(context.Context, []repos.Source) []repos.Fetched
	// sealed gets the Secret documents that repositories are asked for with.
	sealed *sealedSecrets

	mu   sync.Mutex
	seen []sourceState
}

// sourceState is what is known of one repository. Field names are part of the
// JSON output.
type sourceState struct {
	Name   string `json:"name"` // of the repo; "workspace" for the workspace itself; context/NAME
	URL    string `json:"url"`
	Ref    string `json:"ref,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Since is when the remote was last asked with success.
	Since   time.Time `json:"since,omitzero"`
	Stale   bool      `json:"stale"` // Commit may not be what the remote has
	Error   string    `json:"error,omitempty"`
	Refused string    `json:"refused,omitempty"` // a newer commit that is not taken
	Pinned  bool      `json:"pinned,omitempty"`  // by workspace.lock

	source repos.Source
}

func (a *app) newGitSources(to reach) *gitSources {
	g := &gitSources{store: a.openStore(to), sealed: &a.sealed}
	g.ask = g.store.Fetch
	if to == reachHost {
		g.ask = g.look
	}
	return g
}

func (g *gitSources) look(_ context.Context, sources []repos.Source) []repos.Fetched {
	return g.store.Look(sources)
}

// git is workspace.Options.Git.
func (g *gitSources) git(ctx context.Context, reqs []workspace.GitRequest) []workspace.GitResult {
	sources := make([]repos.Source, len(reqs))
	for i, r := range reqs {
		sources[i] = repos.Source{
			URL: r.URL, Ref: r.Ref, Commit: r.Commit, Depth: r.Depth, Exec: r.Exec, NoModules: r.NoModules, SecretRef: r.SecretRef,
		}
		if r.Sealed != nil {
			sources[i].SecretRef = g.sealed.put(r.SecretRef, *r.Sealed)
		}
	}
	fetched := g.ask(ctx, sources)
	out := make([]workspace.GitResult, len(reqs))
	for i, f := range fetched {
		out[i] = g.result(sources[i], f)
		g.remember(newSourceState(reqs[i].Name, sources[i], f))
	}
	return out
}

func (g *gitSources) result(src repos.Source, f repos.Fetched) workspace.GitResult {
	r := workspace.GitResult{Commit: f.Commit, Err: f.Err, Since: f.Since, OffRef: f.OffRef}
	if f.Commit == "" {
		if r.Pending = errors.Is(f.Err, repos.ErrNotHere); r.Pending {
			r.Err = repos.LastFailure(f.Err)
		}
		return r
	}
	files, err := g.store.FS(src, f.Commit)
	if err != nil {
		return workspace.GitResult{Err: err, Since: f.Since}
	}
	r.Files = files
	return r
}

func newSourceState(name string, src repos.Source, f repos.Fetched) sourceState {
	s := sourceState{
		Name: name, URL: repos.Redact(src.URL), Ref: src.Ref, Commit: f.Commit, Since: f.Since,
		Stale: f.Err != nil, Pinned: src.Commit != "", source: src,
	}
	if f.Err != nil {
		s.Error = f.Err.Error()
	}
	return s
}

func (g *gitSources) remember(s sourceState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, s)
}

// states returns what was asked for, in that order.
func (g *gitSources) states() []sourceState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]sourceState(nil), g.seen...)
}
