// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// lab is a dispatcher over a runtime in memory.
type lab struct {
	t       *testing.T
	mem     *dispatchtest.Memory
	d       *dispatch.Dispatcher
	dir     string // of the journal
	journal dispatch.Journal
	agents  map[string]plan.Agent
	stop    func() // ends the dispatcher, and waits for it
	wg      sync.WaitGroup
}

// programs are what agents can run in tests, beside those of the suite.
func programs() map[string]dispatchtest.Program {
	p := dispatchtest.Programs()
	p["ok"] = func(p *dispatchtest.Process) int { _, _ = io.WriteString(p.Stdout, "ok"); return 0 }
	p["fail"] = func(p *dispatchtest.Process) int { _, _ = io.WriteString(p.Stdout, "half"); return 9 }
	p["silent"] = func(*dispatchtest.Process) int { return 0 }
	p["rev"] = func(p *dispatchtest.Process) int { _, _ = io.WriteString(p.Stdout, p.Launch.Revision); return 0 }
	p["nap"] = func(p *dispatchtest.Process) int { return nap(p, 10*time.Second) }
	p["structured"] = func(p *dispatchtest.Process) int {
		res, err := p.Request("GET", p.Env[dispatch.MetadataEnv]+"/event", "", nil, "Accept", "application/cloudevents+json")
		if err != nil {
			return 1
		}
		return post(p, "text/plain", res.Body)
	}
	return p
}

// nap sleeps, unless it is killed.
func nap(p *dispatchtest.Process, d time.Duration) int {
	select {
	case <-time.After(d):
		_, _ = io.WriteString(p.Stdout, "rested")
	case <-p.Terminated:
		return 143
	case <-p.Killed:
	}
	return 0
}

// post sends a reply, and ends with status 0 when it is taken.
func post(p *dispatchtest.Process, contentType, body string) int {
	res, err := p.Request("POST", p.Env[dispatch.MetadataEnv]+"/response", contentType, strings.NewReader(body))
	if err != nil || res.Status != http.StatusNoContent {
		return 1
	}
	return 0
}

// newLab starts a dispatcher. It is ended with the test.
func newLab(t *testing.T, change func(*dispatch.DispatcherOptions)) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), mem: &dispatchtest.Memory{Programs: programs()}, agents: map[string]plan.Agent{}}
	l.open(change)
	t.Cleanup(l.mem.Close)
	t.Cleanup(func() { l.stop(); l.wg.Wait() })
	return l
}

// open starts another dispatcher over the same runtime and journal.
func (l *lab) open(change func(*dispatch.DispatcherOptions)) {
	opt := dispatch.DispatcherOptions{
		Runtime: l.mem, Journal: dispatch.OpenFolder(l.dir), Scratch: l.t.TempDir(),
		Log: slog.New(slog.NewTextHandler(l.t.Output(), nil)),
	}
	if change != nil {
		change(&opt)
	}
	l.journal = opt.Journal
	l.d = dispatch.NewDispatcher(opt)
	l.stop = l.run()
}

// run runs the dispatcher until the result is called.
func (l *lab) run() func() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	d := l.d
	go func() { _ = d.Run(ctx); close(ended) }()
	return sync.OnceFunc(func() { cancel(); <-ended })
}

// agent is one that runs a program, at revision 1.
func agent(name, program string) plan.Agent {
	return plan.Agent{
		ID:       plan.ID{Kind: plan.TaskAgent, Name: name},
		Dispatch: plan.Dispatch{Mode: plan.DeliverStdin, Name: "acme-run-" + name, Timeout: 100 * time.Second, Warm: plan.WarmPool{TTL: 10 * time.Minute}},
		Revision: revision(name, 1, program),
	}
}

func revision(name string, number int, program string) plan.Revision {
	spec := plan.Spec{Container: &plan.ContainerSpec{
		Image: "localhost/" + name + ":1", Network: "acme", Main: plan.Process{Command: []string{program}},
	}}
	return plan.Revision{ID: plan.ID{Kind: plan.TaskAgent, Name: name}, Number: number, Digest: fmt.Sprint("sha256:", number, program), Spec: spec}
}

// set says which agents there are, beside those that were set before.
func (l *lab) set(agents ...plan.Agent) {
	for _, a := range agents {
		l.agents[a.ID.String()] = a
	}
	var all []plan.Agent
	for _, a := range l.agents {
		all = append(all, a)
	}
	l.d.Set(all)
}

// request is one for an agent in the default namespace.
func request(method, name, body string, header ...string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, "/agents/default/"+name, r)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// do has a request answered.
func (l *lab) do(req *http.Request) *http.Response {
	w := httptest.NewRecorder()
	l.d.ServeHTTP(w, req)
	return w.Result()
}

// call is a request that is under way.
type call struct {
	res    *http.Response
	at     time.Time // when it was answered as a whole
	cut    bool      // its answer is not whole
	cancel context.CancelFunc
	done   chan struct{}
}

// begin sends a request.
func (l *lab) begin(req *http.Request) *call {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{done: make(chan struct{}), cancel: cancel}
	l.wg.Go(func() {
		defer close(c.done)
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler:
				c.cut = true
			default:
				panic(cause)
			}
		}()
		c.res = l.do(req.WithContext(ctx))
		c.at = time.Now()
	})
	return c
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func (l *lab) status(name string) dispatch.AgentStatus {
	l.t.Helper()
	s, ok := l.d.Status(plan.ID{Kind: plan.TaskAgent, Name: name})
	if !ok {
		l.t.Fatalf("there is no agent %s", name)
	}
	return s
}

// last is the execution of an agent that was accepted last.
func (l *lab) last(name string) dispatch.Execution {
	l.t.Helper()
	s := l.status(name)
	if len(s.Executions) == 0 {
		l.t.Fatalf("%s has no execution", name)
	}
	return s.Executions[0]
}
