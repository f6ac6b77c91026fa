// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"maps"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// AgentStatus is what goes on with an agent.
type AgentStatus struct {
	InFlight int            `json:"in_flight"` // executions that count for maxConcurrent
	InUse    map[string]int `json:"in_use"`    // containers of executions, by revision
	Slots    SlotStatus     `json:"slots"`
	// Executions are those that go on, and the last 50 others: the newest first.
	Executions []Execution `json:"executions"`
	Next       time.Time   `json:"next,omitzero"` // the next slot of its schedule; zero = none
	Cron       CronState   `json:"cron"`
}

// Status is what goes on with an agent. False: there is no such agent.
func (d *Dispatcher) Status(id plan.ID) (AgentStatus, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.agents[id.Canonical()]
	if st == nil || !st.present {
		return AgentStatus{}, false
	}
	out := AgentStatus{
		InFlight: st.active, InUse: maps.Clone(st.inUse), Slots: st.slots(),
		Next: st.cron.next, Cron: st.cron.state, Executions: []Execution{},
	}
	for e := range d.live {
		if e.st == st && !e.over && e.now.Key != "" {
			out.Executions = append(out.Executions, e.now)
		}
	}
	slices.SortFunc(out.Executions, func(a, b Execution) int { return b.Accepted.Compare(a.Accepted) })
	out.Executions = append(out.Executions, st.recent...)
	return out, true
}
