// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"reconcile/control"
	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// taskAgents are the TaskAgents of a daemon, for whoever asks something of them.
type taskAgents struct {
	dispatcher atomic.Pointer[dispatch.Dispatcher] // nil until the workspace's name is known
}

// ServeHTTP answers a request for a TaskAgent.
func (t *taskAgents) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if d := t.dispatcher.Load(); d != nil {
		d.ServeHTTP(w, req)
		return
	}
	dispatch.NotReady(w, "it is not known yet which workspace this is")
}

// status is what goes on with a TaskAgent, NAMESPACE/NAME. The error is a refusal.
func (t *taskAgents) status(agent string) (dispatch.AgentStatus, error) {
	namespace, name, ok := strings.Cut(agent, "/")
	if !ok || namespace == "" || name == "" {
		return dispatch.AgentStatus{}, &control.Refusal{Code: plan.ExitFault, Text: fmt.Sprintf("%q is no NAMESPACE/NAME", agent)}
	}
	d := t.dispatcher.Load()
	if d == nil {
		return dispatch.AgentStatus{}, &control.Refusal{Code: plan.ExitFault, Text: "it is not known yet which workspace this is"}
	}
	st, ok := d.Status(plan.ID{Kind: plan.TaskAgent, Namespace: namespace, Name: name})
	if !ok {
		return dispatch.AgentStatus{}, &control.Refusal{Code: plan.ExitFault, Text: "the daemon has no TaskAgent " + agent}
	}
	return st, nil
}
