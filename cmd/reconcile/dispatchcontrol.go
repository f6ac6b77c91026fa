// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"net/http"
)

// Invoke answers a request for a TaskAgent that came over the control socket.
func (d *daemon) Invoke(w http.ResponseWriter, req *http.Request) { d.agents.ServeHTTP(w, req) }

// Executions is what goes on with a TaskAgent, NAMESPACE/NAME, for the control
// socket.
func (d *daemon) Executions(_ context.Context, agent string) (json.RawMessage, error) {
	st, err := d.agents.status(agent)
	if err != nil {
		return nil, err
	}
	return json.Marshal(st)
}
