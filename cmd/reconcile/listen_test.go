// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

const testToken = "0123456789abcdef0123"

// listening opens the listener that the flags ask for; its handler is asked
// directly.
func listening(t *testing.T, f listenFlags, p answers) (http.Handler, error) {
	t.Helper()
	if p.metrics == nil {
		p.metrics = http.NotFoundHandler()
	}
	a := &app{listen: f}
	srv, l, err := a.listenHTTP(t.Context(), p)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { l.Close() })
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.MaxHeaderBytes == 0 {
		t.Error("the server is not bounded")
	}
	return srv.Handler, nil
}

func ask(h http.Handler, path, host string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func tokenFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// Only who calls the listener by one of its names, from no other site, and with
// the token where there is one, gets an answer.
func TestListenerGuards(t *testing.T) {
	alive := answers{alive: func(context.Context) error { return nil }, ready: func() error { return nil }}
	local := listenFlags{addr: "127.0.0.1:0", hosts: []string{"box.example"}}
	all := listenFlags{addr: "0.0.0.0:0", tokenFile: tokenFile(t, testToken+"\n", 0o600)}
	bearer := map[string]string{"Authorization": "Bearer " + testToken}
	for name, c := range map[string]struct {
		flags  listenFlags
		host   string
		header map[string]string
		want   int
	}{
		"address":               {local, "127.0.0.1:8088", nil, 200},
		"localhost":             {local, "localhost:8088", nil, 200},
		"localhost in capitals": {local, "LOCALHOST.", nil, 200},
		"loopback v6":           {local, "[::1]:8088", nil, 200},
		"another loopback":      {local, "127.3.2.1", nil, 200},
		"a name of ours":        {local, "box.example:80", nil, 200},
		"rebound name":          {local, "evil.example:8088", nil, 421},
		"a name that ends so":   {local, "x.localhost:8088", nil, 421},
		"another address":       {local, "10.0.0.1:8088", nil, 421},
		"no host":               {local, "", nil, 421},
		"own origin":            {local, "localhost:8088", map[string]string{"Origin": "http://localhost:8088"}, 200},
		"foreign origin":        {local, "localhost:8088", map[string]string{"Origin": "https://evil.example"}, 403},
		"other port":            {local, "localhost:8088", map[string]string{"Origin": "http://localhost:3000"}, 403},
		"opaque origin":         {local, "localhost:8088", map[string]string{"Origin": "null"}, 403},
		"cross-site":            {local, "localhost:8088", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"typed by hand":         {local, "localhost:8088", map[string]string{"Sec-Fetch-Site": "none"}, 200},
		"token":                 {all, "10.1.2.3:8088", bearer, 200},
		"no token":              {all, "10.1.2.3:8088", nil, 401},
		"wrong token":           {all, "127.0.0.1", map[string]string{"Authorization": "Bearer " + testToken + "4"}, 401},
		"wrong scheme":          {all, "127.0.0.1", map[string]string{"Authorization": "Basic " + testToken}, 401},
		"token, foreign name":   {all, "evil.example", bearer, 421},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := listening(t, c.flags, alive)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/healthz", "/readyz"} {
				got := ask(h, path, c.host, c.header)
				if got.Code != c.want {
					t.Errorf("%s: %d, want %d", path, got.Code, c.want)
				}
				code := got.Header().Get(dispatch.ErrorHeader)
				if refused := code == dispatch.CodeRefused && json.Valid(got.Body.Bytes()); refused != (c.want != 200) {
					t.Errorf("%s: code %q: %s", path, code, got.Body)
				}
			}
		})
	}
}

func TestListenerRefusesToBegin(t *testing.T) {
	for name, c := range map[string]struct {
		flags listenFlags
		want  string
	}{
		"off loopback":     {listenFlags{addr: "0.0.0.0:0"}, "needs --listen-token-file"},
		"off loopback, v6": {listenFlags{addr: "[::]:0"}, "needs --listen-token-file"},
		"short token":      {listenFlags{addr: "127.0.0.1:0", tokenFile: tokenFile(t, "short", 0o600)}, "fewer than 16 characters"},
		"public token":     {listenFlags{addr: "127.0.0.1:0", tokenFile: tokenFile(t, testToken, 0o644)}, "can be read by everybody"},
		"no token file":    {listenFlags{addr: "127.0.0.1:0", tokenFile: "/nowhere"}, "read the token for --listen"},
		"token for none":   {listenFlags{addr: "off", tokenFile: "/nowhere"}, "need --listen"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := listening(t, c.flags, answers{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), testToken) {
				t.Error("the error shows the token")
			}
		})
	}
}

