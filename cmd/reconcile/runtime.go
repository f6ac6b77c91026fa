// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/dispatch"
	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
	"reconcile/secrets"
)

// openReader connects to Podman for looking only. From what it returns no method
// that changes anything can be reached.
func (a *app) openReader(ctx context.Context, name string, archive *reconcile.Archive) (reconcile.Reader, func() error, error) {
	key, err := reconcile.HostKey(a.stateDir, true)
	if err != nil {
		return nil, nil, err
	}
	opt := a.podmanOptions(archive.Owner())
	opt.HostKey = key
	r, err := podman.OpenReader(ctx, opt)
	if err != nil {
		return nil, nil, err
	}
	return hostReader{r, a.hookResults(name)}, r.Close, nil
}

// openRuntime connects to Podman for converging passes of the workspace; progress
// is told what long steps do.
func (a *app) openRuntime(ctx context.Context, name string, store *reconcile.Store, progress func(podman.Progress)) (*hostRuntime, error) {
	key, err := reconcile.HostKey(a.stateDir, false)
	if err != nil {
		return nil, err
	}
	helper, err := helperFiles()
	if err != nil {
		return nil, err
	}
	opt := a.podmanOptions(store.Owner())
	opt.HostKey = key
	opt.Helper = helper
	opt.Progress = progress
	opt.HookLog = a.hookLog(name)
	opt.ChannelDir = a.channelDir(name)
	opt.MetadataPort, opt.DaemonEnv = store.MetadataPort, dispatch.DaemonEnv
	rt, err := podman.Open(ctx, opt)
	if err != nil {
		return nil, err
	}
	return &hostRuntime{rt, a.hookRunner(name, rt.Secret)}, nil
}

// loadHere loads the workspace from what is on this host, so that nothing waits for
// a remote, and makes sure of its name. It may have mistakes.
func (a *app) loadHere(ctx context.Context) (source, error) {
	src, err := a.load(ctx, reachHost)
	if err != nil {
		return source{}, err
	}
	return a.settle(ctx, src)
}

// loadToLook does the same, and opens what is kept of the workspace for reading.
func (a *app) loadToLook(ctx context.Context) (source, *reconcile.Archive, error) {
	src, err := a.loadHere(ctx)
	if err != nil {
		return source{}, nil, err
	}
	archive, err := reconcile.OpenArchive(a.workspaceDir(src.name))
	return src, archive, err
}

// settle makes sure of the name of the workspace, for commands that look at
// what runs: a name leads to folders and containers. Where no workspace file
// says it, what runs from this folder does; otherwise a file that is gone or
// broken would make everything look as if it were somebody else's. A name that
// was never used here may be a new one of what runs.
func (a *app) settle(ctx context.Context, src source) (source, error) {
	_, err := os.Stat(a.workspaceDir(src.name))
	if known := err == nil; src.NameGuessed || !known {
		if src, err = a.findName(ctx, src, src.NameGuessed); err != nil {
			return source{}, err
		}
	}
	if !schema.IsName(src.name) {
		a.printDiagnostics(src.Diagnostics)
		return source{}, fmt.Errorf("the workspace has no name that can be used: %q is not a DNS label", src.name)
	}
	return src, nil
}

// findName asks what runs for the name of its workspace. Where nothing does, a
// guess stays a guess.
func (a *app) findName(ctx context.Context, src source, guessed bool) (source, error) {
	rt, err := podman.OpenReader(ctx, podman.Options{URL: a.podman, RunDir: a.runDir(), LookupEnv: a.lookupEnv})
	if err != nil {
		return source{}, err
	}
	defer rt.Close()
	names, err := rt.WorkspacesAt(ctx, src.root)
	switch {
	case err != nil:
		return source{}, err
	case len(names) == 0, slices.Contains(names, src.name):
		return src, nil
	case !guessed:
		src.Diagnostics = append(src.Diagnostics, schema.Diagnostic{
			Severity: schema.Warning, Summary: "another workspace is run from here", Pos: schema.ParsePos(src.Desired.Source),
			Detail: "what runs of workspace " + strings.Join(names, ", ") + " stays as it is",
			Hint:   "if the workspace was renamed: give it its old name, destroy it, and rename it again",
		}).Sort()
		return src, nil
	case len(names) > 1:
		return source{}, fmt.Errorf("several workspaces are run from %s, and no workspace file says which is meant: %s", src.root, strings.Join(names, ", "))
	}
	return a.loadAs(ctx, src.reach, names[0])
}

func (a *app) podmanOptions(owner string) podman.Options {
	return podman.Options{
		URL:        a.podman,
		RunDir:     a.runDir(),
		StateDir:   a.stateDir,
		OpenSource: a.openSource,
		Unseal:     a.opener().Open,
		SecretsDir: a.secretsDir,
		LookupEnv:  a.lookupEnv,
		Digests:    &a.digests,
		Owner:      owner,
		Version:    version,
	}
}

// opener opens the values of Secret documents, and remembers them for as long as
// this process lives.
func (a *app) opener() *secrets.Opener {
	a.opening.Do(func() { a.opened = secrets.New(a.secretOptions()) })
	return a.opened
}

func (a *app) secretOptions() secrets.Options {
	return secrets.Options{AgeKey: a.ageKey, LookupEnv: a.lookupEnv}
}

// ageKeyWarning is about the key that opens the encrypted values of a workspace,
// when somebody else may read it.
func (a *app) ageKeyWarning(sealed map[string]plan.Sealed) schema.Diagnostics {
	used := a.ageKey != ""
	for _, s := range sealed {
		used = used || s.Format != plan.SealedPlain
	}
	file, exposed := a.secretOptions().ReadableByOthers()
	if !used || !exposed {
		return nil
	}
	return schema.Diagnostics{{
		Severity: schema.Warning, Summary: "the key of secrets can be read by others", Pos: schema.Pos{File: file},
		Detail: "whoever reads it can decrypt the Secret documents of this workspace",
		Hint:   "chmod 600 " + file,
	}}
}

// runDir is where sockets go: a short path, since the kernel allows 108 bytes,
// and one per state directory.
func (a *app) runDir() string {
	sum := sha256.Sum256([]byte(a.stateDir))
	base := os.TempDir()
	if dir, ok := a.lookupEnv("XDG_RUNTIME_DIR"); ok && filepath.IsAbs(dir) {
		base = dir
	} else if os.Getuid() == 0 {
		base = "/run"
	}
	return filepath.Join(base, "reconcile", hex.EncodeToString(sum[:6]))
}
