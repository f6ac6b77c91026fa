// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/helper"
)

const sessionText = `
A terminal on standard input and output becomes one in the container, with its
keys, its size and job control; otherwise standard input, output and error are
passed on apart, up to the end of each. The exit code is the command's own: 126
and 127 say that it cannot be run or is not there. When this program is ended,
so is what it runs.`

func newExecCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec NAME -- COMMAND [ARG...]",
		Short: "Run a command in a running instance",
		Long: `Runs a command in the running container of an instance, in the folder of the
agent's code. Flags of reconcile go before NAME.
` + sessionText,
		Example: `  reconcile exec web -- ls -l
  reconcile exec db -- sh -c 'pg_dump app' >app.sql`,
		ValidArgsFunction: a.completing(1, source.containerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, argv, err := a.nameAndCommand(cmd, args)
			if err != nil {
				return err
			}
			if len(argv) == 0 {
				return errors.New("exec needs a command: reconcile exec NAME -- COMMAND [ARG...]")
			}
			return a.enter(cmd.Context(), name, func(inside) ([]string, error) { return argv, nil })
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func newShellCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "shell NAME",
		Short: "Open a shell in a running instance",
		Long: `Opens bash where the image has it, else /bin/sh, in the running container of an
instance, in the folder of the agent's code.
` + sessionText,
		Example: `  reconcile shell explorer`,
		Args:    oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText); err != nil {
				return err
			}
			return a.enter(cmd.Context(), args[0], func(inside) ([]string, error) {
				return []string{"/bin/sh", "-c", `if command -v bash >/dev/null 2>&1; then exec bash; fi; exec /bin/sh`}, nil
			})
		},
	}
}

func newCLICommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cli NAME [ARG...]",
		Short: "Run the command line of a running agent",
		Long: `Runs what the agent's manifest names as cli, by /bin/sh -lc in the folder of the
agent's code, with ARGs added at its end as they are; without one, a small
command line that looks and changes nothing (` + helper.DefaultCLI + `). Flags of
reconcile go before NAME.
` + sessionText,
		Example: `  reconcile cli explorer
  reconcile cli explorer ls -l`,
		ValidArgsFunction: a.completing(1, source.containerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, argv, err := a.nameAndCommand(cmd, args)
			if err != nil {
				return err
			}
			return a.enter(cmd.Context(), name, func(in inside) ([]string, error) {
				text, err := in.src.cliOf(in.object.ID)
				if err != nil {
					return nil, err
				}
				return commandLine(text, argv), nil
			})
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// commandLine is what runs the command line that is text, with arguments that no
// shell reads; "" = the one that every agent has.
func commandLine(text string, args []string) []string {
	switch {
	case text == "":
		return append([]string{"/bin/sh", helper.DefaultCLI}, args...)
	case len(args) == 0:
		return []string{"/bin/sh", "-lc", text}
	}
	return append([]string{"/bin/sh", "-lc", text + ` "$@"`, "cli"}, args...)
}

// nameAndCommand reads NAME and what is to be run there, which may follow a "--".
func (a *app) nameAndCommand(cmd *cobra.Command, args []string) (name string, argv []string, err error) {
	if err := a.check(formatText); err != nil {
		return "", nil, err
	}
	if len(args) > 1 && args[0] == agentWord && args[1] != "--" {
		args = args[1:]
	}
	if len(args) == 0 || args[0] == "--" {
		return "", nil, fmt.Errorf("%s needs NAME", cmd.Name())
	}
	name, argv = args[0], args[1:]
	switch {
	case len(argv) > 0 && argv[0] == "--":
		argv = argv[1:]
	case cmd.Name() == "exec" && len(argv) > 0 && strings.HasPrefix(argv[0], "-"):
		return "", nil, fmt.Errorf("%s follows NAME: flags of reconcile go before it, and the command after --", argv[0])
	}
	return name, argv, nil
}
