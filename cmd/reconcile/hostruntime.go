// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"reconcile/hooks"
	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// hostRuntime is Podman for containers and this host for the hooks that run on it.
// It implements reconcile.Runtime.
type hostRuntime struct {
	*podman.Runtime
	hooks *hooks.Runner
}

// Observe observes, host hooks included.
func (r *hostRuntime) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	o, err := r.Runtime.Observe(ctx, d)
	if err != nil {
		return o, err
	}
	return addHooks(o, d, r.hooks.Look), nil
}

// Do carries out one step.
func (r *hostRuntime) Do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	if s.Op == plan.OpHost {
		return plan.Object{}, r.hooks.Run(ctx, s, d)
	}
	return r.Runtime.Do(ctx, s, d)
}

// hostReader is a reader of Podman that looks at host hooks as well.
type hostReader struct {
	reconcile.Reader
	dir string // of their results
}

// Observe observes, host hooks included.
func (r hostReader) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	o, err := r.Reader.Observe(ctx, d)
	if err != nil {
		return o, err
	}
	return addHooks(o, d, func() (map[plan.ID]plan.HostHook, error) { return hooks.Look(r.dir) }), nil
}

// addHooks adds what is known of host hooks. What cannot be read is not known.
func addHooks(o plan.Observed, d plan.Desired, look func() (map[plan.ID]plan.HostHook, error)) plan.Observed {
	found, err := look()
	o.HostHooks = found
	if err != nil {
		o.Incomplete = append(slices.Clone(o.Incomplete), plan.Reason{Code: plan.CodeUnknown, Text: err.Error(), Origin: d.Source})
	}
	return o
}

// hookResults is where the results of host hooks of a workspace are, and hookLogs
// the output of all hooks.
func (a *app) hookResults(name string) string {
	return filepath.Join(a.workspaceDir(name), "data", "hooks")
}

func (a *app) hookLogs(name string) string {
	return filepath.Join(a.workspaceDir(name), "cache", "hooks")
}

// hookRunner runs the host hooks of a workspace.
func (a *app) hookRunner(name string, secret func(context.Context, string) (string, error)) *hooks.Runner {
	return hooks.New(hooks.Options{
		Dir: a.hookResults(name), Logs: a.hookLogs(name),
		Secret: secret, Copy: copyFolder, LookupEnv: a.lookupEnv,
	})
}

// hookLog opens the log of a hook that runs in a container.
func (a *app) hookLog(name string) func(plan.ID, plan.HookName) (io.WriteCloser, error) {
	return func(target plan.ID, hook plan.HookName) (io.WriteCloser, error) {
		return hooks.CreateLog(a.hookLogs(name), target, hook)
	}
}

// channelDir is where the helpers of a workspace report: a short path, as runDir
// is.
func (a *app) channelDir(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(a.runDir(), "h", hex.EncodeToString(sum[:4]))
}

// copyFolder is the copy of the agent's folder that the step's resource has.
func copyFolder(s plan.Step, d plan.Desired) (string, error) {
	for _, r := range d.Resources {
		if r.ID.Compare(s.Target) != 0 || r.Spec.Container == nil {
			continue
		}
		for _, m := range r.Spec.Container.Mounts {
			if m.Type == plan.MountCopy {
				return podman.CopyFolder(m), nil
			}
		}
	}
	return "", fmt.Errorf("%s has no copy of its agent's folder", s.Target)
}
