// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// whyAgent is by what a TaskAgent is run. Field names are part of the JSON output.
type whyAgent struct {
	ID       plan.ID       `json:"id"`
	Chains   [][]taskPart  `json:"chains"`             // one, of the agent alone
	Held     []plan.Reason `json:"held"`               // what keeps a new revision from being made
	Serving  string        `json:"serving,omitempty"`  // the revision, as it was recorded last
	Schedule string        `json:"schedule,omitempty"` // with its time zone behind it if it has one
	Stopped  bool          `json:"stopped,omitempty"`
}

// printWhyAgent prints by what a TaskAgent is run. Podman is not asked: how it is
// doing is told by status.
func (a *app) printWhyAgent(id plan.ID, src source) error {
	i := slices.IndexFunc(src.Desired.Resources, func(r plan.Resource) bool { return r.ID == id })
	r := src.Desired.Resources[i]
	archive, err := reconcile.OpenArchive(a.workspaceDir(src.name))
	if err != nil {
		return err
	}
	records, err := archive.LoadOf(id)
	if err != nil {
		return err
	}
	out := whyAgent{ID: id, Held: append([]plan.Reason{}, r.Blocked...), Chains: [][]taskPart{{{id.Name, id.String(), r.Origin}}}}
	if r.Dispatch != nil {
		out.Schedule = scheduleText(r.Dispatch.Schedule, r.Dispatch.Zone)
	}
	agent, _ := agentOf(plan.Agents(src.Desired, records), id)
	out.Stopped = agent.Stopped
	if agent.Revision.Number > 0 {
		out.Serving = agent.Revision.Name()
	}
	if a.output == formatJSON {
		return a.printJSON(out)
	}
	s := a.styleFor(a.std.out)
	fmt.Fprintf(a.std.out, "%s%s\n", escape(id.String()), origin(s, r.Origin))
	for _, why := range out.Held {
		fmt.Fprintf(a.std.out, "held: %s%s\n", escape(why.Text), origin(s, why.Origin))
	}
	by := "it runs on requests"
	if out.Schedule != "" {
		by += ", and at " + out.Schedule
	}
	switch {
	case out.Stopped:
		by = "it is stopped, and takes no requests"
	case out.Serving != "":
		by += ", from " + out.Serving
	default:
		by += "; no revision of it is ready yet"
	}
	fmt.Fprintln(a.std.out, escape(by))
	return nil
}
