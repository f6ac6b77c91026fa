// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/control"
	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// programs are what agents of these tests can run.
var programs = map[string]dispatchtest.Program{
	"echo": func(p *dispatchtest.Process) int { _, _ = io.Copy(p.Stdout, p.Stdin); return 0 },
	"fail": func(p *dispatchtest.Process) int { _, _ = io.WriteString(p.Stdout, "half"); return 9 },
	"mute": func(*dispatchtest.Process) int { return 9 },
	// What it writes is what is said of one that writes nothing, but for its end.
	"mimic": func(p *dispatchtest.Process) int {
		_, _ = io.WriteString(p.Stdout, "mimic: it ended with status 8\n")
		return 9
	},
	"nap": func(p *dispatchtest.Process) int {
		_, _ = io.WriteString(p.Stdout, "begun ")
		select {
		case <-time.After(10 * time.Second):
			_, _ = io.WriteString(p.Stdout, "rested")
		case <-p.Terminated:
			return 143
		case <-p.Killed:
		}
		return 0
	},
	"early": func(p *dispatchtest.Process) int {
		_, _ = p.Request("POST", p.Env[dispatch.MetadataEnv]+"/response", "text/plain", strings.NewReader("early"))
		select {
		case <-time.After(10 * time.Second):
		case <-p.Terminated:
		case <-p.Killed:
		}
		return 0
	},
}

// invoked1 is what one invocation came to.
type invoked1 struct {
	Code     int
	Out, Err string // of Err without what changes from run to run
	Took     time.Duration
	Kept     dispatch.Outcome // "" = no execution was made
}

// invokeInMemory makes one request of an agent that runs a program.
func invokeInMemory(t *testing.T, agent plan.Agent, inv invocation, output string, ctx context.Context) invoked1 { //nolint:revive // the context is a case's
	t.Helper()
	mem := &dispatchtest.Memory{Programs: programs}
	defer mem.Close()
	agent.ID = plan.ID{Kind: plan.TaskAgent, Name: agent.Name}
	agent.Revision = plan.Revision{ID: agent.ID, Number: 1, Digest: "v1:1", Spec: plan.Spec{Container: &plan.ContainerSpec{
		Image: "localhost/x", Network: "acme", Main: plan.Process{Command: []string{agent.Name}},
	}}}
	if agent.Timeout == 0 {
		agent.Timeout = time.Minute
	}
	dir := filepath.Join(t.TempDir(), "executions")
	var out, said bytes.Buffer
	a := &app{std: stdio{strings.NewReader("typed"), &out, &said}, output: output, color: "never"}
	inv.id = "the-id"
	ctx, done := inv.bound(ctx)
	defer done()
	began := time.Now()
	req, err := inv.request(ctx, agent.ID, a.std.in)
	if err != nil {
		t.Fatal(err)
	}
	h := startAgent(ctx, agent, dispatch.DispatcherOptions{Runtime: mem, Journal: dispatch.OpenFolder(dir)})
	h.notes, h.runtime = &said, io.NopCloser(nil)
	<-h.dispatcher.Opened()
	o := &outcome{app: a, agent: agent.ID, maxTime: inv.maxTime}
	err = errors.Join(o.take(ctx, h, req), h.close(ctx))
	got := invoked1{Code: exitOf(err), Out: out.String(), Err: said.String(), Took: time.Since(began)}
	if code, ok := errors.AsType[exitCode](err); ok {
		got.Code = int(code)
	}
	list, err := dispatch.Look(dir).Executions(agent.ID)
	if err != nil || len(list) > 1 {
		t.Errorf("kept: %v %v", list, err)
	}
	for _, e := range list {
		got.Kept = e.Outcome
	}
	return got
}

