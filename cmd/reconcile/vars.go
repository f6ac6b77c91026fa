// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"reconcile/reconcile/plan"
	"reconcile/schema"
	"reconcile/workspace"
)

func isCUE(name string) bool { return filepath.Ext(name) == ".cue" }

func newVarsCommand(a *app) *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use:   "vars",
		Short: "List the variables of the workspace, and where each value comes from",
		Long: `Lists the variables of the workspace, and what it exposes to single agents, with
where each value comes from. --show shows values; those of secrets and of the
environment are never shown.`,
		Example: `  reconcile vars --show`,
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			src, err := a.load(cmd.Context(), reachHost)
			if err != nil {
				return err
			}
			var file schema.Diagnostics // what is wrong elsewhere is for validate to say
			for _, d := range src.Diagnostics {
				if strings.HasPrefix(d.Pos.File, "workspace.") || strings.HasPrefix(d.Pos.File, "--var") {
					file = append(file, d)
				}
			}
			a.printDiagnostics(file)
			if src.NameUnknown && len(src.Vars) == 0 && src.Fatal {
				return exitWith(plan.ExitFault)
			}
			list := listVariables(src, show)
			if a.output == formatJSON {
				return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "variables": list})
			}
			return a.printVariables(list, show)
		},
	}
	cmd.Flags().BoolVar(&show, "show", false, "show values that are no secrets")
	return cmd
}

// variableJSON is a variable in the JSON form. Field names are part of it.
type variableJSON struct {
	Name   string  `json:"name"`
	Agent  string  `json:"agent"` // to which alone it is exposed; "" = a variable of the workspace
	Source string  `json:"source"`
	From   string  `json:"from"` // name of the secret, or of the variable
	Origin string  `json:"origin"`
	Set    bool    `json:"set"`
	Value  *string `json:"value,omitempty"` // with --show, of a literal
}

// The sources of values.
const (
	fromLiteral  = "literal"
	fromSecret   = "secret"
	fromEnv      = "environment"
	fromVariable = "variable"
)

func listVariables(src source, show bool) []variableJSON {
	out := []variableJSON{}
	byName := map[string]workspace.Variable{}
	for _, v := range src.Vars {
		byName[v.Name] = v
		out = append(out, variableOf(v, show))
	}
	for _, x := range src.Exposed {
		v := variableJSON{Name: x.Name, Agent: x.Agent, Source: fromLiteral, Origin: x.Origin.String(), Set: true}
		value := x.Value
		if x.Ref != "" {
			of := byName[x.Ref]
			v.Source, v.From, v.Set, value = fromVariable, x.Ref, of.Set, of.Value
			if of.Secret != "" || of.Env != "" {
				out = append(out, v)
				continue
			}
		}
		if show && v.Set {
			v.Value = &value
		}
		out = append(out, v)
	}
	return out
}

func variableOf(x workspace.Variable, show bool) variableJSON {
	v := variableJSON{Name: x.Name, Source: fromLiteral, Origin: x.Origin.String(), Set: x.Set}
	switch {
	case x.Ref != "":
		v.Source, v.From = fromVariable, x.Ref
	case x.Secret != "":
		v.Source, v.From = fromSecret, x.Secret
	case x.Env != "":
		v.Source, v.From = fromEnv, x.Env
	}
	if show && x.Set && x.Secret == "" && x.Env == "" {
		v.Value = &x.Value
	}
	return v
}

func (a *app) printVariables(list []variableJSON, show bool) error {
	if len(list) == 0 {
		fmt.Fprintln(a.std.err, "the workspace has no variables")
		return nil
	}
	w := tabwriter.NewWriter(a.std.out, 0, 8, 2, ' ', 0)
	head := "NAME\tFOR\tFROM\tAT"
	if show {
		head += "\tVALUE"
	}
	fmt.Fprintln(w, head)
	for _, v := range list {
		agent, from := v.Agent, v.Source
		if agent == "" {
			agent = "all"
		}
		switch {
		case v.Source == fromVariable:
			from = "$" + v.From
		case v.From != "":
			from += " " + v.From
		}
		if !v.Set {
			from += " (not set)"
		}
		line := escape(v.Name) + "\t" + escape(agent) + "\t" + escape(from) + "\t" + escape(v.Origin)
		if show && v.Value != nil {
			line += "\t" + escape(*v.Value)
		} else if show {
			line += "\t-"
		}
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}
