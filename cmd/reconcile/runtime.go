// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/repos"
	"reconcile/schema"
)

// openReader connects to Podman for looking only. What it returns has no
// method that changes anything.
func (a *app) openReader(ctx context.Context, store *reconcile.Store) (reconcile.Reader, func() error, error) {
	key, err := reconcile.HostKey(a.stateDir, true)
	if err != nil {
		return nil, nil, err
	}
	opt := a.podmanOptions(store)
	opt.HostKey = key
	rt, err := podman.Open(ctx, opt)
	if err != nil {
		return nil, nil, err
	}
	return rt, rt.Close, nil
}

// openRuntime connects to Podman for a converging pass.
func (a *app) openRuntime(ctx context.Context, store *reconcile.Store, p *progress) (*podman.Runtime, error) {
	key, err := reconcile.HostKey(a.stateDir, false)
	if err != nil {
		return nil, err
	}
	helper, err := helperFiles()
	if err != nil {
		return nil, err
	}
	opt := a.podmanOptions(store)
	opt.HostKey = key
	opt.Helper = helper
	opt.Progress = p.pull
	return podman.Open(ctx, opt)
}

// settleName makes sure of the name of the workspace, for commands that work on
// what runs even when the workspace has mistakes: a name leads to folders.
func (a *app) settleName(ctx context.Context, src *source) error {
	if src.NameUnknown {
		if err := a.findName(ctx, src); err != nil {
			return err
		}
	}
	if !schema.IsName(src.name) {
		a.printDiagnostics(src.Diagnostics)
		return fmt.Errorf("the workspace has no name that can be used: %q is not a DNS label", src.name)
	}
	return nil
}

// findName finds out the name of a workspace whose file cannot be read, from
// what runs of it. Where nothing does the name stays unknown, and the guess is
// good for looking only.
func (a *app) findName(ctx context.Context, src *source) error {
	rt, err := podman.Open(ctx, podman.Options{URL: a.podman, RunDir: a.runDir(), LookupEnv: a.lookupEnv})
	if err != nil {
		return err
	}
	defer rt.Close()
	names, err := rt.WorkspacesAt(ctx, src.root)
	switch {
	case err != nil:
		return err
	case len(names) > 1:
		return fmt.Errorf("several workspaces are run from %s, and its workspace file cannot be read: %s", src.root, strings.Join(names, ", "))
	case len(names) == 1:
		src.name, src.NameUnknown = names[0], false
	}
	return nil
}

func (a *app) podmanOptions(store *reconcile.Store) podman.Options {
	return podman.Options{
		URL:        a.podman,
		RunDir:     a.runDir(),
		StateDir:   a.stateDir,
		OpenSource: repos.OpenSource,
		SecretsDir: a.secretsDir,
		LookupEnv:  a.lookupEnv,
		Owner:      store.Owner(),
		Version:    version,
	}
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
