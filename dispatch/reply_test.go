// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// shown is what a client sees of an answer: status, headers by name, body.
func shown(t *testing.T, res *http.Response) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, res.StatusCode)
	for _, name := range []string{"Content-Type", "Content-Length", "Retry-After", "X-Clrk-Exit-Code", "X-Clrk-Execution-Id", "X-Reconcile-Error", "X-Reconcile-Hint"} {
		for _, v := range res.Header.Values(name) {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	body := text(t, res)
	fmt.Fprintf(&b, "\n%s", body)
	for _, name := range []string{"X-Clrk-Exit-Code", "X-Reconcile-Error"} {
		if v := res.Trailer.Get(name); v != "" {
			fmt.Fprintf(&b, "\n[%s: %s]", name, v)
		}
	}
	return b.String()
}

// What the client of an execution gets is this, and status has the same.
func TestReplies(t *testing.T) {
	const id = "X-Clrk-Execution-Id: x1\n"
	problem := func(code, text string) string {
		return `{"error":"a: ` + text + `","code":"` + code + `","agent":"default/a","execution":"x1"}` + "\n"
	}
	failure := func(status int, code, text string) string {
		return fmt.Sprintf("%d\nContent-Type: application/json\n", status) + id + "X-Reconcile-Error: " + code + "\n\n" + problem(code, text)
	}
	event := func(head, contentType, rest string) string {
		return head + `{"specversion":"1.0","id":"x1","source":"clrk://default/a","type":"dev.apoxy.clrk.taskagent.response","time":"` + epoch + `","datacontenttype":"` + contentType + `",` + rest + "}\n"
	}
	asEvent := []string{"Accept", "text/html, application/cloudevents+json;q=0.9"}
	metadata := func(a *plan.Agent) { a.Mode = plan.DeliverMetadata }
	streaming := func(a *plan.Agent) { a.Streaming = true }
	exit := func(code int) *int { return &code }
	for name, c := range map[string]struct {
		program dispatchtest.Program
		change  func(*plan.Agent)
		fault   string // the operation that fails
		header  []string
		want    string
		outcome dispatch.Execution // of it, what matters
	}{
		"success": {
			program: write("ok", 0),
			want:    "200\nContent-Type: application/octet-stream\nContent-Length: 2\n" + id + "\nok",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"nothing": {
			program: write("", 0),
			want:    "200\nContent-Type: application/octet-stream\nContent-Length: 0\n" + id + "\n",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"content type": {
			program: write("{}", 0),
			change:  func(a *plan.Agent) { a.ContentType = "application/json" },
			want:    "200\nContent-Type: application/json\nContent-Length: 2\n" + id + "\n{}",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"exit with body": {
			program: write("half", 9),
			want:    "500\nContent-Type: application/octet-stream\nContent-Length: 4\nX-Clrk-Exit-Code: 9\n" + id + "X-Reconcile-Error: exit\n\nhalf",
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(9), Status: 500, Reason: "it ended with status 9"},
		},
		"exit without body": {
			program: write("", 1),
			want:    "500\nContent-Type: text/plain; charset=utf-8\nX-Clrk-Exit-Code: 1\n" + id + "X-Reconcile-Error: exit\n\na: it ended with status 1\n",
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(1), Status: 500, Reason: "it ended with status 1"},
		},
		"create fails": {
			fault: "Create", want: failure(502, "failed", "create the container: no Create today"),
			outcome: dispatch.Execution{Outcome: dispatch.NotStarted, Status: 502, Reason: "create the container: no Create today"},
		},
		"attach fails": {
			fault: "Attach", want: failure(502, "failed", "attach to the container: no Attach today"),
			outcome: dispatch.Execution{Outcome: dispatch.NotStarted, Status: 502, Reason: "attach to the container: no Attach today"},
		},
		"start fails": {
			fault: "Start", want: failure(502, "failed", "start the container: no Start today"),
			outcome: dispatch.Execution{Outcome: dispatch.NotStarted, Status: 502, Reason: "start the container: no Start today"},
		},
		"no metadata service for who needs it": {
			fault: "Listen", change: metadata, want: failure(502, "failed", "the metadata service: no Listen today"),
			outcome: dispatch.Execution{Outcome: dispatch.NotStarted, Status: 502, Reason: "the metadata service: no Listen today"},
		},
		"no metadata service for who does not": {
			fault: "Listen", program: func(p *dispatchtest.Process) int {
				_, there := p.Env[dispatch.MetadataEnv]
				fmt.Fprint(p.Stdout, there)
				return 0
			},
			want:    "200\nContent-Type: application/octet-stream\nContent-Length: 5\n" + id + "\nfalse",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"timeout": {
			program: func(p *dispatchtest.Process) int { return nap(p, time.Hour) },
			want:    failure(504, "timeout", "it was not done after 1m40s"),
			outcome: dispatch.Execution{Outcome: dispatch.TimedOut, Exit: exit(143), Status: 504, Reason: "it was not done after 1m40s"},
		},
		"timeout of who is deaf": {
			program: func(p *dispatchtest.Process) int { <-p.Killed; return 0 },
			want:    failure(504, "timeout", "it was not done after 1m40s"),
			outcome: dispatch.Execution{Outcome: dispatch.TimedOut, Exit: exit(137), Status: 504, Reason: "it was not done after 1m40s"},
		},
		"never reads": {
			program: func(p *dispatchtest.Process) int { return nap(p, time.Second) },
			want:    "200\nContent-Type: application/octet-stream\nContent-Length: 6\n" + id + "\nrested",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"10 MB of stderr before reading": {
			program: dispatchtest.Programs()[dispatchtest.Flood],
			change:  func(a *plan.Agent) { a.ContentType = "text/plain" },
			header:  []string{"X-Probe", "length"},
			want:    "200\nContent-Type: text/plain\nContent-Length: 261\n" + id + "\n" + `{"specversion":"1.0","id":"x1","source":"clrk://default/a","type":"dev.apoxy.clrk.taskagent.invoke","time":"` + epoch + `","datacontenttype":"application/json",` + `"clrkrevision":"a-00001","httpmethod":"POST","httpurl":"/agents/default/a","httpquery":"","data":{}}` + "\n",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"too much": {
			program: func(p *dispatchtest.Process) int {
				for {
					if _, err := p.Stdout.Write(make([]byte, 1<<20)); err != nil {
						return 0
					}
					if nap(p, time.Millisecond) != 0 {
						return 143
					}
				}
			},
			want:    failure(502, "failed", "its output cannot be held: it is more than 4 MiB; with streaming.enabled it is sent as it is written"),
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(143), Status: 502, Reason: "its output cannot be held: it is more than 4 MiB; with streaming.enabled it is sent as it is written"},
		},
		"event": {
			program: write(`{"n":12345678901234567890}`, 0), header: asEvent,
			change:  func(a *plan.Agent) { a.ContentType = "application/json" },
			want:    event("200\nContent-Type: application/cloudevents+json\n"+id+"\n", "application/json", `"clrkexitcode":0,"clrkrevision":"a-00001","data":{"n":12345678901234567890}`),
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"event of what is no JSON": {
			program: write(`{"n":`, 0), header: asEvent,
			change:  func(a *plan.Agent) { a.ContentType = "application/json" },
			want:    event("200\nContent-Type: application/cloudevents+json\n"+id+"\n", "application/json", `"clrkexitcode":0,"clrkrevision":"a-00001","data_base64":"eyJuIjo="`),
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"event of a failure": {
			program: write("", 2), header: asEvent,
			want: event("500\nContent-Type: application/cloudevents+json\nX-Clrk-Exit-Code: 2\n"+id+"X-Reconcile-Error: exit\n\n", "application/json",
				`"clrkexitcode":2,"clrkrevision":"a-00001","data":{"error":"a: it ended with status 2","code":"exit","agent":"default/a","execution":"x1"}`),
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(2), Status: 500, Reason: "it ended with status 2"},
		},
		"streamed": {
			program: write("ok", 0), change: streaming,
			want:    "200\nContent-Type: application/octet-stream\n" + id + "\nok\n[X-Clrk-Exit-Code: 0]",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"streamed failure": {
			program: write("half", 9), change: streaming,
			want:    "200\nContent-Type: application/octet-stream\n" + id + "\nhalf\n[X-Clrk-Exit-Code: 9]\n[X-Reconcile-Error: exit]",
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(9), Status: 200, Reason: "it ended with status 9"},
		},
		"streamed timeout": {
			program: func(p *dispatchtest.Process) int {
				_, _ = io.WriteString(p.Stdout, "half")
				return nap(p, time.Hour)
			},
			change:  streaming,
			want:    "200\nContent-Type: application/octet-stream\n" + id + "\nhalf\n[X-Clrk-Exit-Code: 143]\n[X-Reconcile-Error: timeout]",
			outcome: dispatch.Execution{Outcome: dispatch.TimedOut, Exit: exit(143), Status: 200, Reason: "it was not done after 1m40s"},
		},
		"streamed, not started": {
			fault: "Start", change: streaming, want: failure(502, "failed", "start the container: no Start today"),
			outcome: dispatch.Execution{Outcome: dispatch.NotStarted, Status: 502, Reason: "start the container: no Start today"},
		},
		"streamed event is whole": {
			program: write("ok", 0), header: asEvent,
			change:  func(a *plan.Agent) { a.Streaming, a.ContentType = true, "text/plain" },
			want:    event("200\nContent-Type: application/cloudevents+json\n"+id+"\n", "text/plain", `"clrkexitcode":0,"clrkrevision":"a-00001","data":"ok"`),
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"posted": {
			program: func(p *dispatchtest.Process) int { return post(p, "text/x", "posted") }, change: metadata,
			want:    "200\nContent-Type: text/x\nContent-Length: 6\n" + id + "\nposted",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"posted without type": {
			program: func(p *dispatchtest.Process) int { return post(p, "", "posted") }, change: metadata,
			want:    "200\nContent-Type: application/octet-stream\nContent-Length: 6\n" + id + "\nposted",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"posted, then failed": {
			program: func(p *dispatchtest.Process) int { post(p, "text/x", "posted"); return 5 }, change: metadata,
			want:    "200\nContent-Type: text/x\nContent-Length: 6\n" + id + "\nposted",
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(5), Status: 200, Reason: "it ended with status 5"},
		},
		"posted, as event": {
			program: func(p *dispatchtest.Process) int { return post(p, "text/x", "posted") }, change: metadata, header: asEvent,
			want:    event("200\nContent-Type: application/cloudevents+json\n"+id+"\n", "text/x", `"clrkrevision":"a-00001","data":"posted"`),
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"posted, streamed": {
			program: func(p *dispatchtest.Process) int { return post(p, "text/x", "posted") },
			change:  func(a *plan.Agent) { a.Mode, a.Streaming = plan.DeliverMetadata, true },
			want:    "200\nContent-Type: text/x\n" + id + "\nposted",
			outcome: dispatch.Execution{Outcome: dispatch.Succeeded, Exit: exit(0), Status: 200},
		},
		"not posted": {
			program: write("stdout is not it", 0), change: metadata,
			want:    failure(502, "failed", "it ended without a POST of its reply"),
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(0), Status: 502, Reason: "it ended without a POST of its reply"},
		},
		"not posted, and failed": {
			program: write("stdout is not it", 1), change: metadata,
			want:    "500\nContent-Type: text/plain; charset=utf-8\nX-Clrk-Exit-Code: 1\n" + id + "X-Reconcile-Error: exit\n\na: it ended with status 1\n",
			outcome: dispatch.Execution{Outcome: dispatch.Failed, Exit: exit(1), Status: 500, Reason: "it ended with status 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(o *dispatch.DispatcherOptions) { o.MaxReply = 4 << 20 })
				synctest.Wait()
				l.mem.Programs["a"] = c.program
				if c.program == nil {
					l.mem.Programs["a"] = write("", 0)
				}
				l.mem.Fault = func(op string, _ plan.Launch) error {
					if op == c.fault {
						return errors.New("no " + op + " today")
					}
					return nil
				}
				a := agent("a", "a")
				if c.change != nil {
					c.change(&a)
				}
				l.set(a)
				synctest.Wait()
				got := shown(t, l.do(request("POST", "a", "{}", slices.Concat([]string{"Content-Type", "application/json", dispatch.ExecutionHeader, "x1"}, c.header)...)))
				want := strings.Replace(c.want, "Content-Length: 261\n", fmt.Sprintf("Content-Length: %d\n", len(c.want)-strings.Index(c.want, "\n{")-1), 1)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("answer (-want +got)\n%s", diff)
				}
				time.Sleep(time.Minute) // of what goes on without its client
				synctest.Wait()
				last := l.last("a")
				last = dispatch.Execution{Outcome: last.Outcome, Exit: last.Exit, Status: last.Status, Reason: last.Reason}
				if diff := cmp.Diff(c.outcome, last); diff != "" {
					t.Errorf("status (-want +got)\n%s", diff)
				}
				if s := l.status("a"); s.InFlight != 0 || len(s.InUse) > 0 || len(l.mem.Left()) > 0 {
					t.Errorf("left: %+v, containers %v", s, l.mem.Left())
				}
			})
		})
	}
}

// write is a program that writes, and ends.
func write(text string, code int) dispatchtest.Program {
	return func(p *dispatchtest.Process) int {
		_, _ = io.WriteString(p.Stdout, text)
		return code
	}
}

// What is no execution is answered by this, and makes no container.
func TestRejections(t *testing.T) {
	big := strings.Repeat("x", 33<<20)
	post := func(path string, header ...string) *http.Request {
		req := httptest.NewRequest("POST", path, nil)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Add(header[i], header[i+1])
		}
		return req
	}
	body := func(text string, header ...string) *http.Request { return request("POST", "a", text, header...) }
	chunked := body(big, "Content-Type", "text/plain")
	chunked.ContentLength = -1
	late := body("x")
	late.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), cut{}))
	late.ContentLength = -1
	for name, c := range map[string]struct {
		req    *http.Request
		change func(*plan.Agent)
		used   int64
		want   string // status, code, a part of the text
		retry  string
	}{
		"no header":             {req: post("/"), want: "400 bad-request want one header X-Clrk-TaskAgent"},
		"empty header":          {req: post("/", "X-Clrk-TaskAgent", ""), want: "400 bad-request want one header"},
		"two headers":           {req: post("/", "X-Clrk-TaskAgent", "default/a", "X-Clrk-TaskAgent", "default/b"), want: "400 bad-request want one header"},
		"header without /":      {req: post("/", "X-Clrk-TaskAgent", "a"), want: "400 bad-request want NAMESPACE/NAME"},
		"header with two /":     {req: post("/", "X-Clrk-TaskAgent", "default/a/b"), want: "400 bad-request want NAMESPACE/NAME"},
		"header with no name":   {req: post("/", "X-Clrk-TaskAgent", "default/"), want: "400 bad-request want NAMESPACE/NAME"},
		"header with controls":  {req: post("/", "X-Clrk-TaskAgent", "default/a\x01"), want: "400 bad-request want NAMESPACE/NAME"},
		"path without name":     {req: post("/agents/default"), want: "400 bad-request want the path"},
		"path with no name":     {req: post("/agents/default/"), want: "400 bad-request want NAMESPACE/NAME"},
		"path with ..":          {req: post("/agents/default/%2e%2e%2fa"), want: "400 bad-request want NAMESPACE/NAME"},
		"path before header":    {req: post("/agents/default/b", "X-Clrk-TaskAgent", "default/a"), want: "404 unknown-agent there is no TaskAgent default/b"},
		"unknown":               {req: post("/", "X-Clrk-TaskAgent", "other/a"), want: "404 unknown-agent there is no TaskAgent other/a"},
		"malformed JSON":        {req: body(`{"a":1,}`, "Content-Type", "application/json"), want: `400 bad-request the body is no JSON, which its Content-Type application/json says it is: invalid character '}' looking for beginning of object key string at byte 8`},
		"two JSONs":             {req: body(`{} {}`, "Content-Type", "application/json"), want: "400 bad-request the body is no JSON"},
		"blank JSON":            {req: body(" ", "Content-Type", "application/x+json"), want: "400 bad-request the body is no JSON"},
		"JSON not UTF-8":        {req: body("\"\xff\"", "Content-Type", "application/json"), want: "400 bad-request the body is no JSON, which its Content-Type application/json says it is: it is not UTF-8"},
		"JSON with BOM":         {req: body("\ufeff{}", "Content-Type", "application/json"), want: "400 bad-request the body is no JSON"},
		"33 MiB":                {req: body(big, "Content-Type", "text/plain"), want: "413 too-large the body is larger than 32 MiB"},
		"33 MiB in chunks":      {req: chunked, want: "413 too-large the body is larger than 32 MiB"},
		"body that is cut":      {req: late, want: "400 bad-request read the body: unexpected EOF"},
		"id with space":         {req: body("", dispatch.ExecutionHeader, "a b"), want: "400 bad-request X-Clrk-Execution-ID"},
		"long id":               {req: body("", dispatch.ExecutionHeader, strings.Repeat("a", 129)), want: "400 bad-request X-Clrk-Execution-ID"},
		"trigger with controls": {req: body("", "X-Clrk-Trigger", "a\x1bb"), want: "400 bad-request X-Clrk-Trigger: it is no UTF-8, or has control characters in it"},
		"attribute, escaped":    {req: body("", "ce-x", "a%0ab"), want: "400 bad-request ce-x: it is no UTF-8, or has control characters in it"},
		"attribute not UTF-8":   {req: body("", "ce-x", "a\xff"), want: "400 bad-request ce-x: it is no UTF-8"},
		"attributes":            {req: body("", "ce-z", "\xff", "ce-y", "a%0ab", "ce-x", "%00", "Content-Type", "a/b"), want: "400 bad-request ce-x: it is no UTF-8"},
		"attributes, and more":  {req: body("", "ce-x", "\xff", "X-Clrk-Trigger", "a\x1bb", "Content-Type", "a/b\x7f"), want: "400 bad-request X-Clrk-Trigger: it is no UTF-8"},
		"type with controls":    {req: body("x", "Content-Type", "a/b\x7f"), want: "400 bad-request Content-Type: it is no UTF-8"},
		"not ready":             {req: body(""), change: func(a *plan.Agent) { a.Revision = plan.Revision{} }, want: "503 not-ready a has no revision that is ready", retry: "1"},
		"stopped":               {req: body(""), change: func(a *plan.Agent) { a.Stopped = true }, want: "503 not-ready a is stopped", retry: "1"},
		"state":                 {req: body(""), change: func(a *plan.Agent) { a.StateVolume, a.StateLimit = "state", 100 }, used: 101, want: "507 state-full the volume state holds 101 bytes, and state.sizeLimitMB allows 100"},
		"state as large as may": {req: body(""), change: func(a *plan.Agent) { a.StateVolume, a.StateLimit = "state", 100 }, used: 100, want: "200"},
		"header with port":      {req: post("/x", "X-Clrk-TaskAgent", "default/a"), want: "200"},
		"path below":            {req: post("/agents/default/a/b/../c"), want: "200"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, nil)
				l.mem.Fill("state", c.used)
				made := 0
				l.mem.Created = func(plan.Launch) { made++ }
				a := agent("a", "ok")
				if c.change != nil {
					c.change(&a)
				}
				l.set(a)
				synctest.Wait()
				res := l.do(c.req)
				got := strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", res.Header.Get(dispatch.ErrorHeader), " ", text(t, res)))
				status, rest, _ := strings.Cut(c.want, " ")
				code, said, _ := strings.Cut(rest, " ")
				if !strings.HasPrefix(got, status+" "+code) || !strings.Contains(got, said) || res.Header.Get("Retry-After") != c.retry {
					t.Errorf("got %s (Retry-After %q), want %s", got, res.Header.Get("Retry-After"), c.want)
				}
				synctest.Wait()
				if rejected := status != "200"; rejected && made > 0 || rejected && len(l.status("a").Executions) > 0 || l.status("a").InFlight != 0 {
					t.Errorf("%d containers, %+v", made, l.status("a"))
				}
			})
		})
	}
}

// cut is a body whose client has gone.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
