// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/schema"
)

// reception is one run of a hook.
type reception struct {
	dir      string // of the repository
	settings deploySettings
	at       location                    // of the workspace: the repository at its branch
	gitEnv   func(string) (string, bool) // as git set it
	pushed   []pushedRef
}

func (rc reception) ref() string { return "refs/heads/" + rc.settings.Branch }

// deployed returns what was pushed to the branch that deploys.
func (rc reception) deployed() (pushedRef, bool) {
	i := slices.IndexFunc(rc.pushed, func(p pushedRef) bool { return p.ref == rc.ref() })
	if i < 0 {
		return pushedRef{}, false
	}
	return rc.pushed[i], true
}

// newReceiveCommand is what the hooks of serve-push call.
func newReceiveCommand(a *app) *cobra.Command {
	var rc reception
	cmd := &cobra.Command{
		Use:       "receive pre|post",
		Short:     "Check or deploy what was pushed; called by the hooks of serve-push",
		Hidden:    true,
		Args:      cobra.MatchAll(oneArg("pre or post"), cobra.OnlyValidArgs),
		ValidArgs: []string{"pre", "post"},
		// Instead of the environment of whoever pushes.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) (err error) {
			rc, err = a.beginReception(cmd.Flags())
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check("text"); err != nil {
				return err
			}
			var err error
			if rc.pushed, err = readPushed(a.std.in); err != nil {
				return err
			}
			a.workspace = rc.dir + "#" + rc.settings.Branch
			if rc.at, err = locate(a.workspace); err != nil {
				return err
			}
			if args[0] == "pre" {
				return a.checkPushed(cmd.Context(), rc)
			}
			return a.deployPushed(cmd.Context(), rc)
		},
	}
	a.report.add(cmd.Flags())
	return cmd
}

// beginReception takes over the settings of the repository that the process was
// started in, flags and environment.
func (a *app) beginReception(flags *pflag.FlagSet) (reception, error) {
	dir, err := os.Getwd()
	if err != nil {
		return reception{}, err
	}
	rc := reception{dir: dir}
	if rc.settings, err = loadDeploySettings(dir); err != nil {
		return rc, err
	}
	given := map[string]string{}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		given[name] = value
	}
	rc.gitEnv = func(name string) (string, bool) {
		v, ok := given[name]
		return v, ok
	}
	if err := setEnvironment(given, rc.settings.Environment); err != nil {
		return rc, err
	}
	a.color = "never"
	return rc, rc.settings.apply(flags)
}

// setEnvironment leaves the process with what was recorded, and of the
// pusher's environment with what has nothing to do with us or with git.
func setEnvironment(given, recorded map[string]string) error {
	for name := range given {
		if slices.Contains(recordedEnvironment, name) || strings.HasPrefix(name, "GIT_") || strings.HasPrefix(name, "RECONCILE_") {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	for name, value := range recorded {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("%s: environment %s: %w", settingsFile, name, err)
		}
	}
	return nil
}

// apply sets the recorded flags.
func (s deploySettings) apply(flags *pflag.FlagSet) error {
	for _, name := range sortedKeys(s.Flags) {
		for _, v := range s.Flags[name] {
			if err := flags.Set(name, v); err != nil {
				return fmt.Errorf("%s: flag %s: %w; run reconcile serve-push again", settingsFile, name, err)
			}
		}
	}
	return nil
}

// checkPushed refuses what would not deploy. It sees what git has put aside
// until the push is accepted, and uses neither the network nor Podman.
func (a *app) checkPushed(ctx context.Context, rc reception) error {
	p, ok := rc.deployed()
	if !ok {
		return nil
	}
	if p.gone() {
		return a.refusePush(plan.ExitRefused, "the branch %s deploys and cannot be deleted; `reconcile destroy` takes down what runs", rc.settings.Branch)
	}
	repo, err := repos.OpenReceived(rc.dir, rc.gitEnv)
	if err != nil {
		return err
	}
	if a.verify == verifySigned {
		signers, err := repos.LoadSigners(a.openPGPKeys, a.allowedSigners)
		if err != nil {
			return err
		}
		switch _, err := repo.Verify(p.new, signers); {
		case errors.Is(err, repos.ErrSignature):
			return a.refusePush(plan.ExitRefused, "%v", err)
		case err != nil:
			return err
		}
	}
	files, err := repo.FS(p.new)
	if err != nil {
		return err
	}
	src, err := a.loadFiles(ctx, loadOptions{at: rc.at, git: a.asFetched(), files: files, commit: p.new})
	if err != nil {
		return err
	}
	// Warnings alone are printed by the pass.
	if errs, _ := countDiagnostics(src.Diagnostics); errs > 0 {
		a.printDiagnostics(src.Diagnostics)
		return a.refusePush(plan.ExitFault, "%s in the workspace; nothing was changed", count(errs, "error"))
	}
	if !schema.IsName(src.name) {
		return a.refusePush(plan.ExitFault, "the workspace has no name that can be used: %q is not a DNS label", src.name)
	}
	return nil
}

// asFetched are the repos as they were fetched last. That a remote did not
// answer then is no mistake of the push.
func (a *app) asFetched() *gitSources {
	g := a.newGitSources(reachHost)
	look := g.ask
	g.ask = func(ctx context.Context, sources []repos.Source) []repos.Fetched {
		out := look(ctx, sources)
		for i := range out {
			if out[i].Commit != "" {
				out[i].Err = nil
			}
		}
		return out
	}
	return g
}

func (a *app) refusePush(code int, format string, args ...any) error {
	fmt.Fprintln(a.std.err, "push refused: "+escape(fmt.Sprintf(format, args...)))
	return exitWith(code)
}
