// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"reconcile/reconcile/plan"
)

func newValidateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [WORKSPACE]",
		Short: "Check every file of the workspace, without Podman or network",
		Long: `Checks every file of the workspace, without Podman or network, and lists all
problems at once. -o sarif is for code scanning, -o github for annotations of a
job; both name files within the repository that the workspace is in.`,
		Example: `  reconcile validate
  reconcile validate -o sarif >result.sarif`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeWorkspace(cmd, args); err != nil {
				return err
			}
			if err := a.check(formatText, formatJSON, "sarif", "github"); err != nil {
				return err
			}
			src, err := a.load(cmd.Context(), reachHost)
			if err != nil {
				return err
			}
			errs, warnings := countDiagnostics(src.Diagnostics)
			switch a.output {
			case formatJSON:
				err = a.printJSON(map[string]any{
					"format_version": plan.FormatVersion,
					"diagnostics":    diagnosticsJSON(src.Diagnostics),
				})
			case "sarif", "github":
				a.printDiagnostics(src.Diagnostics)
				err = a.printProblems(src.Diagnostics)
			default:
				a.printDiagnostics(src.Diagnostics)
				if a.verbose {
					for _, ig := range src.Ignored {
						fmt.Fprintf(a.std.err, "%s: ignored: %s\n", escape(ig.Pos.String()), escape(ig.Why))
					}
				}
				_, err = fmt.Fprintf(a.std.out, "workspace %s: %s, %s, %s, %s ignored\n",
					escape(src.name), count(len(src.Desired.Resources), "object"), count(errs, "error"),
					count(warnings, "warning"), count(len(src.Ignored), "document"))
			}
			if err == nil && errs > 0 {
				return exitWith(plan.ExitFault)
			}
			return err
		},
	}
}
