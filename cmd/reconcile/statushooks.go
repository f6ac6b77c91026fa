// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// hookState is how far a hook of an instance is. Field names are part of the JSON
// output.
type hookState struct {
	Name   plan.HookName `json:"name"`
	State  string        `json:"state"` // done, failed, running, due, or idle: nothing asks for it
	At     time.Time     `json:"at,omitzero"`
	Detail string        `json:"detail,omitempty"`
}

// The states of a hook that a plan.HostHook has not.
const (
	hookDue  = "due"
	hookIdle = "idle"
)

// statusJSON is a status with what only its hooks, and the others that wait with
// it, say.
type statusJSON struct {
	reconcile.Status
	Hooks []hookState `json:"hooks,omitempty"`
	// QueuePosition is how many runs are started before the queued one of this, and
	// itself; 0 = none of it is queued.
	QueuePosition int `json:"queue_position,omitempty"`
	// Schedule is that of a CronTask or a TaskAgent, with its time zone behind it if it
	// has one.
	Schedule string `json:"schedule,omitempty"`
	// Dispatch is what goes on with a TaskAgent.
	Dispatch *dispatch.AgentStatus `json:"dispatch,omitempty"`
}

func withDetails(all []reconcile.Status, d plan.Desired, o plan.Observed, work func(plan.ID) *dispatch.AgentStatus) []statusJSON {
	queue := queues(o.Records)
	out := []statusJSON{}
	for _, st := range all {
		out = append(out, statusJSON{st, hooksOf(st, d, o), queue[st.ID.String()], scheduleOf(st, d), work(st.ID)})
	}
	return out
}

// hooksOf are the hooks of an instance, in the order of the lifecycle.
func hooksOf(st reconcile.Status, d plan.Desired, o plan.Observed) []hookState {
	if st.Orphan {
		return nil
	}
	var out []hookState
	for _, r := range d.Resources {
		switch {
		case r.ID.Compare(st.ID) == 0:
			for _, h := range r.Hooks {
				out = append(out, hookOf(st, h, o))
			}
		case r.Spec.Image != nil && r.Spec.Image.Of == st.ID.String():
			out = append(out, installOf(r, o))
		}
	}
	slices.SortStableFunc(out, func(a, b hookState) int {
		return slices.Index(lifecycle[:], a.Name) - slices.Index(lifecycle[:], b.Name)
	})
	return out
}

func hookOf(st reconcile.Status, h plan.Hook, o plan.Observed) hookState {
	s := hookState{Name: h.Name, State: hookDue}
	if h.Host() {
		if fact, ran := o.HostHooks[st.ID]; ran && (fact.Digest == h.Digest || h.InCopy) {
			s.State, s.At, s.Detail = string(fact.State), fact.At, fact.Detail
		}
		return s
	}
	if h.Name == plan.HookUpdate {
		s.State = hookIdle
	}
	var asked time.Time
	for _, rec := range o.Records.Records {
		if rec.Kind == plan.RecordWish && rec.Key == plan.WishUpdate && rec.ID.Compare(st.ID) == 0 {
			asked = rec.At
		}
		if rec.Kind != plan.RecordHook || rec.Key != string(h.Name) || rec.ID.Compare(st.ID) != 0 || rec.At.IsZero() {
			continue
		}
		here := rec.Data["container"] == st.Handle && rec.Data["digest"] == h.Digest
		if here || h.Name == plan.HookUpdate && rec.Data["container"] != "" {
			s.State, s.At = string(plan.HookDone), rec.At
		}
	}
	if h.Name == plan.HookUpdate && asked.After(s.At) {
		s.State = hookDue
	}
	return s
}

// installOf is the install hook that made the image r, or is to.
func installOf(r plan.Resource, o plan.Observed) hookState {
	s := hookState{Name: plan.HookInstall, State: hookDue}
	for _, obj := range o.Objects {
		if obj.ID.Compare(r.ID) == 0 && obj.Digest == r.Spec.Digest() && obj.Created.After(s.At) {
			s.State, s.At = string(plan.HookDone), obj.Created
		}
	}
	return s
}

// printTrials prints what probes and hooks say of an instance.
func printTrials(w io.Writer, st statusJSON) {
	if st.Health != nil {
		printProbe(w, "liveness", st.Health.Liveness)
		printProbe(w, "readiness", st.Health.Readiness)
	}
	for _, h := range st.Hooks {
		line := fmt.Sprintf("%-10s %s %s", "hook", h.Name, h.State)
		if !h.At.IsZero() {
			line += " since " + age(h.At)
		}
		if h.Detail != "" {
			line += ": " + escape(firstLine(h.Detail))
		}
		fmt.Fprintln(w, line)
	}
}

func printProbe(w io.Writer, name string, p *plan.ProbeState) {
	if p == nil {
		return
	}
	verdict := string(p.Verdict)
	if p.Verdict == plan.VerdictPending {
		verdict = "not known yet"
	}
	line := fmt.Sprintf("%-10s %s", name, verdict)
	if !p.Since.IsZero() && p.Verdict != plan.VerdictPending {
		line += " since " + age(p.Since)
	}
	if p.Failures > 0 {
		line += fmt.Sprintf(", failed %d times in a row", p.Failures)
	}
	if out := firstLine(p.Output); out != "" && p.Verdict != plan.VerdictPassing {
		line += ": " + escape(out)
	}
	fmt.Fprintln(w, line)
}
