// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// pathAgents begins the paths of task agents. What is below is the daemon's
// business, as it is at its listener.
const pathAgents = "/agents/"

// pathExecutions answers what goes on with a task agent, ?agent=NAMESPACE/NAME.
const pathExecutions = "/v1/executions"

// Do sends a request for a task agent, whose URL has a path below /agents/, and
// returns whatever is answered to it. It is bound by its context alone.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(req.URL.Path, pathAgents) {
		return nil, fmt.Errorf("ask the daemon: %s is not below %s", req.URL.Path, pathAgents)
	}
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host, req.Host = "http", "daemon", ""
	res, err := c.http.Transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	return res, nil
}

// Executions asks what goes on with a task agent, NAMESPACE/NAME: what it returns
// is a dispatch.AgentStatus. The error is a [*Refusal] where there is no such agent
// or none is known yet.
func (c *Client) Executions(ctx context.Context, agent string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	res, err := c.do(ctx, http.MethodGet, pathExecutions+"?agent="+url.QueryEscape(agent), nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var st json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil {
		return nil, fmt.Errorf("read the daemon's answer: %w", err)
	}
	return st, nil
}

func serveExecutions(w http.ResponseWriter, r *http.Request, d Daemon) {
	st, err := d.Executions(r.Context(), r.URL.Query().Get("agent"))
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(st)
}
