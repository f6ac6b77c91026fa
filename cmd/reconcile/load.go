// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/schema"
	"reconcile/workspace"
)

// source is a workspace as read: what it asks for and what is wrong with it.
type source struct {
	workspace.Result
	name, root string
	cache      *schema.Cache
}

// load reads and resolves the workspace. Problems of its files are
// diagnostics of the source, not errors.
func (a *app) load(ctx context.Context) (source, error) { return a.loadAs(ctx, "") }

// loadAs is load of a workspace that has the name where its file says none; "" =
// the name of its folder.
func (a *app) loadAs(ctx context.Context, name string) (source, error) {
	dir, err := filepath.Abs(a.workspace)
	if err != nil {
		return source{}, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return source{}, fmt.Errorf("open workspace: %w", err)
	}
	vars, err := a.variables()
	if err != nil {
		return source{}, err
	}
	policy, diags, err := a.hostPolicy()
	if err != nil {
		return source{}, err
	}
	cache := schema.NewCache()
	if b, err := os.ReadFile(a.cachePath()); err == nil {
		_ = cache.Load(b) // a cache that cannot be read is an empty one
	}
	tree, treeDiags, err := workspace.Load(ctx, workspace.Options{
		Dir:          dir,
		Name:         name,
		Profile:      a.profile,
		Vars:         vars,
		LookupEnv:    a.lookupEnv,
		StateDir:     a.stateDir,
		SecretsDir:   a.secretsDir,
		HostPolicy:   policy,
		NeverMounted: a.neverMounted(),
		Cache:        cache,
		Git:          fileGit,
		Revision:     repos.Revision,
	})
	if err != nil {
		return source{}, err
	}
	s := source{Result: tree.Resolve(), cache: cache, root: dir}
	s.Diagnostics = append(append(diags, treeDiags...), s.Diagnostics...).Sort()
	s.Fatal = s.Fatal || diags.HasErrors()
	s.name = s.Desired.Workspace
	return s, nil
}

// neverMounted are the host's paths, beyond those that every workspace is
// denied, that would give an instance power over it: the socket of the service
// that --podman names, and that of a service of our own.
func (a *app) neverMounted() []string {
	paths := []string{a.runDir()}
	if socket, ok := strings.CutPrefix(a.podman, "unix://"); ok {
		paths = append(paths, socket)
	}
	return paths
}

// fileGit answers for file:// repositories of this host.
func fileGit(_ context.Context, requests []workspace.GitRequest) []workspace.GitResult {
	results := make([]workspace.GitResult, len(requests))
	for i, q := range requests {
		where, ok := strings.CutPrefix(q.URL, "file://")
		if !ok {
			results[i].Pending = true
			continue
		}
		results[i].Files, results[i].Commit, results[i].Err = openGit(where, q.Ref)
	}
	return results
}

// openGit opens a commit of a git repository on this host.
func openGit(path, ref string) (fs.FS, string, error) {
	r, err := repos.Open(path)
	if err != nil {
		return nil, "", err
	}
	commit, err := r.Commit(ref)
	if err != nil {
		return nil, "", err
	}
	files, err := r.FS(commit)
	if err != nil {
		return nil, "", err
	}
	return files, commit, nil
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
		text := escapeLines(d.String())
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
	out := make([]plan.Diagnostic, 0, len(ds))
	for _, d := range ds {
		out = append(out, plan.Diagnostic{
			Severity: string(d.Severity), Summary: d.Summary, Detail: d.Detail,
			File: d.Pos.File, Line: d.Pos.Line, Column: d.Pos.Col, Hint: d.Hint,
		})
	}
	return out
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
