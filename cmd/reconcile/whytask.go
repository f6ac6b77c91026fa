// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

// whyTask is what a task is made of, and what keeps it from running. Field names
// are part of the JSON output.
type whyTask struct {
	ID     plan.ID        `json:"id"`
	Chains [][]taskPart   `json:"chains"` // one for each part, from the task to it
	Phase  string         `json:"phase"`  // that was recorded last; "" = none was
	Held   []plan.Reason  `json:"held"`   // what keeps it from running
	Queue  int            `json:"queue_position,omitempty"`
	Last   *plan.RunState `json:"-"`
}

// taskPart is one link of such a chain.
type taskPart struct {
	Instance string `json:"instance"`
	Entry    string `json:"entry"`
	Origin   string `json:"origin"`
}

// printWhyTask prints what a task is made of. Podman is not asked: what runs is
// told by status.
func (a *app) printWhyTask(id plan.ID, src source) error {
	i := slices.IndexFunc(src.Desired.Resources, func(r plan.Resource) bool { return r.ID == id })
	r := src.Desired.Resources[i]
	out := whyTask{ID: id, Held: append([]plan.Reason{}, r.Blocked...)}
	out.Chains = partsOf(src.Graph, taskPart{id.Name, id.String(), r.Origin})
	archive, err := reconcile.OpenArchive(a.workspaceDir(src.name))
	if err != nil {
		return err
	}
	records, err := archive.Load()
	if err != nil {
		return err
	}
	if runs := plan.RunsOf(records, id); len(runs) > 0 {
		out.Last = &runs[len(runs)-1]
		out.Phase = string(out.Last.Phase)
	}
	out.Queue = queues(records)[id.String()]
	if len(out.Held) > 0 {
		out.Phase = string(plan.RunPending)
	}
	if a.output == formatJSON {
		return a.printJSON(out)
	}
	s := a.styleFor(a.std.out)
	printed := map[taskPart]bool{}
	for _, chain := range out.Chains {
		for depth, p := range chain {
			if !printed[p] {
				fmt.Fprintf(a.std.out, "%*s%s%s\n", 2*depth, "", escape(p.Entry), origin(s, p.Origin))
			}
			printed[p] = true
		}
	}
	for _, why := range out.Held {
		fmt.Fprintf(a.std.out, "%s: %s%s\n", plan.RunPending, escape(why.Text), origin(s, why.Origin))
	}
	switch {
	case len(out.Held) > 0:
	case out.Last == nil:
		fmt.Fprintf(a.std.out, "it has not run yet; `reconcile status %s` says how it is doing\n", escape(nameOf(id)))
	case out.Queue > 0:
		fmt.Fprintf(a.std.out, "%s: place %d in the queue of the %s, of which %s may go on at once\n",
			plan.RunQueued, out.Queue, escape(r.Run.Group), count(r.Run.Max, "run"))
	default:
		line := string(out.Last.Phase)
		if !out.Last.Ended() {
			line += " when it was last looked at"
		}
		if why := runReason(*out.Last); why != "" {
			line += " (" + why + ")"
		}
		fmt.Fprintln(a.std.out, line)
	}
	return nil
}

// partsOf are the chains from a task to what it is made of; of what has no part
// the task alone.
func partsOf(g *workspace.Graph, task taskPart) [][]taskPart {
	var out [][]taskPart
	var walk func(chain []taskPart, from string)
	walk = func(chain []taskPart, from string) {
		leaf := true
		if g != nil && len(chain) < 4 {
			for _, e := range g.Edges {
				if e.From == from {
					leaf = false
					walk(append(slices.Clone(chain), taskPart{e.To, e.Text, e.Origin.String()}), e.To)
				}
			}
		}
		if leaf {
			out = append(out, chain)
		}
	}
	walk([]taskPart{task}, task.Entry)
	return out
}
