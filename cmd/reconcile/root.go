// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/reconcile"
)

func newRootCommand(a *app) *cobra.Command {
	var checkIdempotent bool
	root := &cobra.Command{
		Use:   "reconcile [WORKSPACE]",
		Short: "Make the containers of this host match a directory of agent manifests",
		Long: `reconcile reads a workspace (a directory of agent manifests, or
URL[#REF][:FOLDER] of one in git), works out what
should run, compares it with what does run on Podman, and makes the second
match the first.

Exit codes: 0 done or nothing to do, 1 error or incomplete, 2 --dry-run found
changes, 3 refused (policy, mass delete, emptied workspace, another root, lost
records), 4 a saved plan is stale.`,
		Example: `  reconcile --dry-run        # what would change, and why
  reconcile                  # make it so
  reconcile --dry-run --against origin/main     # what a branch brings, without Podman
  reconcile --dry-run --save plan.json          # keep the plan, and later
  reconcile --plan plan.json                    # do exactly that, or nothing
  reconcile status           # desired and actual, side by side`,
		Args:          oneWorkspace,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,

		SuggestionsMinimumDistance: 2,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.fromEnvironment(cmd)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeWorkspace(cmd, args); err != nil {
				return err
			}
			if err := a.preview.check(a); err != nil {
				return err
			}
			if a.dryRun && checkIdempotent {
				return errors.New("--check-idempotent is of a pass, and --dry-run makes none")
			}
			if a.dryRun {
				if err := a.check(planFormats()...); err != nil {
					return err
				}
				return a.runDryRun(cmd.Context())
			}
			if err := a.check(formatText, formatJSON, formatLines); err != nil {
				return err
			}
			if a.preview.apply != "" && checkIdempotent {
				return errors.New("--check-idempotent looks at everything, and --plan does part of it")
			}
			if a.preview.apply != "" {
				return a.runSaved(cmd.Context(), len(args) > 0 || cmd.Flags().Changed("workspace") || a.workspace != ".")
			}
			return a.passOnce(cmd.Context(), reconcile.CauseCommand, checkIdempotent)
		},
	}
	root.SetFlagErrorFunc(explainFlag)
	a.addSharedFlags(root.PersistentFlags())
	a.addPassFlags(root.Flags())
	root.Flags().BoolVar(&a.dryRun, "dry-run", false, "print the plan and change nothing; -o diff, jsonl, markdown or github as well")
	root.Flags().BoolVar(&checkIdempotent, "check-idempotent", false, "plan again after the pass, and fail when there is something to do again")
	a.view.addExitZero(root.Flags())
	a.preview.add(root.Flags())
	root.AddCommand(
		newValidateCommand(a), newGraphCommand(a), newDestroyCommand(a), newSchemaCommand(a), newVersionCommand(a),
		newServePushCommand(a), newReceiveCommand(a), newWatchCommand(a), newClientCommand(a), newExecCommand(a), newCLICommand(a),
		newEnableCommand(a), newVarCommand(a), newVarsCommand(a), newExposeCommand(a), newNewCommand(a), newInitCommand(a),
	)
	for _, c := range a.takeNames(1, newStatusCommand(a), newLogsCommand(a)) {
		c.ValidArgsFunction = a.completing(1, a.namesAndRuns)
		root.AddCommand(c)
	}
	for _, c := range a.takeNames(1, newShellCommand(a)) {
		c.ValidArgsFunction = a.completing(1, source.containerNames)
		root.AddCommand(c)
	}
	root.AddCommand(a.takeNames(1, newWhyCommand(a), newHistoryCommand(a), newDisableCommand(a))...)
	root.AddCommand(a.takeTaskNames(newTaskCommand(a), newRenderCommand(a))...)
	root.AddCommand(a.takeAgentNames(newInvokeCommand(a))...)
	root.AddCommand(a.takeNames(0, newUpdateCommand(a), newApproveCommand(a))...)
	root.AddCommand(a.takeNames(0, newOperateCommands(a)...)...)
	return root
}

// oneWorkspace demands one argument at most. Of several, the first was to be a
// command, unless it is a folder.
func oneWorkspace(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
			return fmt.Errorf("%q is no command%s", args[0], nearCommand(cmd, args[0]))
		}
	}
	return atMost(1)(cmd, args)
}

func nearCommand(cmd *cobra.Command, name string) string {
	if near := cmd.Root().SuggestionsFor(name); len(near) > 0 {
		return fmt.Sprintf("; did you mean the command %q?", near[0])
	}
	return ""
}

// takeWorkspace accepts the workspace as an argument as well as by -C.
func (a *app) takeWorkspace(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.Flags().Changed("workspace") {
		return errors.New("the workspace is given twice: as an argument and by -C")
	}
	if address, _, _ := strings.Cut(args[0], "#"); isGitAddress(address) || isBare(address) {
		a.workspace = args[0]
		return nil
	}
	if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
		if cmd.HasParent() {
			return fmt.Errorf("%q is not a directory", args[0])
		}
		return fmt.Errorf("%q is neither a command nor a directory nor a git URL%s", args[0], nearCommand(cmd, args[0]))
	}
	a.workspace = args[0]
	return nil
}