func TestProbes(t *testing.T) {
	var dead, unready error
	h, err := listening(t, listenFlags{addr: "127.0.0.1:0"}, answers{
		alive: func(context.Context) error { return dead }, ready: func() error { return unready },
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(path string, code int, body string) {
		t.Helper()
		got := ask(h, path, "localhost", nil)
		if got.Code != code || strings.TrimSpace(got.Body.String()) != body {
			t.Errorf("%s: %d %s, want %d %s", path, got.Code, got.Body, code, body)
		}
	}
	check("/healthz", 200, `{"alive":true}`)
	check("/readyz", 200, `{"ready":true}`)
	unready = errors.New(`a.yaml:1:2: "x"`)
	check("/healthz", 200, `{"alive":true}`)
	check("/readyz", 503, `{"ready":false,"reason":"a.yaml:1:2: \"x\""}`)
	dead = errors.New("no answer")
	check("/healthz", 503, `{"alive":false,"reason":"no answer"}`)
	check("/other", 400, `{"error":"nothing is at this path: want /mcps/INSTANCE, /agents/NAMESPACE/NAME, or the header X-Clrk-TaskAgent: NAMESPACE/NAME","code":"bad-request"}`)
}

// The router gets its paths as they were sent, and only what the listener lets in.
func TestListenerRoutes(t *testing.T) {
	var got []string
	h, err := listening(t, listenFlags{addr: "127.0.0.1:0"}, answers{router: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.EscapedPath())
	})})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/mcps", "/mcps/a//b/../c%2Fd", "/mcpsx", "/"} {
		ask(h, path, "localhost", nil)
		ask(h, path, "evil.example", nil)
		ask(h, path, "localhost", map[string]string{"Origin": "https://evil.example"})
	}
	if diff := cmp.Diff([]string{"/mcps", "/mcps/a//b/../c%2Fd"}, got); diff != "" {
		t.Errorf("routed (-want +got)\n%s", diff)
	}
}

func TestMetrics(t *testing.T) {
	m := newMetrics(gauges{
		instances: func() map[string]int { return map[string]int{"running": 3, "crashloopbackoff": 1} },
		sources: func() []sourceAge {
			return []sourceAge{{name: "tools", since: time.UnixMilli(1_700_000_000_500), stale: 90 * time.Second}, {name: "new"}}
		},
		agents: func() []agentLoad { return []agentLoad{{"default/words", 2, 1, 3, 4}} },
	})
	accepted := time.Unix(200, 0)
	m.executed(dispatch.Execution{Agent: plan.ID{Kind: plan.TaskAgent, Name: "words"}, Accepted: accepted, Ended: accepted.Add(200 * time.Millisecond), Outcome: dispatch.TimedOut})
	began := time.Unix(100, 0)
	m.ended(reconcile.PassRecord{Began: began, Ended: began.Add(300 * time.Millisecond), Result: reconcile.ResultConverged}, reconcile.PassResult{
		Outcome: reconcile.Outcome{Steps: []reconcile.StepResult{
			{Step: plan.Step{Op: plan.OpCreate}, State: reconcile.StepDone},
			{Step: plan.Step{Op: plan.OpCreate}, State: reconcile.StepDone},
			{Step: plan.Step{Op: plan.OpStart}, State: reconcile.StepFailed},
		}},
	})
	w := ask(m.handler(), "/metrics", "localhost", nil)
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		keep := strings.HasPrefix(line, "reconcile_") && !strings.HasSuffix(line, " 0\n") &&
			!strings.HasPrefix(line, "reconcile_build_info") && !strings.Contains(line, "_bucket")
		if keep {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`reconcile_cron_skipped_total{agent="default/words"} 4`,
		`reconcile_execution_duration_seconds_sum{agent="default/words"} 0.2`,
		`reconcile_execution_duration_seconds_count{agent="default/words"} 1`,
		`reconcile_executions_in_flight{agent="default/words"} 2`,
		`reconcile_executions_total{agent="default/words",outcome="timeout"} 1`,
		`reconcile_instances{state="crashloopbackoff"} 1`,
		`reconcile_instances{state="running"} 3`,
		`reconcile_pass_duration_seconds_sum 0.3`,
		`reconcile_pass_duration_seconds_count 1`,
		`reconcile_passes_total{result="converged"} 1`,
		`reconcile_slots_ready{agent="default/words"} 1`,
		`reconcile_slots_wanted{agent="default/words"} 3`,
		`reconcile_source_last_success_timestamp_seconds{source="tools"} 1.7000000005e+09`,
		`reconcile_source_stale_seconds{source="tools"} 90`,
		`reconcile_steps_total{op="create",result="done"} 2`,
		`reconcile_steps_total{op="start",result="failed"} 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got)\n%s", diff)
	}
	if !bytes.Contains(w.Body.Bytes(), []byte("process_resident_memory_bytes")) {
		t.Error("the process's own metrics are missing")
	}
}
