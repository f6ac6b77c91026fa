// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"reconcile/schema"
)

func newExposeCommand(a *app) *cobra.Command {
	var unset bool
	cmd := &cobra.Command{
		Use:   "expose NAME VALUE|$VAR AGENT | NAME AGENT --unset",
		Short: "Give one agent a variable",
		Long: `Sets spec.expose.AGENT.NAME of the workspace file and prints the difference. AGENT
is an agent or an instance. $VAR stands for a variable of the workspace, and is to
be quoted for the shell; this is how an agent of another repo gets a secret.`,
		Example: `  reconcile expose DATABASE_URL '$DATABASE_URL' orchestrator
  reconcile expose DATABASE_URL orchestrator --unset`,
		ValidArgsFunction: a.completing(1, source.variableNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			want := 3
			if unset {
				want = 2
			}
			if len(args) != want && unset {
				return fmt.Errorf("expose --unset needs NAME and AGENT, got %d arguments", len(args))
			}
			if len(args) != want {
				return fmt.Errorf("expose needs NAME, VALUE and AGENT, got %d arguments; write $VAR in single quotes", len(args))
			}
			if err := checkVariable(args[0]); err != nil {
				return err
			}
			edit := schema.Edit{Op: schema.EditUnset, Path: []string{"spec", "expose", args[len(args)-1], args[0]}}
			if !unset {
				edit.Op, edit.Value = schema.EditSet, schema.EditText(args[1])
			}
			return a.expose(cmd.Context(), edit)
		},
	}
	cmd.Flags().BoolVar(&unset, "unset", false, "expose it no more")
	return cmd
}

func (a *app) expose(ctx context.Context, edit schema.Edit) error {
	agent, name := edit.Path[2], edit.Path[3]
	e, err := a.startEditing(ctx, "expose "+name, reachHost)
	if err == nil {
		err = e.errNoFile()
	}
	if err != nil {
		return err
	}
	if edit.Op == schema.EditUnset && e.exposedTo(agent, name) == 1 {
		edit.Path = edit.Path[:3] // nothing else is
	}
	changed, err := e.apply(ctx, edit)
	if err != nil {
		return err
	}
	if !changed && edit.Op == schema.EditUnset {
		return e.finish(ctx, fmt.Sprintf("%s is not exposed to %s", name, agent), false)
	}
	if !changed {
		return e.finish(ctx, fmt.Sprintf("%s is exposed to %s with that value already", name, agent), false)
	}
	if err := e.write(); err != nil {
		return err
	}
	done := fmt.Sprintf("%s is exposed to %s", name, agent)
	if edit.Op == schema.EditUnset {
		done = fmt.Sprintf("%s is exposed to %s no more", name, agent)
	}
	return e.finish(ctx, done, true)
}

// exposedTo is how much is exposed to an agent, name included; 0 = name is not.
func (e *editing) exposedTo(agent, name string) int {
	n, has := 0, false
	for _, x := range e.before.Exposed {
		if x.Agent == agent {
			n++
			has = has || x.Name == name
		}
	}
	if !has {
		return 0
	}
	return n
}
