// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// agentHost is a daemon's TaskAgents over a runtime in memory.
type agentHost struct {
	*taskAgents
	store recordingStore
	dir   string // of the store
	mem   *dispatchtest.Memory
}

func newAgentHost(t *testing.T) *agentHost {
	t.Helper()
	h := &agentHost{taskAgents: &taskAgents{}, dir: t.TempDir(), mem: &dispatchtest.Memory{Programs: dispatchtest.Programs()}}
	h.mem.Programs["nap"] = func(p *dispatchtest.Process) int {
		for range 2 {
			time.Sleep(100 * time.Millisecond)
			_, _ = io.WriteString(p.Stdout, "z")
		}
		return 0
	}
	store, err := reconcile.OpenStore(h.dir, false)
	if err != nil {
		t.Fatal(err)
	}
	h.store = recordingStore{store, h.taskAgents}
	d := dispatch.NewDispatcher(dispatch.DispatcherOptions{Runtime: h.mem, Journal: dispatch.OpenFolder(t.TempDir()), Scratch: t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = d.Run(ctx) }()
	t.Cleanup(h.mem.Close)
	t.Cleanup(func() { cancel(); <-ended })
	<-d.Opened()
	h.open(d, store)
	return h
}

// put records an agent that runs a program, as the executor does.
func (h *agentHost) put(t *testing.T, name, program string, change func(*plan.Dispatch)) plan.ID {
	t.Helper()
	id := plan.ID{Kind: plan.TaskAgent, Name: name}
	settings := plan.Dispatch{Mode: plan.DeliverStdin, Name: "acme-run-" + name, Timeout: time.Minute}
	if change != nil {
		change(&settings)
	}
	spec := plan.Spec{Container: &plan.ContainerSpec{Image: "localhost/x:1", Network: "acme", Main: plan.Process{Command: []string{program}}}}
	rev := plan.Revision{ID: id, Number: 1, Digest: spec.Digest(), Spec: spec}
	for _, r := range []plan.Record{rev.Record(), {ID: id, Kind: plan.RecordDispatch, Data: settings.Data()}} {
		if err := h.store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// ask is the status of the answer of an agent.
func (h *agentHost) ask(name string) int {
	return ask(h, "/agents/default/"+name, "localhost", nil).Code
}

// What is recorded is there for the next request, whatever looks find.
func TestTaskAgentsAreTold(t *testing.T) {
	h := newAgentHost(t)
	expect := func(when string, want int) {
		t.Helper()
		if got := h.ask("a"); got != want {
			t.Errorf("%s: %d, want %d", when, got, want)
		}
	}
	expect("nothing is known", http.StatusServiceUnavailable)
	h.looked(plan.Desired{}, plan.Observed{})
	expect("there is none", http.StatusNotFound)
	want := plan.Desired{Resources: []plan.Resource{{ID: plan.ID{Kind: plan.TaskAgent, Name: "a"}}}}
	h.looked(want, plan.Observed{})
	expect("none is ready", http.StatusServiceUnavailable)
	id := h.put(t, "a", dispatchtest.Cat, nil)
	expect("one is ready", http.StatusOK)
	h.looked(plan.Desired{}, plan.Observed{}) // which is older than the records
	expect("nothing asks for it", http.StatusOK)
	stop := plan.Record{ID: id, Kind: plan.RecordWish, Key: plan.WishStop, Data: map[string]string{"wanted": "true"}}
	if err := h.store.Put(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	expect("it is stopped", http.StatusServiceUnavailable)
	stop.Data["wanted"] = "false"
	if err := h.store.Put(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	expect("it is started", http.StatusOK)
	if err := h.store.Put(t.Context(), plan.Record{ID: id, Kind: plan.RecordDispatch, Forget: true}); err != nil {
		t.Fatal(err)
	}
	expect("it is gone", http.StatusNotFound)
}

// Nobody is told of a record that says nothing of what a TaskAgent is.
func TestTaskAgentsAreNotTold(t *testing.T) {
	h := newAgentHost(t)
	h.looked(plan.Desired{}, plan.Observed{})
	id := h.put(t, "a", dispatchtest.Cat, nil)
	stop := plan.Record{ID: id, Kind: plan.RecordWish, Key: plan.WishStop, Data: map[string]string{"wanted": "true"}}
	if err := h.store.Store.Put(t.Context(), stop); err != nil { // unheard
		t.Fatal(err)
	}
	for _, r := range []plan.Record{
		{ID: id, Kind: plan.RecordApprovals},
		{ID: id, Kind: plan.RecordBrake, Data: map[string]string{"braked": "true"}},
		{ID: id, Kind: plan.RecordRevision, Key: "00007", Forget: true},
		{ID: plan.ID{Kind: plan.DaemonAgent, Name: "a"}, Kind: plan.RecordWish, Key: plan.WishStop},
	} {
		if err := h.store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got := h.ask("a"); got != http.StatusOK {
			t.Errorf("after %s of %s: %d", r.Kind, r.ID, got)
		}
	}
	if err := h.store.Put(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	if got := h.ask("a"); got != http.StatusServiceUnavailable {
		t.Errorf("after what says something: %d", got)
	}
}

// A new revision and the settings that it came with take requests at once, or neither
// does.
func TestTaskAgentsAreToldOfAll(t *testing.T) {
	h := newAgentHost(t)
	d, _, _ := testDaemon(t)
	d.agents.open(h.dispatcher.Load(), h.store.Store)
	d.store = recordingStore{h.store.Store, &d.agents}
	d.agents.looked(plan.Desired{}, plan.Observed{})
	h.mem.Programs["posts"] = func(p *dispatchtest.Process) int {
		_, err := p.Request(http.MethodPost, p.Env[dispatch.MetadataEnv]+"/response", "", strings.NewReader("posted"))
		if err != nil {
			return 1
		}
		return 0
	}
	h.store = d.store
	id := h.put(t, "a", dispatchtest.Cat, nil)
	expect := func(when, want string) {
		t.Helper()
		res := ask(h, "/agents/default/a", "localhost", nil)
		if got := res.Body.String(); res.Code != http.StatusOK || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s, want %s", when, res.Code, got, want)
		}
	}
	expect("at first", `"clrkrevision":"a-00001"`)
	spec := plan.Spec{Container: &plan.ContainerSpec{Image: "localhost/x:2", Network: "acme", Main: plan.Process{Command: []string{"posts"}}}}
	rev := plan.Revision{ID: id, Number: 2, Digest: spec.Digest(), Spec: spec}
	settings := plan.Dispatch{Mode: plan.DeliverMetadata, Name: "acme-run-a", Timeout: time.Minute}
	put := func(r plan.Record) {
		t.Helper()
		if err := d.store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	put(rev.Record())
	expect("with a revision alone", `"clrkrevision":"a-00001"`)
	put(plan.Record{ID: id, Kind: plan.RecordDispatch, Data: settings.Data()})
	expect("with both", "posted")
	rev.Number = 3
	put(rev.Record())
	d.event(reconcile.Event{State: reconcile.StepStarted, Step: plan.Step{Op: plan.OpActivate, Target: id}})
	if got := d.agents.agents[0].Revision.Number; got != 2 {
		t.Errorf("not activated yet, revision %d serves", got)
	}
	d.event(reconcile.Event{State: reconcile.StepDone, Step: plan.Step{Op: plan.OpActivate, Target: id}})
	if got := d.agents.agents[0].Revision.Number; got != 3 {
		t.Errorf("activated, revision %d serves", got)
	}
}

// A pass that could not look serves what is recorded, and of others does not say that
// they are not there.
func TestTaskAgentsWithoutLook(t *testing.T) {
	first := newAgentHost(t)
	first.put(t, "a", dispatchtest.Cat, nil)
	h := newAgentHost(t)
	h.open(h.dispatcher.Load(), first.store.Store)
	if got := h.ask("a"); got != http.StatusServiceUnavailable {
		t.Errorf("before: %d", got)
	}
	h.passed()
	if got := h.ask("a"); got != http.StatusOK {
		t.Errorf("after: %d", got)
	}
	if got := h.ask("b"); got != http.StatusServiceUnavailable {
		t.Errorf("another: %d", got)
	}
	h.looked(plan.Desired{}, plan.Observed{})
	if got := h.ask("b"); got != http.StatusNotFound {
		t.Errorf("another, after a look: %d", got)
	}
}

// What is recorded of one changes nothing about the others, nor about itself where it
// cannot be read.
func TestTaskAgentsAreToldOfOne(t *testing.T) {
	h := newAgentHost(t)
	h.looked(plan.Desired{}, plan.Observed{})
	for _, name := range []string{"a", "b"} {
		h.put(t, name, dispatchtest.Cat, nil)
	}
	files, err := filepath.Glob(filepath.Join(h.dir, "data", "records", "*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("the records: %v %v", files, err)
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.recorded(plan.ID{Kind: plan.TaskAgent, Name: "a"})
	h.put(t, "c", dispatchtest.Cat, nil)
	for _, name := range []string{"a", "b", "c"} {
		if got := h.ask(name); got != http.StatusOK {
			t.Errorf("%s answers %d", name, got)
		}
	}
}

// An agent goes on when what is recorded of it cannot be read.
func TestTaskAgentsUnreadable(t *testing.T) {
	for _, kind := range []string{"dispatch", "revision"} {
		t.Run(kind, func(t *testing.T) {
			h := newAgentHost(t)
			h.put(t, "a", dispatchtest.Cat, nil)
			files, err := filepath.Glob(filepath.Join(h.dir, "data", "records", "*"+kind+"*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("the record: %v %v", files, err)
			}
			if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
			want := plan.Desired{Resources: []plan.Resource{{ID: plan.ID{Kind: plan.TaskAgent, Name: "a"}}}}
			h.looked(want, plan.Observed{})
			if got := h.ask("a"); got != http.StatusOK {
				t.Errorf("it answers %d", got)
			}
		})
	}
}

// Before the workspace is known there is nobody to answer.
func TestTaskAgentsUnknown(t *testing.T) {
	var none taskAgents
	w := ask(&none, "/agents/default/a", "localhost", nil)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get(dispatch.ErrorHeader) != dispatch.CodeNotReady {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	if _, err := none.status("default/a"); err == nil || !strings.Contains(err.Error(), nameUnknown) {
		t.Errorf("its status: %v", err)
	}
	if err := none.ready(); err != nil {
		t.Error(err)
	}
	if got := none.loads(); got != nil {
		t.Errorf("loads: %v", got)
	}
}

// A daemon with TaskAgents is ready once it takes their requests.
func TestTaskAgentsReady(t *testing.T) {
	h := newAgentHost(t)
	h.put(t, "a", dispatchtest.Cat, nil)
	if err := h.ready(); err != nil {
		t.Error(err)
	}
	h.open(dispatch.NewDispatcher(dispatch.DispatcherOptions{Runtime: h.mem, Journal: dispatch.OpenFolder(t.TempDir())}), h.store.Store)
	if err := h.ready(); err == nil {
		t.Error("it is ready before it has swept")
	}
	h.agents = nil
	if err := h.ready(); err != nil {
		t.Errorf("without a TaskAgent: %v", err)
	}
}

func TestTaskAgentsStatus(t *testing.T) {
	h := newAgentHost(t)
	h.put(t, "a", dispatchtest.Cat, nil)
	h.ask("a")
	st, err := h.status("default/a")
	if err != nil || len(st.Executions) != 1 {
		t.Errorf("got %+v %v", st, err)
	}
	for _, name := range []string{"a", "default/b", "/a", "default/"} {
		if _, err := h.status(name); err == nil {
			t.Errorf("%s has a status", name)
		}
	}
	if diff := cmp.Diff([]agentLoad{{agent: "default/a"}}, h.loads(), cmp.AllowUnexported(agentLoad{})); diff != "" {
		t.Errorf("loads (-want +got)\n%s", diff)
	}
}

// The deadlines of the listener are not those of executions.
func TestListenerCutsNoExecution(t *testing.T) {
	h := newAgentHost(t)
	h.put(t, "nap", "nap", nil)
	h.put(t, "streams", "nap", func(d *plan.Dispatch) { d.Streaming = true })
	h.put(t, "cat", dispatchtest.Cat, nil)
	listen := func(header time.Duration) (addr string) {
		t.Helper()
		a := &app{listen: listenFlags{addr: "127.0.0.1:0"}}
		srv, l, err := a.listenHTTP(t.Context(), answers{agents: h, metrics: http.NotFoundHandler()})
		if err != nil {
			t.Fatal(err)
		}
		srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout = header, 50*time.Millisecond, 50*time.Millisecond
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		t.Cleanup(func() { srv.Close(); <-served })
		return l.Addr().String()
	}
	addr := listen(time.Minute)
	for _, name := range []string{"nap", "streams", "cat"} {
		body, w := io.Pipe()
		go func() { // slowly
			for range 3 {
				time.Sleep(50 * time.Millisecond)
				_, _ = io.WriteString(w, "x")
			}
			w.Close()
		}()
		res, err := http.Post("http://"+addr+"/agents/default/"+name, "text/plain", body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(b), "zz") && !strings.Contains(string(b), `"data":"xxx"`) {
			t.Errorf("%s: %d %q %v", name, res.StatusCode, b, err)
		}
		if name == "streams" && res.Trailer.Get(dispatch.ExitHeader) != "0" {
			t.Errorf("the trailer is %v", res.Trailer)
		}
	}
	c, err := net.Dial("tcp", listen(50*time.Millisecond)) // and whoever sends half a header is cut
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /agents/default/cat HTTP/1.1\r\nHost: local"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the connection ended with %v", err)
	}
}
