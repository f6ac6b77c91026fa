// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/google/go-cmp/cmp"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// agentDaemon is a daemon that listens, and the workspace that it serves.
type agentDaemon struct {
	*host
	*watching
	dir, url string
	client   *http.Client
}

// agentsOf starts a daemon that serves the agents of a manifest.
func agentsOf(t testing.TB, workspace, manifest string) *agentDaemon {
	t.Helper()
	d := &agentDaemon{host: newHost(t, workspace), dir: t.TempDir()}
	for name, text := range workspaceFiles(workspace, nil) {
		check(t, os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o644))
	}
	d.write(t, manifest)
	d.serve(t)
	return d
}

func (d *agentDaemon) write(t testing.TB, manifest string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(d.dir, "agents.yaml"), []byte(manifest), 0o644))
}

// serve starts a daemon, and returns once it takes requests.
func (d *agentDaemon) serve(t testing.TB) {
	t.Helper()
	d.watching = d.watch(t, d.dir, "--listen=127.0.0.1:0")
	d.await(t, "it listens", func() bool { return listeningAt.MatchString(d.output.String()) })
	d.url = listeningAt.FindStringSubmatch(d.output.String())[1]
	d.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(d.client.CloseIdleConnections)
	d.await(t, "it is ready", func() bool { _, code := d.get(t, "/readyz"); return code == http.StatusOK })
}

