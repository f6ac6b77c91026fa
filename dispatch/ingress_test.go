// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// patience is for what must happen and has no time of its own.
const patience = 20 * time.Second

// serverDeadline is shorter than what executions take here.
const serverDeadline = 300 * time.Millisecond

// serve puts a lab behind a real server with deadlines of its own.
func serve(t *testing.T, within time.Duration) (*lab, *httptest.Server) {
	t.Helper()
	l := newLab(t, nil)
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	}
	s := httptest.NewUnstartedServer(dispatch.Ingress{System: named("system"), Router: named("router"), Agents: l.d})
	s.Config.ReadTimeout, s.Config.WriteTimeout = within, within
	s.Config.ReadHeaderTimeout, s.Config.IdleTimeout = patience, patience
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return l, s
}

// ready waits until requests are taken.
func (l *lab) ready() {
	l.t.Helper()
	select {
	case <-l.d.Opened():
	case <-time.After(patience):
		l.t.Fatal("the dispatcher does not open")
	}
}

func send(t *testing.T, method, url string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestIngress(t *testing.T) {
	l, s := serve(t, patience)
	l.set(agent("a", "ok"))
	l.ready()
	const header = "X-Clrk-TaskAgent"
	for _, c := range []struct{ method, path, agent, want string }{
		{"GET", "/healthz", "default/a", "200 system"},
		{"GET", "/readyz", "", "200 system"},
		{"GET", "/metrics", "default/a", "200 system"},
		{"POST", "/healthz", "default/a", "200 system"},
		{"GET", "/mcps", "default/a", "200 router"},
		{"GET", "/mcps/", "default/a", "200 router"},
		{"GET", "/mcps/agents/default/a", "default/a", "200 router"},
		{"GET", "/agents/default/b", "default/a", "404"},
		{"GET", "/agents/default/a", "", "200 ok"},
		{"DELETE", "/agents/default/a/", "", "200 ok"},
		{"POST", "/agents/default/a/healthz", "", "200 ok"},
		{"POST", "/agents/", "default/a", "400"},
		{"POST", "/agents", "default/a", "200 ok"},
		{"POST", "/agents", "", "400"},
		{"POST", "/", "default/a", "200 ok"},
		{"POST", "/healthz/", "default/a", "200 ok"},
		{"POST", "/mcpsx", "default/a", "200 ok"},
		{"POST", "/any/path/../at//all", "default/a", "200 ok"},
		{"POST", "/", "", "400"},
		{"POST", "/", "a", "400"},
		{"POST", "/", "default/unknown", "404"},
	} {
		var h []string
		if c.agent != "" {
			h = []string{header, c.agent}
		}
		res := send(t, c.method, s.URL+c.path, nil, h...)
		got := fmt.Sprint(res.StatusCode, " ", text(t, res))
		if res.StatusCode >= 400 {
			got = fmt.Sprint(res.StatusCode)
		}
		if got != c.want {
			t.Errorf("%s %s for %q: %s, want %s", c.method, c.path, c.agent, got, c.want)
		}
	}
}

// A reply that is streamed comes as it is written, and long after the deadlines of
// the server; a client that is slow keeps nobody waiting.
func TestStreaming(t *testing.T) {
	l, s := serve(t, serverDeadline)
	next := make(chan struct{})
	const large = 20 << 20
	l.mem.Programs["steps"] = func(p *dispatchtest.Process) int {
		for i := range 3 {
			fmt.Fprintf(p.Stdout, "step %d\n", i)
			select {
			case <-next:
			case <-p.Killed:
				return 0
			}
		}
		return 5
	}
	l.mem.Programs["large"] = func(p *dispatchtest.Process) int {
		_, _ = p.Stdout.Write(noise(large))
		next <- struct{}{}
		return 0
	}
	steps, big := agent("steps", "steps"), agent("large", "large")
	steps.Streaming, steps.ContentType, big.Streaming = true, "text/plain", true
	l.set(steps, big)
	l.ready()
	res := send(t, "POST", s.URL+"/agents/default/steps", nil)
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprint("step ", i) {
			t.Fatalf("step %d: %q, %v", i, lines.Text(), lines.Err())
		}
		time.Sleep(serverDeadline)
		next <- struct{}{}
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("then %q, %v", lines.Text(), lines.Err())
	}
	if res.StatusCode != 200 || res.Trailer.Get("X-Clrk-Exit-Code") != "5" || res.Header.Get("Content-Type") != "text/plain" || res.Header.Get("X-Clrk-Exit-Code") != "" {
		t.Errorf("%s %v, trailer %v", res.Status, res.Header, res.Trailer)
	}
	res = send(t, "POST", s.URL+"/agents/default/large", nil)
	<-next // the process is done before anything is read
	if b, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(b, noise(large)) || res.Trailer.Get("X-Clrk-Exit-Code") != "0" {
		t.Errorf("%d bytes, %v, trailer %v", len(b), err, res.Trailer)
	}
}

