// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must happen and has no time of its own.
const patience = 20 * time.Second

// world is a router on a real server, and what it knows.
type world struct {
	t      *testing.T
	router *Router
	server *httptest.Server
	client *http.Client
	asked  atomic.Int32  // how often for an address
	within time.Duration // in which instances are to begin to answer

	mu        sync.Mutex
	table     Table
	addresses map[Target]string
	stop      func() // ends the router, and waits for it
}

// newWorld serves a router whose server has tight deadlines of its own.
func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, table: Table{}, addresses: map[Target]string{}}
	opt := Options{
		Table: func() Table {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.table == nil {
				return nil
			}
			out := Table{}
			for k, v := range w.table {
				out[k] = v
			}
			return out
		},
		Address: func(_ context.Context, at Target) (string, error) {
			w.asked.Add(1)
			w.mu.Lock()
			defer w.mu.Unlock()
			if a := w.addresses[at]; a != "" {
				return a, nil
			}
			return "", errors.New("its container is gone")
		},
	}
	if change != nil {
		change(&opt)
	}
	w.router = New(opt)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = w.router.Run(ctx); close(ended) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	w.server = httptest.NewUnstartedServer(w.router)
	w.server.Config.ReadTimeout, w.server.Config.WriteTimeout = serverDeadline, serverDeadline
	w.server.Config.ReadHeaderTimeout, w.server.Config.IdleTimeout = patience, patience // before the router's part
	w.server.Start()
	w.client = w.server.Client()
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		w.server.CloseClientConnections()
		w.stop()
		w.server.Close()
	})
	return w
}

// serverDeadline is shorter than what tests have requests take.
const serverDeadline = 300 * time.Millisecond

// serve has an instance answer with h from now on.
func (w *world) serve(name string, h http.HandlerFunc) Target {
	w.t.Helper()
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	w.t.Cleanup(s.CloseClientConnections)
	return w.set(name, strings.TrimPrefix(s.URL, "http://"))
}

var starts atomic.Int64

func (w *world) set(name, address string) Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := starts.Add(1)
	at := Target{Handle: fmt.Sprint(name, n), Started: time.Unix(n, 0)}
	w.table[name] = Route{Ready: true, State: "Running", Target: at, AnswerTimeout: w.within}
	w.addresses[at] = address
	return at
}

func (w *world) do(method, path string, body io.Reader, header ...string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	return res
}

func (w *world) text(res *http.Response) string {
	w.t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// failure checks that the router answered, and returns what it said.
func (w *world) failure(res *http.Response, status int, code string) problem {
	w.t.Helper()
	var p problem
	text := w.text(res)
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		w.t.Fatalf("%v: %q", err, text)
	}
	if res.StatusCode != status || p.Code != code || res.Header.Get(ErrorHeader) != code || p.Error == "" ||
		res.Header.Get("Content-Type") != "application/json" {
		w.t.Errorf("%s %v %s, want %d %s", res.Status, res.Header, text, status, code)
	}
	return p
}

func TestNoRoute(t *testing.T) {
	w := newWorld(t, nil)
	w.table["starting"] = Route{State: "Running", Reason: "its readiness probe has not passed yet", Retry: 1500 * time.Millisecond}
	w.table["stopped"] = Route{State: "Stopped", Reason: `stopped by "reconcile stop"`, Retry: 10 * time.Second}
	w.table["new"] = Route{State: "Removed"}
	w.table["nowhere"] = Route{Ready: true, Target: Target{Handle: "x"}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	w.set("deaf", l.Addr().String())

	for path, want := range map[string]struct {
		status            int
		code, text, retry string
		state, instance   string
	}{
		"/mcps/other/status":  {404, CodeUnknown, `there is no instance "other"`, "", "", "other"},
		"/mcps/Starting/x":    {404, CodeUnknown, `there is no instance "Starting"`, "", "", "Starting"},
		"/mcps/starting/x":    {503, CodeNotReady, "starting is not ready: its readiness probe has not passed yet", "2", "Running", "starting"},
		"/mcps/stopped/x":     {503, CodeNotReady, `stopped is not ready: stopped by "reconcile stop"`, "10", "Stopped", "stopped"},
		"/mcps/new/x":         {503, CodeNotReady, "new is not ready", "1", "Removed", "new"},
		"/mcps/nowhere/x":     {502, CodeFailed, "nowhere: its container is gone", "", "", "nowhere"},
		"/mcps/deaf/x":        {502, CodeFailed, "deaf: nothing answers at its port: connect: connection refused", "", "", "deaf"},
		"/mcps/deaf/../x":     {400, CodePath, "leads out", "", "", ""},
		"/mcps/deaf/%2e%2e/x": {400, CodePath, "leads out", "", "", ""},
	} {
		res := w.do("GET", path, nil)
		p := w.failure(res, want.status, want.code)
		if !strings.Contains(p.Error, want.text) || p.State != want.state || p.Instance != want.instance || res.Header.Get("Retry-After") != want.retry {
			t.Errorf("%s: %+v, Retry-After %q; want %+v", path, p, res.Header.Get("Retry-After"), want)
		}
	}
	w.mu.Lock()
	w.table = nil
	w.mu.Unlock()
	for _, path := range []string{"/mcps/web/status", "/mcps"} {
		if res := w.do("GET", path, nil); res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After before anything is known", path)
		} else {
			w.failure(res, 503, CodeNotReady)
		}
	}
}