func (d *agentDaemon) get(t testing.TB, path string) (string, int) {
	t.Helper()
	res, err := d.client.Get(d.url + path)
	check(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(t, err)
	return string(b), res.StatusCode
}

// call asks an agent, and returns its answer, which is to be one to the id.
func (d *agentDaemon) call(agent, id string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, d.url+"/agents/default/"+agent, strings.NewReader(`{"n":1}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Clrk-Execution-ID", id)
	res, err := d.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("X-Clrk-Execution-ID") != id {
		return "", fmt.Errorf("%s as %s: %q: %w", res.Status, res.Header.Get("X-Clrk-Execution-ID"), b, err)
	}
	return string(b), nil
}

// counted is what the daemon says of an agent's executions, by outcome.
func (d *agentDaemon) counted(t testing.TB, agent string) map[string]int {
	t.Helper()
	out := map[string]int{}
	text, _ := d.get(t, "/metrics")
	line := regexp.MustCompile(`(?m)^reconcile_executions_total\{agent="default/` + agent + `",outcome="([a-z-]+)"\} (\d+)$`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		out[m[1]], _ = strconv.Atoi(m[2])
	}
	return out
}

// held is what the daemon's process holds.
type held struct{ goroutines, descriptors int }

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

func (d *agentDaemon) holds(t testing.TB) held {
	t.Helper()
	text, _ := d.get(t, "/metrics")
	m := goroutines.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no goroutines in\n%s", text)
	}
	n, err := strconv.Atoi(m[1])
	check(t, err)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	check(t, err)
	return held{n, len(fds)}
}

// awaitHolds waits until the process holds no more than it did before, but for
// connections that it keeps for later.
func (d *agentDaemon) awaitHolds(t testing.TB, before held) {
	t.Helper()
	const kept = 12
	d.client.CloseIdleConnections()
	var now held
	for end := time.Now().Add(patience); ; time.Sleep(250 * time.Millisecond) {
		now = d.holds(t)
		if now.goroutines <= before.goroutines+2*kept && now.descriptors <= before.descriptors+kept {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the daemon holds %+v, before %+v", now, before)
		}
	}
}

// agentReport is what status says of a TaskAgent.
type agentReport struct {
	Serving   string
	Revisions []struct{ Name string }
	Dispatch  struct {
		Slots      struct{ Ready int }
		Executions []struct{ ID, Outcome, Revision, Warm string }
	}
	raw string
}

func (d *agentDaemon) report(t testing.TB, agent string) agentReport {
	t.Helper()
	out, _ := d.command(t, d.dir, "status", agent, "-o", "json")
	var doc struct{ Status []agentReport }
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Status) != 1 {
		t.Fatalf("status of %s: %v\n%s", agent, err, out)
	}
	doc.Status[0].raw = out
	return doc.Status[0]
}

// containersOf are those of executions and slots: the revisions, by ID.
func (d *agentDaemon) containersOf(t testing.TB) map[string]string {
	t.Helper()
	list, err := containers.List(podmantest.Conn(t), new(containers.ListOptions).WithAll(true).WithFilters(
		map[string][]string{"label": {plan.LabelWorkspace + "=" + d.workspace, plan.LabelSession}}))
	check(t, err)
	out := map[string]string{}
	for _, c := range list {
		out[c.ID] = c.Labels["reconcile.agent-revision"]
	}
	return out
}

// nothing destroys the workspace and looks whether something is left.
func (d *agentDaemon) nothing(t testing.TB) {
	t.Helper()
	d.gone(t, d.dir)
	left, err := filepath.Glob(filepath.Join(d.state, "workspaces", d.workspace, "cache/replies/*"))
	check(t, err)
	if len(left) > 0 {
		t.Errorf("replies %v are left", left)
	}
}

// TestRequestsDuringRevisions: while a tag moves and a template is edited, ten times
// in all, each request is answered once, by a revision that there was when it came.
func TestRequestsDuringRevisions(t *testing.T) {
	const moves, requests, clients = 10, 200, 6
	registry := podmantest.Registry(t)
	version := func(n int) podmantest.ImageOptions {
		return podmantest.ImageOptions{Busybox: true, Changes: []string{`ENTRYPOINT ["/bin/cat"]`, fmt.Sprintf("LABEL n=%d", n)}}
	}
	ref, _ := registry.Push(t, "agent:1", version(0))
	manifest := func(edits int) string {
		return fmt.Sprintf("apiVersion: clrk.apoxy.dev/v1alpha1\nkind: TaskAgent\nmetadata: {name: agent}\nspec:\n"+
			"  workerPoolRef: default\n  timeout: 5m\n  warmPoolSize: 1\n"+
			"  template: {spec: {image: %s, env: [{name: EDIT, value: \"%d\"}]}}\n", ref, edits)
	}
	d := agentsOf(t, "agents-load", manifest(0))
	if _, err := d.call("agent", "first"); err != nil {
		t.Fatal(err)
	}
	before := d.holds(t)

	var answered, newest, begun atomic.Int64 // newest: that an answer came from
	newest.Store(1)
	begun.Store(1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	revision := regexp.MustCompile(`"clrkrevision":"agent-(\d{5})"`)
	for c := range clients {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("c%d-%d", c, i)
				atLeast := newest.Load()
				body, err := d.call("agent", id)
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				m := revision.FindStringSubmatch(body)
				if m == nil || !strings.Contains(body, `"id":"`+id+`"`) {
					t.Errorf("%s got %s", id, body)
					return
				}
				got, _ := strconv.ParseInt(m[1], 10, 64)
				if got < atLeast || got > begun.Load() {
					t.Errorf("%s was answered by revision %d; there were %d to %d", id, got, atLeast, begun.Load())
				}
				for was := newest.Load(); got > was && !newest.CompareAndSwap(was, got); was = newest.Load() {
				}
				answered.Add(1)
			}
		})
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		d.await(t, what, func() bool { return t.Failed() || ok() })
	}
	edits := 0
	for n := int64(1); n <= moves && !t.Failed(); n++ {
		at := answered.Load()
		begun.Store(n + 1)
		if n%2 == 0 {
			edits++
			d.write(t, manifest(edits))
		} else {
			registry.Push(t, "agent:1", version(int(n)))
			if n == 5 { // it comes back when the registry does
				registry.Withhold("this account has no storage left")
				out, code := d.command(t, d.dir)
				if code == 0 || !strings.Contains(out, "403 (Forbidden)") && !strings.Contains(out, "denied") {
					t.Errorf("a pull that fails: exit code %d\n%s", code, out)
				}
				r := d.report(t, "agent")
				if r.Serving != "agent-00005" || !strings.Contains(r.raw, "403 (Forbidden)") && !strings.Contains(r.raw, "denied") {
					t.Errorf("then the status is\n%s", r.raw)
				}
				served := answered.Load()
				until("what there was goes on", func() bool { return answered.Load() > served+2*clients })
				registry.Withhold("")
			}
			if out, code := d.command(t, d.dir); code != 0 {
				t.Errorf("a pass: exit code %d\n%s", code, out)
			}
		}
		until(fmt.Sprintf("revision %d answers", n+1), func() bool { return newest.Load() == n+1 })
		until("some more do", func() bool { return answered.Load() >= at+requests/(2*moves) })
	}
	until("all are answered", func() bool { return answered.Load() >= requests })
	stop()
	group.Wait()
	if t.Failed() {
		return
	}

	want := map[string]int{"succeeded": int(answered.Load()) + 1}
	d.await(t, "all are counted", func() bool { return cmp.Equal(want, d.counted(t, "agent")) })
	r, last := d.report(t, "agent"), moves+1
	var listed []string
	for _, one := range r.Revisions {
		listed = append(listed, one.Name)
	}
	wantListed := make([]string, 10)
	for i := range wantListed {
		wantListed[i] = fmt.Sprintf("agent-%05d", last-i)
	}
	if diff := cmp.Diff(wantListed, listed); diff != "" {
		t.Errorf("revisions (-want +got)\n%s", diff)
	}
	if len(r.Dispatch.Executions) != 50 {
		t.Errorf("%d executions are remembered", len(r.Dispatch.Executions))
	}
	d.await(t, "of old revisions nothing is left", func() bool {
		left := d.containersOf(t)
		for _, revision := range left {
			if revision != wantListed[0] {
				return false
			}
		}
		return len(left) == 1
	})
	d.awaitHolds(t, before)
	d.end(t)
	if left := d.containersOf(t); len(left) > 0 {
		t.Errorf("containers %v are left", left)
	}
	d.nothing(t)
}

// TestSlotsAreUsedOnce: of many clients at once each gets a container that nobody else
// has had, slots are made anew, and go when they are of no use: for they are old, not
// needed, or a killed daemon's.
func TestSlotsAreUsedOnce(t *testing.T) {
	const clients, calls, size = 12, 1, 4
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	manifest := func(version int) string {
		var out strings.Builder
		for _, a := range []struct{ name, annotations, settings string }{
			{"initialised", "", fmt.Sprintf("warmPoolSize: %d", size)},
			{"started", "reconcile/warm: started", fmt.Sprintf("warmPoolSize: %d", size)},
			{"brief", "", "warmPoolSize: 2\n  warmPoolIdleTTL: 1s"},
		} {
			fmt.Fprintf(&out, "---\napiVersion: clrk.apoxy.dev/v1alpha1\nkind: TaskAgent\nmetadata: {name: %s, annotations: {%s}}\nspec:\n"+
				"  workerPoolRef: default\n  timeout: 5m\n  %s\n"+
				"  template: {spec: {image: localhost/test/shell, env: [{name: V, value: \"%d\"}], command: [sh, -c, 'cat >/dev/null; echo $V $HOSTNAME']}}\n",
				a.name, a.annotations, a.settings, version)
		}
		return out.String()
	}
	d := agentsOf(t, "agents-slots", manifest(1))
	// full: there are the slots of a revision, and nothing else.
	full := func(revision string) func() bool {
		return func() bool {
			n := map[string]int{}
			for _, of := range d.containersOf(t) {
				n[of]++
			}
			return cmp.Equal(n, map[string]int{"initialised-" + revision: size, "started-" + revision: size})
		}
	}
	d.await(t, "slots, and none of what is not asked for any more", full("00001"))
	for _, agent := range []string{"initialised", "started", "brief"} {
		if _, err := d.call(agent, "first"); err != nil {
			t.Fatal(err)
		}
	}
	d.await(t, "slots are made anew", full("00001"))
	before := d.holds(t)

	var mu sync.Mutex
	had := map[string]string{} // who had a container, by the begin of its ID
	var group sync.WaitGroup
	for c := range clients {
		agent := []string{"initialised", "started"}[c%2]
		group.Go(func() {
			for i := range calls {
				id := fmt.Sprintf("c%d-%d", c, i)
				body, err := d.call(agent, id)
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				mu.Lock()
				if other := had[body]; other != "" || !strings.HasPrefix(body, "1 ") {
					t.Errorf("%s was answered by %q, as was %q", id, body, other)
				}
				had[body] = id
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	d.await(t, "slots are made anew", full("00001"))
	for _, agent := range []string{"initialised", "started"} {
		want := map[string]int{"succeeded": clients/2*calls + 1}
		d.await(t, "all are counted", func() bool { return cmp.Equal(want, d.counted(t, agent)) })
		warm := 0
		for _, e := range d.report(t, agent).Dispatch.Executions {
			if e.Warm == agent {
				warm++
			}
		}
		if warm == 0 {
			t.Errorf("%s: no execution had a slot", agent)
		}
	}
	d.awaitHolds(t, before)

	d.write(t, manifest(2))
	d.await(t, "slots of the new revision alone", full("00002"))
	old := d.containersOf(t)
	for _, agent := range []string{"initialised", "started"} {
		if body, err := d.call(agent, "second"); err != nil || !strings.HasPrefix(body, "2 ") {
			t.Errorf("%s: %q %v", agent, body, err)
		}
	}
	d.kill()
	if len(d.containersOf(t)) == 0 {
		t.Error("the killed daemon has left no slot")
	}
	d.serve(t)
	for id := range d.containersOf(t) {
		if old[id] != "" {
			t.Errorf("%s was left by a killed daemon", id[:12])
		}
	}
	d.await(t, "slots of the next daemon", full("00002"))
	if _, err := d.call("started", "third"); err != nil {
		t.Error(err)
	}
	d.end(t)
	if left := d.containersOf(t); len(left) > 0 {
		t.Errorf("containers %v are left", left)
	}
	d.nothing(t)
}
