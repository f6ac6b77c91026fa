// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"reconcile/reconcile/plan"
)

func newWhyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "why NAME",
		Short: "Print every chain of entries that leads to an instance, or what a task is made of",
		Long: `Prints every chain of entries that leads to an instance. Of a Task or a CronTask it
prints its Agent and its contexts, and why it is not run, if it is not; of a TaskAgent
by what it is run, and from what.`,
		Example: `  reconcile why memory`,
		Args:    oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check("text", "json"); err != nil {
				return err
			}
			src, err := a.load(cmd.Context(), reachHost)
			if err != nil {
				return err
			}
			id, err := findID(args[0], desiredIDs(src.Desired))
			if err != nil {
				a.printDiagnostics(src.Diagnostics)
				return err
			}
			switch {
			case isTask(id):
				return a.printWhyTask(id, src)
			case id.Kind == plan.TaskAgent:
				return a.printWhyAgent(id, src)
			}
			return a.printWhy(id, src)
		},
	}
}

func desiredIDs(d plan.Desired) []plan.ID {
	var ids []plan.ID
	for _, r := range d.Resources {
		ids = append(ids, r.ID)
	}
	return ids
}

// printWhy prints the chains to a manifest agent; anything else is there
// because its document is.
func (a *app) printWhy(id plan.ID, src source) error {
	type link struct {
		Instance string `json:"instance"`
		Entry    string `json:"entry"`
		Origin   string `json:"origin"`
	}
	chains := [][]link{}
	if id.Kind == plan.Manifest {
		for _, entries := range src.Graph.Why(id.Name) {
			var chain []link
			for _, e := range entries {
				chain = append(chain, link{e.To, e.Text, e.Origin.String()})
			}
			chains = append(chains, chain)
		}
	} else {
		i := slices.IndexFunc(src.Desired.Resources, func(r plan.Resource) bool { return r.ID == id })
		chains = append(chains, []link{{id.Name, id.String(), src.Desired.Resources[i].Origin}})
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"id": id, "chains": chains})
	}
	s := a.styleFor(a.std.out)
	for i, chain := range chains {
		if i > 0 {
			fmt.Fprintln(a.std.out)
		}
		for depth, l := range chain {
			fmt.Fprintf(a.std.out, "%*s%s  %s\n", 2*depth, "", escape(l.Entry), s.dim(escape(l.Origin)))
		}
	}
	return nil
}