func TestList(t *testing.T) {
	w := newWorld(t, nil)
	w.table["b"] = Route{Ready: true, State: "Running"}
	w.table["a"] = Route{State: "Exited (1)", Reason: "it exited"}
	for _, path := range []string{"/mcps", "/mcps/"} {
		got := w.text(w.do("GET", path, nil))
		want := `{"instances":[{"name":"a","ready":false,"state":"Exited (1)","reason":"it exited"},{"name":"b","ready":true,"state":"Running"}]}`
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	w.failure(w.do("POST", "/mcps", nil), 405, CodeMethod)
}

// What an instance gets is what the client sent, but for what is between two of
// the three.
func TestRequest(t *testing.T) {
	for name, keep := range map[string]bool{"the router has a token": false, "it has none": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.KeepAuthorization = keep })
			got := make(chan *http.Request, 1)
			w.serve("my.web_2", func(rw http.ResponseWriter, r *http.Request) {
				got <- r
				rw.Header().Set("Connection", "X-Private")
				rw.Header().Set("X-Private", "1")
				rw.Header().Set("Keep-Alive", "timeout=5")
				rw.Header().Set(ErrorHeader, CodeNotReady)
				rw.Header().Set("X-Kept", "1")
				rw.Header().Set("Location", "/mcp/next")
				rw.Header().Set("Trailer", "X-Sum")
				rw.WriteHeader(http.StatusSeeOther)
				io.WriteString(rw, "body")
				rw.Header().Set("X-Sum", "42")
			})
			host := strings.TrimPrefix(w.server.URL, "http://")
			res := w.do("PATCH", "/mcps/my.web_2/a%2Fb/%20c?q=1;2&q=%zz&e=", strings.NewReader("hello"),
				"Authorization", "Bearer 0123456789abcdef", "Cookie", "a=b", "X-Two", "1", "X-Two", "2",
				"Connection", "X-Hop, close", "X-Hop", "1", "Proxy-Authorization", "Basic x", "Te", "trailers",
				"X-Forwarded-For", "8.8.8.8", "X-Forwarded-Host", "evil.example", "Forwarded", "for=8.8.8.8", "X-Forwarded-Proto", "https",
				"Origin", "http://"+host)
			body := w.text(res)
			req := <-got
			if req.Method != "PATCH" || req.RequestURI != "/mcp/a%2Fb/%20c?q=1;2&q=%zz&e=" {
				t.Errorf("asked for %s %s", req.Method, req.RequestURI)
			}
			var seen []string
			for _, h := range []string{
				"Authorization", "Cookie", "X-Two", "X-Hop", "Proxy-Authorization", "Te", "Forwarded",
				"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Content-Length",
			} {
				seen = append(seen, h+": "+strings.Join(req.Header.Values(h), "|"))
			}
			authorization := ""
			if keep {
				authorization = "Bearer 0123456789abcdef"
			}
			want := []string{
				"Authorization: " + authorization, "Cookie: a=b", "X-Two: 1|2", "X-Hop: ", "Proxy-Authorization: ", "Te: trailers", "Forwarded: ",
				"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: " + host, "X-Forwarded-Proto: http", "Content-Length: 5",
			}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("headers (-want +got)\n%s", diff)
			}
			if req.Header.Get("Origin") != "http://"+req.Host || req.Host == host {
				t.Errorf("Origin %s at Host %s: to the instance its own pages are of another site", req.Header.Get("Origin"), req.Host)
			}
			answer := []string{res.Status, body}
			for _, h := range []string{"X-Private", "Keep-Alive", ErrorHeader, "X-Kept", "Location"} {
				answer = append(answer, h+": "+res.Header.Get(h))
			}
			answer = append(answer, "X-Sum: "+res.Trailer.Get("X-Sum"))
			want = []string{"303 See Other", "body", "X-Private: ", "Keep-Alive: ", ErrorHeader + ": ", "X-Kept: 1", "Location: /mcps/my.web_2/next", "X-Sum: 42"}
			if diff := cmp.Diff(want, answer); diff != "" {
				t.Errorf("answer (-want +got)\n%s", diff)
			}
		})
	}
}

