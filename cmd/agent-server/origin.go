// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// guardOrigin keeps web pages from calling tools through somebody's browser. A
// request of a page is one with an Origin: it must come from this very host,
// and the host must be one that no stranger's DNS can point at us: an address,
// a name without dots, or a name of our own.
func guardOrigin(next http.Handler, own ...string) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := sameOrigin.Check(r); err != nil {
			writeJSON(w, http.StatusForbidden, map[string]any{"ok": false, "error": err.Error()})
			return
		}
		if r.Header.Get("Origin") != "" && !trustedHost(r.Host, own) {
			writeJSON(w, http.StatusForbidden, map[string]any{"ok": false, "error": "a web page may not use this host name: " + r.Host})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func trustedHost(hostport string, own []string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return !strings.Contains(host, ".") || net.ParseIP(host) != nil || slices.Contains(own, host)
}