func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// What a client gets by HTTP is whole, whatever its size, and takes the time of its
// execution, not that of the server.
func TestLargeReplies(t *testing.T) {
	l, s := serve(t, serverDeadline)
	const size = 30 << 20
	l.mem.Programs["echo"] = func(p *dispatchtest.Process) int {
		time.Sleep(2 * serverDeadline)
		res, err := p.Request("GET", p.Env["CLRK_METADATA_URL"]+"/event", "", nil)
		if err != nil {
			return 1
		}
		_, _ = io.WriteString(p.Stdout, res.Body)
		return 0
	}
	l.set(agent("echo", "echo"))
	l.ready()
	for _, chunked := range []bool{false, true} {
		var body io.Reader = bytes.NewReader(noise(size))
		if chunked {
			body = io.MultiReader(body)
		}
		res := send(t, "POST", s.URL+"/agents/default/echo", body, "Content-Type", "image/png")
		if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || !bytes.Equal(b, noise(size)) {
			t.Errorf("chunked %v: %s, %d bytes, %v", chunked, res.Status, len(b), err)
		}
	}
	// The reply of one that is too large comes although not all was sent.
	res := send(t, "POST", s.URL+"/agents/default/echo", bytes.NewReader(noise(33<<20)))
	if res.StatusCode != 413 {
		t.Errorf("33 MiB: %s", res.Status)
	}
}

// A client that closes its connection cancels its run.
func TestClientCloses(t *testing.T) {
	l, s := serve(t, patience)
	entered, told := make(chan struct{}), make(chan struct{})
	l.mem.Programs["waits"] = func(p *dispatchtest.Process) int {
		_, _ = io.ReadAll(p.Stdin)
		entered <- struct{}{}
		select {
		case <-p.Terminated:
			close(told)
		case <-time.After(patience):
		}
		return 143
	}
	l.set(agent("a", "waits"))
	l.ready()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/agents/default/a", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := s.Client().Do(req); err == nil {
			res.Body.Close()
			t.Error("there was an answer")
		}
	}()
	<-entered
	cancel()
	<-done
	select {
	case <-told:
	case <-time.After(patience):
		t.Fatal("the run goes on without its client")
	}
	for end := time.Now().Add(patience); l.last("a").Outcome != dispatch.Cancelled; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", l.last("a"))
		}
	}
}

// The server lets no header with control characters come this far.
func TestControlCharacters(t *testing.T) {
	l, s := serve(t, patience)
	l.set(agent("a", "ok"))
	l.ready()
	for _, header := range []string{"X-Clrk-Execution-ID: a\x01b", "ce-x: \x1b[31m", "X-Clrk-TaskAgent: default/a\x00"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "POST /agents/default/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n%s\r\n\r\n", header)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 400 {
			t.Errorf("%q: %s", header, res.Status)
		}
		res.Body.Close()
		c.Close()
	}
	if n := len(l.status("a").Executions); n > 0 {
		t.Errorf("%d executions", n)
	}
}

// A reply that goes missing on its way is cut, so that nobody takes it for whole.
func TestCutReply(t *testing.T) {
	l, s := serve(t, serverDeadline)
	l.mem.Programs["floods"] = func(p *dispatchtest.Process) int {
		for {
			if _, err := p.Stdout.Write(make([]byte, 1<<20)); err != nil {
				return 0
			}
			select {
			case <-p.Terminated:
				return 1
			default:
			}
		}
	}
	a := agent("a", "floods")
	a.Streaming = true
	l.stop()
	l.open(func(o *dispatch.DispatcherOptions) { o.MaxReply = 8 << 20 })
	s.Config.Handler = l.d
	l.set(a)
	l.ready()
	res := send(t, "POST", s.URL+"/agents/default/a", nil)
	time.Sleep(serverDeadline) // it reads nothing meanwhile
	if n, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("%d bytes read as a whole reply", n)
	}
	for end := time.Now().Add(patience); l.last("a").Outcome != dispatch.Failed; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", l.last("a"))
		}
	}
	if _, ok := l.d.Status(plan.ID{Kind: plan.TaskAgent, Name: "none"}); ok {
		t.Error("there is a status of nobody")
	}
}

// The deadline of an execution is answered, not taken for that of a connection.
func TestDeadlineByHTTP(t *testing.T) {
	l, s := serve(t, serverDeadline)
	l.mem.Programs["sleeps"] = func(p *dispatchtest.Process) int { return nap(p, patience) }
	a := agent("a", "sleeps")
	a.Timeout = serverDeadline
	l.set(a)
	l.ready()
	for range 3 {
		res := send(t, "POST", s.URL+"/agents/default/a", strings.NewReader("x"))
		if got := text(t, res); res.StatusCode != 504 || !strings.Contains(got, "it was not done after 300ms") {
			t.Errorf("%s %q", res.Status, got)
		}
	}
	// So is that of a body that does not come.
	body, w := io.Pipe()
	defer w.Close()
	res := send(t, "POST", s.URL+"/agents/default/a", body)
	if res.StatusCode != 504 {
		t.Errorf("a body that does not come: %s", res.Status)
	}
}
