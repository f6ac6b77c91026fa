// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"reconcile/control"
	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// taskAgents are the TaskAgents of a daemon. Its dispatcher is told of them after
// each look, whenever it is recorded how one is given work, and when a revision is
// activated.
type taskAgents struct {
	dispatcher atomic.Pointer[dispatch.Dispatcher] // nil until the workspace's name is known

	mu      sync.Mutex // held while the dispatcher is told
	store   *reconcile.Store
	desired plan.Desired // as of the last look
	seen    bool         // a look has said what is desired
	told    bool         // what they are
	agents  []plan.Agent // that it was told of
}

// open says who runs executions, and where is kept what is recorded.
func (t *taskAgents) open(d *dispatch.Dispatcher, store *reconcile.Store) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.store = store
	t.dispatcher.Store(d)
}

// looked notes what a look says there should be.
func (t *taskAgents) looked(d plan.Desired, o plan.Observed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := !t.seen
	t.desired, t.seen = d, true
	t.hear()
	asked := slices.ContainsFunc(d.Resources, func(r plan.Resource) bool { return r.ID.Kind == plan.TaskAgent })
	recorded := slices.ContainsFunc(o.Records.Records, func(r plan.Record) bool { return r.ID.Kind == plan.TaskAgent })
	if asked || recorded || first || len(t.agents) > 0 {
		t.tell()
	}
}

// passed notes that a pass has ended. Where it could not even look, what is
// recorded goes on.
func (t *taskAgents) passed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.told {
		t.tell()
	}
}

// recorded notes that something was recorded of a TaskAgent. It looks at that one
// alone: a pass may record something of hundreds.
func (t *taskAgents) recorded(id plan.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dispatcher.Load()
	if d == nil || !t.told {
		t.tell()
		return
	}
	other := func(r plan.Resource) bool { return r.ID.Compare(id) != 0 }
	desired := plan.Desired{Resources: slices.DeleteFunc(slices.Clone(t.desired.Resources), other), Destroy: t.desired.Destroy}
	records, err := t.store.LoadOf(id)
	now := plan.Agents(desired, records)
	was, agents := []plan.Agent{}, []plan.Agent{}
	for _, a := range t.agents {
		if a.ID.Compare(id) == 0 {
			was = append(was, a)
		} else {
			agents = append(agents, a)
		}
	}
	if err != nil { // what cannot be read is as it was
		now = keepAgents(was, now)
	}
	t.agents = append(agents, now...)
	t.set(d)
}

// stepped notes what happened to a step.
func (t *taskAgents) stepped(e reconcile.Event) {
	if e.State == reconcile.StepDone && e.Step.Op == plan.OpActivate && e.Step.OfDispatch() {
		t.recorded(e.Step.Target)
	}
}

// tell tells the dispatcher what there is now. The mutex is held, so that nothing
// old comes after what is new.
func (t *taskAgents) tell() {
	d := t.dispatcher.Load()
	if d == nil {
		return
	}
	records, err := t.store.Load()
	agents := plan.Agents(t.desired, records)
	if err != nil { // what cannot be read is as it was
		agents = keepAgents(t.agents, agents)
	}
	t.told, t.agents = true, agents
	t.set(d)
}

func (t *taskAgents) set(d *dispatch.Dispatcher) {
	if t.seen {
		d.Set(slices.Clone(t.agents))
	} else {
		d.SetKnown(slices.Clone(t.agents)) // what was never recorded is not known
	}
}

// keepAgents adds to the agents those that were there before, and of which nothing
// is known now.
func keepAgents(was, now []plan.Agent) []plan.Agent {
	for _, old := range was {
		i := slices.IndexFunc(now, func(a plan.Agent) bool { return a.ID == old.ID })
		switch {
		case i < 0:
			now = append(now, old)
		case now[i].Revision.Number < old.Revision.Number:
			old.Stopped = old.Stopped || now[i].Stopped
			now[i] = old
		}
	}
	return now
}

// hear has DaemonAgents told, at the URL that they have, that there is nothing for
// them. The mutex is held.
func (t *taskAgents) hear() {
	networks := []string{}
	for _, r := range t.desired.Resources {
		if r.ID.Kind == plan.DaemonAgent && r.Spec.Container != nil && r.Spec.Container.Network != "" {
			networks = append(networks, r.Spec.Container.Network)
		}
	}
	slices.Sort(networks)
	networks = slices.Compact(networks)
	if d := t.dispatcher.Load(); d != nil {
		d.Hear(networks)
	}
}

// list are those that the dispatcher was told of.
func (t *taskAgents) list() []plan.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []plan.ID
	for _, a := range t.agents {
		ids = append(ids, a.ID)
	}
	return ids
}

// errNotSwept is why requests for TaskAgents are not taken yet.
var errNotSwept = errors.New("what an earlier daemon has left of executions is not removed yet")

// ready is nil when requests for TaskAgents are taken, or there are none.
func (t *taskAgents) ready() error {
	d := t.dispatcher.Load()
	if d == nil || len(t.list()) == 0 {
		return nil
	}
	select {
	case <-d.Opened():
		return nil
	default:
		return errNotSwept
	}
}

// inFlight is how many executions go on.
func (t *taskAgents) inFlight() int {
	d, n := t.dispatcher.Load(), 0
	for _, id := range t.list() {
		st, _ := d.Status(id)
		n += st.InFlight
	}
	return n
}

// cut ends what goes on.
func (t *taskAgents) cut() {
	if d := t.dispatcher.Load(); d != nil {
		d.Cut()
	}
}

const nameUnknown = "it is not known yet which workspace this is"

// ServeHTTP answers a request for a TaskAgent.
func (t *taskAgents) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if d := t.dispatcher.Load(); d != nil {
		d.ServeHTTP(w, req)
		return
	}
	dispatch.NotReady(w, nameUnknown)
}

// status is what goes on with a TaskAgent, NAMESPACE/NAME. The error is a refusal.
func (t *taskAgents) status(agent string) (dispatch.AgentStatus, error) {
	refuse := func(format string, args ...any) (dispatch.AgentStatus, error) {
		return dispatch.AgentStatus{}, &control.Refusal{Code: plan.ExitFault, Text: fmt.Sprintf(format, args...)}
	}
	namespace, name, ok := strings.Cut(agent, "/")
	if !ok || namespace == "" || name == "" {
		return refuse("%q is no NAMESPACE/NAME", agent)
	}
	d := t.dispatcher.Load()
	if d == nil {
		return refuse("the daemon has no executions: %s", nameUnknown)
	}
	st, ok := d.Status(plan.ID{Kind: plan.TaskAgent, Namespace: namespace, Name: name})
	if !ok {
		return refuse("the daemon has no TaskAgent %s", agent)
	}
	return st, nil
}