func TestInvocation(t *testing.T) {
	hint := func(name string) string {
		return "hint: `reconcile logs " + name + " --execution the-id` shows what it wrote\n"
	}
	stream, metadata := plan.Dispatch{Streaming: true}, plan.Dispatch{Mode: plan.DeliverMetadata}
	tests := map[string]struct {
		program  string
		dispatch plan.Dispatch
		inv      invocation
		output   string
		want     invoked1
	}{
		"fails with output":            {"fail", plan.Dispatch{}, invocation{}, "", invoked1{1, "half", "execution the-id\nerror: fail: it ended with status 9\n" + hint("fail"), 0, dispatch.Failed}},
		"fails without":                {"mute", plan.Dispatch{}, invocation{}, "", invoked1{1, "", "execution the-id\nerror: mute: it ended with status 9\n" + hint("mute"), 0, dispatch.Failed}},
		"writes what we write":         {"mimic", plan.Dispatch{}, invocation{}, "", invoked1{1, "mimic: it ended with status 8\n", "execution the-id\nerror: mimic: it ended with status 9\n" + hint("mimic"), 0, dispatch.Failed}},
		"fails streaming":              {"fail", stream, invocation{}, "", invoked1{1, "half", "execution the-id\nerror: fail: it ended with status 9\n" + hint("fail"), 0, dispatch.Failed}},
		"runs out of time":             {"nap", plan.Dispatch{Timeout: time.Second}, invocation{}, "", invoked1{124, "", "error: nap: it was not done after 1s\n" + hint("nap"), time.Second, dispatch.TimedOut}},
		"streaming, too":               {"nap", plan.Dispatch{Streaming: true, Timeout: time.Second}, invocation{}, "", invoked1{124, "begun ", "execution the-id\nerror: nap: it was not done within its timeout\n" + hint("nap"), time.Second, dispatch.TimedOut}},
		"is given up":                  {"nap", plan.Dispatch{}, invocation{maxTime: time.Second}, "", invoked1{124, "", "error: nap: it was not done after 1s; it is cancelled\n" + hint("nap"), time.Second, dispatch.Cancelled}},
		"answers before it ends":       {"early", metadata, invocation{}, "", invoked1{0, "early", "execution the-id\nwaiting for the execution to end\n", 10 * time.Second, dispatch.Succeeded}},
		"is given up after its answer": {"early", metadata, invocation{maxTime: 3 * time.Second}, "", invoked1{0, "early", "execution the-id\nwaiting for the execution to end\n", 4 * time.Second, dispatch.Stopped}},
		"is no JSON":                   {"echo", plan.Dispatch{}, invocation{data: "{", given: true, contentType: jsonType}, "", invoked1{77, "", "error: echo: the body is no JSON, which its Content-Type application/json says it is: unexpected end of JSON input at byte 1\n", 0, ""}},
		"is too large":                 {"echo", plan.Dispatch{}, invocation{data: strings.Repeat("x", maxBody), given: true}, "", invoked1{77, "", "error: echo: the body is larger than 32 MiB\n", 0, ""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.dispatch.Name = tt.program
				tt.inv.method = http.MethodPost
				got := invokeInMemory(t, plan.Agent{Dispatch: tt.dispatch}, tt.inv, tt.output, t.Context())
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

// Whoever interrupts an invocation ends what it runs.
func TestInvocationInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		got := invokeInMemory(t, plan.Agent{Dispatch: plan.Dispatch{Name: "nap", Streaming: true}}, invocation{method: http.MethodPost}, "", ctx)
		want := invoked1{130, "begun ", "execution the-id\nerror: nap: interrupted; it is cancelled\nhint: `reconcile logs nap --execution the-id` shows what it wrote\n", 2 * time.Second, dispatch.Cancelled}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func TestInvocationHeaders(t *testing.T) {
	agent := plan.ID{Kind: plan.TaskAgent, Namespace: "lab", Name: "words"}
	for _, tt := range []struct {
		inv  invocation
		want string // METHOD URL TYPE BODY, or the error
	}{
		{invocation{contentType: jsonType}, "POST /agents/lab/words  "},
		{invocation{contentType: jsonType, data: "{}", given: true}, "POST /agents/lab/words application/json {}"},
		{invocation{contentType: jsonType, data: "", given: true}, "POST /agents/lab/words  "},
		{invocation{contentType: "a/b", typed: true}, "POST /agents/lab/words a/b "},
		{invocation{typed: true, data: "x", given: true}, "POST /agents/lab/words  x"},
		{invocation{contentType: jsonType, data: "x", given: true, headers: []string{"content-type: a/b"}}, "POST /agents/lab/words a/b x"},
		{invocation{contentType: jsonType, data: "-", given: true, path: "?q=1"}, "POST /agents/lab/words?q=1 application/json typed"},
		{invocation{contentType: jsonType, data: "@-", given: true, path: "a//b%2fc"}, "POST /agents/lab/words/a//b%2fc application/json typed"},
		{invocation{path: "/a b"}, `--path: "/a b" is no path of a URL`},
		{invocation{headers: []string{"x"}}, "--header: want NAME: VALUE"},
		{invocation{headers: []string{"x: a\nb"}}, "--header: want NAME: VALUE"},
		{invocation{trigger: "a\x01"}, `--trigger: "a\x01" is no value of a header`},
		{invocation{method: "a b"}, `--request: "a b" is no method of HTTP`},
	} {
		if tt.inv.method == "" {
			tt.inv.method = "post"
		}
		req, err := tt.inv.request(t.Context(), agent, strings.NewReader("typed"))
		got := ""
		if err != nil {
			if _, ok := errors.AsType[rejection](err); !ok {
				t.Errorf("%+v: %v is no rejection", tt.inv, err)
			}
			got = err.Error()
		} else {
			body, _ := io.ReadAll(req.Body)
			got = strings.Join([]string{req.Method, req.URL.RequestURI(), req.Header.Get("Content-Type"), string(body)}, " ")
			if id := req.Header.Get(dispatch.ExecutionHeader); len(id) != 36 {
				t.Errorf("%+v: the id is %q", tt.inv, id)
			}
		}
		if got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.inv, got, tt.want)
		}
	}
}

// Who waits for a workspace goes to the daemon that comes up, or has the workspace
// once it is free.
func TestInvocationWaits(t *testing.T) {
	for _, daemon := range []bool{true, false} {
		var said bytes.Buffer
		a := &app{std: stdio{err: &said}, stateDir: t.TempDir()}
		src := source{name: "acme", root: t.TempDir()}
		held, err := reconcile.TakeLock(a.workspaceDir("acme"), "acme", reconcile.Holder{PID: os.Getpid(), Command: "reconcile", Since: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		type result struct {
			lock *reconcile.Lock
			c    *control.Client
			err  error
		}
		got := make(chan result, 1)
		go func() {
			lock, c, err := a.awaitLock(t.Context(), src)
			got <- result{lock, c, err}
		}()
		if daemon {
			l, err := control.Listen(a.daemonSocket(src.root))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		} else if err := held.Release(); err != nil {
			t.Fatal(err)
		}
		switch r := <-got; {
		case r.err != nil || daemon != (r.c != nil) || daemon == (r.lock != nil):
			t.Errorf("daemon %v: got %+v", daemon, r)
		case r.lock != nil:
			if err := r.lock.Release(); err != nil {
				t.Error(err)
			}
		}
	}
}

// goneDoor is a daemon that ends while it is asked.
type goneDoor struct{}

func (goneDoor) Do(*http.Request) (*http.Response, error) {
	return nil, errors.New("ask the daemon: EOF")
}

// Whose daemon ends is told so, and by which name the execution is found.
func TestInvocationLosesItsDaemon(t *testing.T) {
	for output, want := range map[string]string{
		formatText: "error: cat: no answer came: ask the daemon: EOF\nhint: `reconcile logs cat --execution the-id` shows what it wrote\n",
		formatJSON: `{
  "format_version": "1.0",
  "agent": "taskagent/cat",
  "execution": "the-id",
  "outcome": "failed",
  "error": "no answer came: ask the daemon: EOF"
}
`,
	} {
		t.Run(output, func(t *testing.T) {
			var said bytes.Buffer
			a := &app{std: stdio{strings.NewReader(""), &said, &said}, output: output, color: "never"}
			id := plan.ID{Kind: plan.TaskAgent, Name: "cat"}
			inv := invocation{method: http.MethodPost, id: "the-id"}
			req, err := inv.request(t.Context(), id, a.std.in)
			if err != nil {
				t.Fatal(err)
			}
			err = (&outcome{app: a, agent: id}).take(t.Context(), goneDoor{}, req)
			if code := exitOf(err); code != plan.ExitFault {
				t.Errorf("exit code %d", code)
			}
			if diff := cmp.Diff(want, said.String()); diff != "" {
				t.Errorf("told (-want +got)\n%s", diff)
			}
		})
	}
}

// A damaged record keeps nobody from the agents that it is not of.
func TestInvocationBesideADamagedRecord(t *testing.T) {
	dir := t.TempDir()
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	spec := plan.Spec{Container: &plan.ContainerSpec{Image: "localhost/x:1"}}
	for _, name := range []string{"cat", "dog"} {
		id := plan.ID{Kind: plan.TaskAgent, Name: name}
		rev := plan.Revision{ID: id, Number: 1, Digest: spec.Digest(), Spec: spec}
		for _, r := range []plan.Record{rev.Record(), {ID: id, Kind: plan.RecordDispatch}} {
			if err := store.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "data", "records", "*cat*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("the records: %v %v", files, err)
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := reconcile.OpenArchive(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{}
	if agent, err := a.agentToInvoke(source{}, archive, "dog"); err != nil || agent.Revision.Number != 1 {
		t.Errorf("dog: %+v, %v", agent, err)
	}
	if _, err := a.agentToInvoke(source{}, archive, "cat"); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("cat: %v", err)
	}
}
