// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"reconcile/control"
	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schedule"
)

// agentLook tells what goes on with TaskAgents: what the daemon says, and without
// one what is kept. It writes nothing.
type agentLook struct {
	app       *app
	workspace string
	daemon    *control.Client // nil = none
	agents    []plan.Agent
}

// lookAtAgents prepares to tell what goes on with the TaskAgents of a workspace,
// which daemon runs if it is not nil.
func (a *app) lookAtAgents(ctx context.Context, src source, daemon *control.Status, d plan.Desired, r plan.Records) *agentLook {
	l := &agentLook{app: a, workspace: src.name, agents: plan.Agents(d, r)}
	if daemon != nil && len(l.agents) > 0 {
		l.daemon, _ = a.dialDaemon(ctx, src.root) // it has answered a moment ago
	}
	return l
}

// work is what goes on with a TaskAgent; nil for all else.
func (l *agentLook) work(ctx context.Context, id plan.ID) *dispatch.AgentStatus {
	if id.Kind != plan.TaskAgent {
		return nil
	}
	if l.daemon != nil {
		if st, ok := l.ask(ctx, id); ok {
			return st
		}
	}
	st, err := l.kept(id)
	if err != nil {
		fmt.Fprintln(l.app.std.err, "warning: "+escapeLines(err.Error()))
	}
	return st
}

// ask asks the daemon. False: it does not know the agent, or cannot be understood.
func (l *agentLook) ask(ctx context.Context, id plan.ID) (*dispatch.AgentStatus, bool) {
	b, err := l.daemon.Executions(ctx, id.NamespacedName())
	st := new(dispatch.AgentStatus)
	if err == nil {
		err = json.Unmarshal(b, st)
	}
	if _, refused := errors.AsType[*control.Refusal](err); err != nil && !refused {
		fmt.Fprintln(l.app.std.err, "warning: "+escapeLines(err.Error()))
	}
	return st, err == nil
}

// kept is what can be told of an agent without a daemon.
func (l *agentLook) kept(id plan.ID) (*dispatch.AgentStatus, error) {
	st := &dispatch.AgentStatus{InUse: map[string]int{}, Executions: []dispatch.Execution{}}
	list, err := l.app.keptExecutions(l.workspace, id)
	for _, e := range list {
		if e.Outcome == dispatch.Running {
			st.InFlight++
			st.InUse[e.Revision]++
		}
		st.Executions = append(st.Executions, e)
	}
	var cronErr error
	st.Cron, cronErr = dispatch.Look(l.app.executionsDir(l.workspace)).Cron(id)
	if st.Cron.Outcome == dispatch.Running {
		st.Cron.Outcome = dispatch.Lost // a schedule is followed by daemons alone
	}
	agent, _ := agentOf(l.agents, id)
	st.Slots.Want = agent.Warm.Size
	if s, err := schedule.Parse(agent.Schedule, agent.Zone); agent.Schedule != "" && err == nil && !agent.Stopped {
		st.Next = s.Next(time.Now())
	}
	return st, errors.Join(err, cronErr)
}

// agentOf is the TaskAgent with the ID.
func agentOf(agents []plan.Agent, id plan.ID) (plan.Agent, bool) {
	i := slices.IndexFunc(agents, func(a plan.Agent) bool { return a.ID.Compare(id) == 0 })
	if i < 0 {
		return plan.Agent{}, false
	}
	return agents[i], true
}

// keptExecutions are the executions of a TaskAgent that are kept, the newest first.
// Of those that were going on only what somebody alive has goes on.
func (a *app) keptExecutions(workspace string, id plan.ID) ([]dispatch.Execution, error) {
	list, err := dispatch.Look(a.executionsDir(workspace)).Executions(id)
	holder, held := reconcile.LookHolder(a.workspaceDir(workspace))
	for i := range list {
		list[i] = lostUnlessHeld(list[i], holder, held)
	}
	return list, err
}

// lostUnlessHeld is an execution as it is while holder has its workspace.
func lostUnlessHeld(e dispatch.Execution, holder reconcile.Holder, held bool) dispatch.Execution {
	if e.Outcome == dispatch.Running && (!held || e.Accepted.Before(holder.Since)) {
		e.Outcome, e.Reason = dispatch.Lost, "the daemon was killed while it ran"
	}
	return e
}
