// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// daemonSocket is where the daemon listens that runs the workspace at root. It
// does not depend on the environment: hooks of git have another one.
func (a *app) daemonSocket(root string) string {
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(a.stateDir, "run", hex.EncodeToString(sum[:6])+".sock")
}

// dialDaemon connects to the daemon that runs the workspace at root; nil = there
// is none.
func (a *app) dialDaemon(ctx context.Context, root string) (*control.Client, error) {
	c, err := control.Dial(ctx, a.daemonSocket(root))
	if errors.Is(err, control.ErrNotRunning) {
		return nil, nil
	}
	return c, err
}

// alreadyWatched is the error of a second daemon.
func (a *app) alreadyWatched(ctx context.Context, root string) error {
	c, err := control.Dial(ctx, a.daemonSocket(root))
	if err != nil {
		return fmt.Errorf("%s is watched by another daemon, which does not answer: %w", root, err)
	}
	st, err := c.Status(ctx)
	if err != nil {
		return fmt.Errorf("%s is watched by another daemon, which does not answer: %w", root, err)
	}
	name := st.Workspace
	if name == "" {
		name = root
	}
	return &reconcile.LockedError{Workspace: name, Holder: reconcile.Holder{PID: st.PID, Command: daemonCommand, Since: st.Since}}
}

// passByDaemon has the daemon that runs the workspace converge, if there is one,
// and shows what it does.
func (a *app) passByDaemon(ctx context.Context, cause reconcile.Cause) (asked bool, err error) {
	at, err := locate(a.workspace)
	if err != nil {
		return false, err
	}
	c, err := a.dialDaemon(ctx, at.root())
	if c == nil || err != nil {
		return false, err
	}
	return true, a.askForPass(ctx, c, control.PassRequest{Cause: string(cause)})
}

// savedByDaemon has the daemon that runs the workspace, if there is one, carry
// out a kept plan, which is in file, and shows what it does.
func (a *app) savedByDaemon(ctx context.Context, at location, file []byte) (asked bool, err error) {
	c, err := a.dialDaemon(ctx, at.root())
	if c == nil || err != nil {
		return false, err
	}
	return true, a.askForPass(ctx, c, control.PassRequest{
		Cause: string(reconcile.CauseCommand), Saved: file, SavedName: a.preview.apply,
	})
}

// askForPass has a daemon make a pass for this command, and shows what it does.
func (a *app) askForPass(ctx context.Context, c *control.Client, r control.PassRequest) error {
	var err error
	if r.Settings, err = a.settings(); err != nil {
		return err
	}
	r.Output, r.Color, r.ASCII, r.Verbose = a.output, a.styleFor(a.std.out).on, a.ascii(), a.verbose
	r.AllowMassDelete, r.AcceptLostRecords, r.Adopt = a.allowMassDelete, a.acceptLostRecords, a.adopt
	code, err := c.Pass(ctx, r, a.std.out, a.std.err)
	if no, ok := errors.AsType[*control.Refusal](err); ok {
		fmt.Fprintln(a.std.err, "error: "+escapeLines(no.Text))
		return exitWith(no.Code)
	}
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted; the daemon goes on with the pass")
	}
	if err != nil {
		return err
	}
	return exitWith(code)
}

// settings are the flags that decide about what should run, as far as they are
// given, each with the digest of its value.
func (a *app) settings() (map[string]string, error) {
	vars, err := a.variables()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, value := range vars {
		out["--var "+name] = control.Digest(value)
	}
	for name, value := range map[string]string{
		"--profile": a.profile, "--host-hooks": a.hostHooks, "--secrets-dir": a.secretsDir, "--policy": a.policyFile, "--podman": a.podman,
		"--allowed-signers": strings.Join(a.allowedSigners, "\n"), "--openpgp-keys": strings.Join(a.openPGPKeys, "\n"),
	} {
		if value != "" {
			out[name] = control.Digest(value)
		}
	}
	if a.verify != verifyOff {
		out["--verify"] = control.Digest(a.verify)
	}
	if a.approval == approvalAuthority {
		out["--require-approval"] = control.Digest(a.approval)
	}
	if a.locked {
		out["--locked"] = control.Digest("true")
	}
	return out, nil
}

// refuses is why a daemon does not make a pass for somebody whose flags are
// these: it would converge something else. Flags that were not given are the
// daemon's.
func (a *app) refuses(settings map[string]string) error {
	own, err := a.settings()
	if err != nil {
		return &control.Refusal{Code: plan.ExitFault, Text: "the daemon's variables cannot be read: " + err.Error()}
	}
	var differ []string
	for name, digest := range settings {
		if own[name] != digest {
			differ = append(differ, name)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	slices.Sort(differ)
	return &control.Refusal{Code: plan.ExitFault, Text: fmt.Sprintf(
		"the daemon of this workspace runs without this %s; leave it out, or start the daemon with it", strings.Join(differ, ", "))}
}