// An instance that does not begin to answer is given up; one that has begun may
// take its time.
func TestSlowInstance(t *testing.T) {
	w := newWorld(t, nil)
	release := make(chan struct{})
	defer close(release)
	w.within = 100 * time.Millisecond
	w.serve("mute", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	w.within = 10 * patience // each has its own
	w.serve("late", func(rw http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * serverDeadline)
		io.WriteString(rw, "done")
	})
	w.within = serverDeadline
	w.serve("slow", func(rw http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(rw).Flush()
		time.Sleep(2 * serverDeadline)
		io.WriteString(rw, "done")
	})
	p := w.failure(w.do("POST", "/mcps/mute/x", nil), 502, CodeFailed)
	if p.Error != "mute: it did not answer in time" {
		t.Errorf("said %q", p.Error)
	}
	for _, path := range []string{"/mcps/late/x", "/mcps/slow/x"} {
		if got := w.text(w.do("GET", path, nil)); got != "done" {
			t.Errorf("%s: got %q", path, got)
		}
	}
}

// An address is looked up once, and again when nobody is there any more.
func TestAddressIsRemembered(t *testing.T) {
	w := newWorld(t, nil)
	hello := func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "hello") }
	at := w.serve("web", hello)
	for range 5 {
		if got := w.text(w.do("GET", "/mcps/web/x", nil)); got != "hello" {
			t.Fatalf("got %q", got)
		}
	}
	if n := w.asked.Load(); n != 1 {
		t.Errorf("asked %d times for the address", n)
	}
	// The container came back elsewhere, within the second.
	s := httptest.NewServer(http.HandlerFunc(hello))
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	up := w.router.upstream(Route{Target: at})
	up.mu.Lock()
	up.address = l.Addr().String()
	up.mu.Unlock()
	w.mu.Lock()
	w.addresses[at] = strings.TrimPrefix(s.URL, "http://")
	w.mu.Unlock()
	w.failure(w.do("GET", "/mcps/web/x", nil), 502, CodeFailed)
	if got := w.text(w.do("GET", "/mcps/web/x", nil)); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// Requests at a container that stops fail, new ones go to the next container, and
// nothing is left of the old one.
func TestReplacements(t *testing.T) {
	w := newWorld(t, nil)
	for round := range 3 {
		entered := make(chan struct{}, 2)
		at := w.serve("web", func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // before that a server does not see its client go
			if r.URL.Path == "/mcp/quick" {
				fmt.Fprint(rw, round)
				return
			}
			if r.URL.Path == "/mcp/begun" {
				io.WriteString(rw, "half")
				_ = http.NewResponseController(rw).Flush()
			}
			entered <- struct{}{}
			<-r.Context().Done()
		})
		w.router.Keep(func(t Target) bool { return t == at })
		if got := w.text(w.do("GET", "/mcps/web/quick", nil)); got != fmt.Sprint(round) {
			t.Fatalf("round %d: got %q", round, got)
		}
		results := make(chan *http.Response, 1)
		go func() { results <- w.do("POST", "/mcps/web/hang", strings.NewReader("x")) }()
		<-entered
		begun := w.do("GET", "/mcps/web/begun", nil)
		<-entered

		w.router.Keep(func(Target) bool { return false })
		p := w.failure(<-results, 502, CodeFailed)
		if p.Error != "web: the container has stopped" {
			t.Errorf("said %q", p.Error)
		}
		if b, err := io.ReadAll(begun.Body); err == nil || string(b) != "half" {
			t.Errorf("an answer that was cut reads as a whole one: %q, %v", b, err)
		}
		w.router.mu.Lock()
		if n := len(w.router.upstreams); n != 0 {
			t.Errorf("%d upstreams are left", n)
		}
		w.router.mu.Unlock()
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.serve("web", func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(rw, r.Body) })
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 30 {
				text := fmt.Sprint(i, " ", j)
				res, err := w.client.Post(w.server.URL+"/mcps/web/x", "text/plain", strings.NewReader(text))
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != 502 && string(b) != text {
					t.Errorf("%s: %q", res.Status, b)
				}
			}
		})
	}
	for range 50 {
		w.router.Keep(func(Target) bool { return false })
		time.Sleep(time.Millisecond)
	}
	wg.Wait()
	if got := w.text(w.do("POST", "/mcps/web/x", strings.NewReader("last"))); got != "last" {
		t.Errorf("got %q", got)
	}
}
