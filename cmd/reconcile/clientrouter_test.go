// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"reconcile/dispatch"
)

// Whose token is missing is told by who says so: an agent may ask for one of its own.
func TestRouterAsksForToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		if strings.HasPrefix(req.URL.Path, dispatch.Root+"/own") {
			http.Error(w, "mine", http.StatusUnauthorized)
			return
		}
		dispatch.Refuse(w, http.StatusUnauthorized, "a token is needed")
	}))
	defer server.Close()
	c := &routerClient{base: server.URL, transport: http.DefaultTransport}
	if _, err := c.get(t.Context(), "any", "/status"); err == nil || !strings.Contains(err.Error(), "--router-token-file") {
		t.Errorf("of the router: %v", err)
	}
	got, err := c.get(t.Context(), "own", "/status")
	if err != nil || got.code != http.StatusUnauthorized || string(got.body) != "mine\n" {
		t.Errorf("of the agent: %+v, %v", got, err)
	}
}
