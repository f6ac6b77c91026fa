// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// ErrorHeader is set, to one of the codes, in what is answered instead of an
// instance or an agent, and where an agent has failed.
const ErrorHeader = "X-Reconcile-Error"

// The codes.
const (
	CodeUnknown  = "unknown-instance"   // 404
	CodeNotReady = "not-ready"          // 503
	CodeFailed   = "failed"             // 502
	CodePath     = "bad-path"           // 400
	CodeMethod   = "method-not-allowed" // 405
)

// CodeRefused says that who asks, or how, has no answer from anybody: 401, 403, 421.
const CodeRefused = "refused"

// Those of agents, beside not-ready and failed.
const (
	CodeRequest  = "bad-request"   // 400
	CodeAgent    = "unknown-agent" // 404
	CodeTooLarge = "too-large"     // 413
	CodeBusy     = "busy"          // 429
	CodeExit     = "exit"          // 500: the process ended with another status than 0
	CodeTimeout  = "timeout"       // 504
	CodeState    = "state-full"    // 507
)

// problem is the body of what is answered instead of an instance or an agent.
type problem struct {
	Error    string `json:"error"`
	Code     string `json:"code"`
	Instance string `json:"instance,omitempty"`
	State    string `json:"state,omitempty"`
	// Of agents: NAMESPACE/NAME, and the id of the execution.
	Agent     string `json:"agent,omitempty"`
	Execution string `json:"execution,omitempty"`
}

// answer writes p. With retry > 0 it says when to try again.
func answer(w http.ResponseWriter, status int, p problem, retry time.Duration) {
	w.Header().Set(ErrorHeader, p.Code)
	sayRetry(w, retry)
	writeJSON(w, status, p)
}

// sayRetry says when to try again, in whole seconds; 0 = nothing.
func sayRetry(w http.ResponseWriter, retry time.Duration) {
	if retry > 0 {
		seconds := (retry + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whom it fails for has gone
}

// Listed is an instance in the list of all.
type Listed struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// List is the answer at [Root].
type List struct {
	Instances []Listed `json:"instances"` // by name
}

func (r *Router) list(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, problem{Code: CodeMethod, Error: "the list of instances is there to be read"}, 0)
		return
	}
	table := r.opt.Table()
	if table == nil {
		answer(w, http.StatusServiceUnavailable, problem{Code: CodeNotReady, Error: "it is not known yet which instances there are"}, time.Second)
		return
	}
	out := List{Instances: []Listed{}}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		route := table[name]
		out.Instances = append(out.Instances, Listed{name, route.Ready, route.State, route.Reason})
	}
	writeJSON(w, http.StatusOK, out)
}
