// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// A pass for somebody else's flags would converge something else.
func TestDaemonRefusesOtherFlags(t *testing.T) {
	daemon := &app{vars: []string{"LEVEL=debug"}, profile: "prod", policyFile: "/etc/policy.yaml", verify: verifyOff}
	for name, c := range map[string]struct {
		client *app
		want   string // the flags that differ
	}{
		"none given":       {&app{verify: verifyOff}, ""},
		"all the same":     {&app{vars: []string{"LEVEL=debug"}, profile: "prod", policyFile: "/etc/policy.yaml", verify: verifyOff}, ""},
		"another variable": {&app{vars: []string{"LEVEL=info"}, verify: verifyOff}, "--var LEVEL"},
		"one more":         {&app{vars: []string{"OTHER=x", "LEVEL=debug"}, verify: verifyOff}, "--var OTHER"},
		"another profile":  {&app{profile: "dev", verify: verifyOff}, "--profile"},
		"several":          {&app{profile: "dev", secretsDir: "/s", podman: "unix:///p", verify: verifyOff, locked: true}, "--locked, --podman, --profile, --secrets-dir"},
		"hooks":            {&app{hostHooks: "deny", verify: verifyOff}, "--host-hooks"},
		"signatures":       {&app{verify: verifySigned, allowedSigners: []string{"/k"}}, "--allowed-signers, --verify"},
	} {
		t.Run(name, func(t *testing.T) {
			settings, err := c.client.settings()
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range settings {
				if len(v) != 64 {
					t.Errorf("%s goes over the socket as %q", k, v)
				}
			}
			err = daemon.refuses(settings)
			no, refused := errors.AsType[*control.Refusal](err)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (!refused || no.Code != plan.ExitFault || !strings.Contains(no.Text, "without this "+c.want+";")):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func testDaemon(t *testing.T) (*daemon, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	store, fault := reconcile.OpenStore(t.TempDir(), false)
	if fault != nil {
		t.Fatal(fault)
	}
	var out, err bytes.Buffer
	a := &app{std: stdio{out: &out, err: &err}, lookupEnv: func(string) (string, bool) { return "", false }, color: "never", output: "text"}
	first := plan.Options{Adopt: true}
	d := &daemon{app: a, name: "acme", journal: &journal{view: newPassView(a)}, first: &first, grants: []*plan.Options{&first}, systemd: &sdNotify{}, thrift: &thrift{}}
	d.store = recordingStore{store, &d.agents}
	d.metrics = newMetrics(gauges{instances: d.instances, sources: func() []sourceAge { return nil }, agents: d.agents.loads})
	return d, &out, &err
}

// What is granted on the command line holds until the first pass that could be
// made has ended, and what a command grants for as long as it waits.
func TestGrants(t *testing.T) {
	d, _, _ := testDaemon(t)
	has := func(want plan.Options) {
		t.Helper()
		if diff := cmp.Diff(want, d.planOptions()); diff != "" {
			t.Errorf("options (-want +got)\n%s", diff)
		}
	}
	has(plan.Options{Adopt: true})
	d.ended(reconcile.PassRecord{}, reconcile.PassResult{Err: errors.New("no Podman")}, reconcile.Loaded{})
	d.ended(reconcile.PassRecord{}, reconcile.PassResult{}, reconcile.Loaded{Fatal: true})
	has(plan.Options{Adopt: true})
	_, done := d.attend(newPassView(d.app), plan.Options{AllowMassDelete: true})
	has(plan.Options{Adopt: true, AllowMassDelete: true})
	d.ended(reconcile.PassRecord{Result: reconcile.ResultUnchanged}, reconcile.PassResult{}, reconcile.Loaded{})
	has(plan.Options{AllowMassDelete: true})
	done()
	has(plan.Options{})
}

// The journal shows what did or says something new, once.
func TestJournal(t *testing.T) {
	d, out, said := testDaemon(t)
	e := endedPass{rec: reconcile.PassRecord{Causes: []reconcile.Cause{reconcile.CauseStart}, Result: reconcile.ResultUnchanged}}
	j := d.journal
	j.ended(e)
	j.ended(e)
	e.rec.Number, e.rec.Result, e.rec.ExitCode = 7, reconcile.ResultFailed, plan.ExitFault
	e.rec.Causes = []reconcile.Cause{reconcile.CauseEdit, reconcile.CausePoll}
	e.rec.Revision = "0123456789abcdef0123+dirty"
	e.res.Err = errors.New("list containers:\n\x1b[31mrefused")
	j.ended(e)
	if diff := cmp.Diff("pass (start): unchanged\n"+
		"pass 7 (edit,poll), revision 0123456789ab+dirty: failed\n"+
		"error: list containers:\n\\u{1b}[31mrefused\n", said.String()); diff != "" {
		t.Errorf("stderr (-want +got)\n%s", diff)
	}
	if out.Len() > 0 {
		t.Errorf("stdout: %s", out)
	}

	j.json = true
	e.rec.Errors = []string{"x\u202e"}
	j.ended(e)
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"errors":["x\u202e"]`) || !strings.Contains(got, `"number":7`) {
		t.Errorf("JSON: %s", got)
	}
}

func TestReadiness(t *testing.T) {
	bad := schema.Diagnostics{
		{Severity: schema.Warning, Summary: "odd", Pos: schema.ParsePos("a.yaml:1:1")},
		{Severity: schema.Error, Summary: "wrong", Detail: "because", Pos: schema.ParsePos("a.yaml:2:3")},
		{Severity: schema.Error, Summary: "wrong too", Pos: schema.ParsePos("a.yaml:4:5")},
	}
	for name, c := range map[string]struct {
		e    endedPass
		want string
	}{
		"fine":       {endedPass{}, ""},
		"warnings":   {endedPass{loaded: reconcile.Loaded{Diagnostics: bad[:1]}}, ""},
		"errors":     {endedPass{loaded: reconcile.Loaded{Diagnostics: bad}}, "a.yaml:2:3: error: wrong: because (and 1 more)"},
		"fatal":      {endedPass{loaded: reconcile.Loaded{Diagnostics: bad[1:2], Fatal: true}}, "a.yaml:2:3: error: wrong: because"},
		"not looked": {endedPass{res: reconcile.PassResult{Err: errors.New("no Podman")}}, "no Podman"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errorText(notReady(c.e)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What a workspace is called is fixed while a daemon runs.
func TestKeepName(t *testing.T) {
	d, _, _ := testDaemon(t)
	same := reconcile.Loaded{Desired: plan.Desired{Workspace: "acme"}}
	d.keepName(&same)
	if same.Fatal || len(same.Diagnostics) > 0 {
		t.Errorf("the same name: %+v", same)
	}
	other := reconcile.Loaded{Desired: plan.Desired{Workspace: "other", Source: "workspace.yaml:3:12"}}
	d.keepName(&other)
	if !other.Fatal || other.Desired.Workspace != "acme" || len(other.Diagnostics) != 1 ||
		!strings.HasPrefix(other.Diagnostics[0].String(), "workspace.yaml:3:12: error: workspace was renamed\n") {
		t.Errorf("another name: %+v", other)
	}
}

// The first part that fails ends all, and is why.
func TestGroup(t *testing.T) {
	g := newGroup(t.Context())
	ended := make(chan struct{})
	g.run("patient", func(ctx context.Context) error {
		<-ctx.Done()
		close(ended)
		return errors.New("late")
	})
	g.run("broken", func(context.Context) error { return io.ErrUnexpectedEOF })
	<-ended
	g.end()
	if err := g.failure(); err == nil || err.Error() != "broken: unexpected EOF" {
		t.Errorf("failure: %v", err)
	}

	told := newGroup(t.Context())
	told.run("fine", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	told.end()
	if err := told.failure(); err != nil {
		t.Errorf("told to end: %v", err)
	}
}

// A server ends with its group, requests under way after a moment.
func TestServeOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGroup(t.Context())
	began := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		time.Sleep(20 * time.Millisecond)
		io.WriteString(w, "done")
	})}
	serveOn(g, "test", srv, l)
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-began
	g.end()
	if got := <-answer; got != "done" {
		t.Errorf("the request under way got %q", got)
	}
	if err := g.failure(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

func TestHistoryLines(t *testing.T) {
	id := func(name string) plan.ID { return plan.ID{Kind: plan.Manifest, Name: name} }
	change := func(name string, action plan.Action, done bool) reconcile.PassChange {
		return reconcile.PassChange{ID: id(name), Action: action, Done: done}
	}
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	passes := []reconcile.PassRecord{
		{
			Number: 3, Began: began, Ended: began.Add(1540 * time.Millisecond), Causes: []reconcile.Cause{reconcile.CausePush}, Revision: "0123456789abcdef",
			Result: reconcile.ResultFailed, Errors: []string{"start web: no \x1b"},
			Changes: []reconcile.PassChange{change("web", plan.ActionReplace, false), change("api", plan.ActionCreate, true), change("db", plan.ActionStart, true)},
		},
		{Number: 2, Began: began, Ended: began.Add(12 * time.Millisecond), Causes: []reconcile.Cause{reconcile.CauseEdit, reconcile.CausePoll}, Result: reconcile.ResultUnchanged},
	}
	d, out, _ := testDaemon(t)
	d.app.printHistory(passes)
	want := `PASS  BEGAN                TOOK  REVISION      CAUSE      RESULT     WHAT
3     2026-01-02 03:04:05  1.5s  0123456789ab  push       failed     replace of manifest/web not done; created manifest/api; 1 more; start web: no \u{1b}
2     2026-01-02 03:04:05  12ms  -             edit,poll  unchanged
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("history (-want +got)\n%s", diff)
	}
	of, err := passesOf("db", nil, passes)
	if err != nil || len(of) != 1 || len(of[0].Changes) != 1 || of[0].Number != 3 {
		t.Errorf("of db: %+v, %v", of, err)
	}
	if len(passes[0].Changes) != 3 {
		t.Error("the records were changed")
	}
	idle := []plan.ID{{Kind: plan.TaskAgent, Name: "idle"}}
	if none, err := passesOf("idle", idle, passes); err != nil || len(none) != 0 {
		t.Errorf("of one that no pass has changed there is %v, %v", none, err)
	}
	if _, err := passesOf("nobody", idle, passes); err == nil {
		t.Error("nobody was found")
	}
}
