// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
)

// Ingress sends requests where they belong, by what comes first: the paths of the
// host itself, those below [Root], those below [AgentsRoot], and the header
// [AgentHeader] on any other. The rest is 400.
type Ingress struct {
	System http.Handler // /healthz, /readyz, /metrics
	Router http.Handler // what [Handles] is about
	Agents http.Handler // a [Dispatcher]
}

// NotReady answers a request that no [Dispatcher] is there for yet.
func NotReady(w http.ResponseWriter, reason string) {
	(&rejection{http.StatusServiceUnavailable, CodeNotReady, reason}).write(w, plan.ID{})
}

// Refuse answers a request that nobody is asked about.
func Refuse(w http.ResponseWriter, status int, reason string) {
	answer(w, status, problem{Code: CodeRefused, Error: reason}, 0)
}

// ServeHTTP implements [http.Handler].
func (i Ingress) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case slices.Contains([]string{"/healthz", "/readyz", "/metrics"}, req.URL.Path):
		i.System.ServeHTTP(w, req)
	case Handles(req.URL):
		i.Router.ServeHTTP(w, req)
	case strings.HasPrefix(req.URL.Path, AgentsRoot), len(req.Header.Values(AgentHeader)) > 0:
		i.Agents.ServeHTTP(w, req)
	default:
		(&rejection{http.StatusBadRequest, CodeRequest, fmt.Sprintf(
			"nothing is at this path: want %s/INSTANCE, %sNAMESPACE/NAME, or the header %s: NAMESPACE/NAME", Root, AgentsRoot, AgentHeader)}).write(w, plan.ID{})
	}
}
