// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// TestMain is also a daemon that can be killed, and a client of another user.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case "daemon":
			l, err := Listen(os.Args[2])
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println("ready")
			_ = http.Serve(l, Handler(&fake{}))
			return
		case "client":
			c, err := Dial(context.Background(), os.Args[2])
			if err == nil {
				_, err = c.Status(context.Background())
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			return
		}
	}
	// The server waits for half a second after a request that was too large.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fake is a daemon whose pass is what a test says.
type fake struct {
	status Status
	invoke func(w http.ResponseWriter, r *http.Request)
	pass   func(ctx context.Context, r PassRequest, stdout, stderr io.Writer) (int, error)

	mu     sync.Mutex
	causes []string
}

func (f *fake) Status(context.Context) (Status, error) { return f.status, nil }

func (f *fake) Pass(ctx context.Context, r PassRequest, stdout, stderr io.Writer) (int, error) {
	return f.pass(ctx, r, stdout, stderr)
}

func (f *fake) Refresh(_ context.Context, r RefreshRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.causes = append(f.causes, r.Cause)
	return nil
}

func (f *fake) Invoke(w http.ResponseWriter, r *http.Request) { f.invoke(w, r) }

func (f *fake) Executions(_ context.Context, agent string) (json.RawMessage, error) {
	if agent != "default/words" {
		return nil, &Refusal{Text: "there is no TaskAgent " + agent, Code: 2}
	}
	return json.RawMessage(`{"in_flight":1}`), nil
}

// serve runs d on a socket and returns its client.
func serve(t *testing.T, d Daemon) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "x.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: Handler(d)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-done
		l.Close()
	})
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStatusAndRefresh(t *testing.T) {
	f := &fake{status: Status{
		PID: 7, Version: "v1", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Workspace: "acme", Root: "/srv/acme",
		Ready: true, Watching: "events", Last: []byte(`{"number":3}`),
		Sources: []Source{{Name: "tools", URL: "https://example.org/t.git", Commit: "abc", Stale: true, Error: "no answer"}},
	}}
	c := serve(t, f)
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.status, got); diff != "" {
		t.Errorf("status (-want +got)\n%s", diff)
	}
	if err := c.Refresh(t.Context(), RefreshRequest{Cause: "push"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"push"}, f.causes); diff != "" {
		t.Errorf("causes (-want +got)\n%s", diff)
	}
}

func TestPassStreams(t *testing.T) {
	seen := make(chan PassRequest, 1)
	more := make(chan struct{})
	c := serve(t, &fake{pass: func(_ context.Context, r PassRequest, stdout, stderr io.Writer) (int, error) {
		seen <- r
		fmt.Fprintln(stderr, "start web done")
		<-more
		fmt.Fprintln(stdout, "1 change ✓ \x1b[1m")
		return 3, nil
	}})
	want := PassRequest{Cause: "command", Output: "text", Color: true, Adopt: true, SavedName: "plan.json", Settings: map[string]string{"--profile": Digest("x")}}
	saved := bytes.Repeat([]byte{0, '"'}, maxBody)
	req := want
	req.Saved = saved
	var stdout, stderr bytes.Buffer
	code, err := c.Pass(t.Context(), req, &stdout, writerFunc(func(b []byte) {
		stderr.Write(b)
		close(more) // the first line arrives while the pass goes on
	}))
	if err != nil || code != 3 {
		t.Errorf("code %d, error %v", code, err)
	}
	got := <-seen
	if !bytes.Equal(saved, got.Saved) {
		t.Errorf("%d bytes of a kept plan came as %d others", len(saved), len(got.Saved))
	}
	got.Saved = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got)\n%s", diff)
	}
	if got, want := stdout.String()+stderr.String(), "1 change ✓ \x1b[1m\nstart web done\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

func TestRefusals(t *testing.T) {
	c := serve(t, &fake{pass: func(context.Context, PassRequest, io.Writer, io.Writer) (int, error) {
		return 0, &Refusal{Text: "the daemon has another --profile", Code: 3}
	}})
	_, err := c.Pass(t.Context(), PassRequest{}, io.Discard, io.Discard)
	var no *Refusal
	if !errors.As(err, &no) || no.Code != 3 || no.Text != "the daemon has another --profile" {
		t.Errorf("pass: %v", err)
	}
	for name, try := range map[string]struct{ method, path, body, want string }{
		"unknown field": {"POST", pathPass, `{"cause":"x","later":1}`, `unknown field "later"`},
		"no JSON":       {"POST", pathRefresh, `{`, "does not understand"},
		"too large":     {"POST", pathRefresh, `{"cause":"` + strings.Repeat("x", maxBody) + `"}`, "too large"},
		"wrong method":  {"GET", pathPass, ``, "405"},
		"unknown path":  {"POST", "/v2/pass", ``, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), try.method, "http://daemon"+try.path, strings.NewReader(try.body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := c.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			if got := res.Status + " " + string(b); res.StatusCode < 400 || !strings.Contains(got, strings.ReplaceAll(try.want, `"`, `\"`)) {
				t.Errorf("got %s, want %s", got, try.want)
			}
		})
	}
}

// A client that goes away tells the daemon, and the pass goes on to its end.
func TestClientGoesAway(t *testing.T) {
	began, ended := make(chan struct{}), make(chan int, 1)
	c := serve(t, &fake{pass: func(ctx context.Context, _ PassRequest, stdout, _ io.Writer) (int, error) {
		close(began)
		<-ctx.Done()
		n := 0
		for range 1000 { // more than any buffer on the way holds
			k, _ := stdout.Write(bytes.Repeat([]byte("x"), 1024))
			n += k
		}
		ended <- n
		return 0, nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if _, err := c.Pass(ctx, PassRequest{}, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("pass: %v", err)
	}
	if n := <-ended; n != 1000*1024 {
		t.Errorf("%d bytes were accepted", n)
	}
}

// A client that does not read holds nothing up.
func TestClientThatDoesNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	d := &fake{pass: func(_ context.Context, _ PassRequest, stdout, _ io.Writer) (int, error) {
		for range 2 * maxUnread / 1024 {
			fmt.Fprintf(stdout, "%01023d\n", 0)
		}
		close(ended)
		return 0, nil
	}}
	srv := &http.Server{Handler: Handler(d)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		srv.Close()
		<-done
		l.Close()
	})
	if _, err := io.WriteString(conn, "POST "+pathPass+" HTTP/1.1\r\nHost: daemon\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(readWithin):
		t.Error("the pass waits for its reader")
	}
}

func TestNobody(t *testing.T) {
	dir := t.TempDir()
	if _, err := Dial(t.Context(), filepath.Join(dir, "none.sock")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	other := filepath.Join(dir, "file.sock")
	if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(other); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file in the way: %v", err)
	}
	if b, _ := os.ReadFile(other); string(b) != "precious" {
		t.Error("the file in the way was touched")
	}
}

// One socket has one daemon, and a killed one leaves nothing to mend by hand.
func TestOneDaemon(t *testing.T) {
	// Longer than a socket address may be.
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "x.sock")
	cmd := exec.Command(os.Args[0], "daemon", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{path: os.ModeSocket | 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", p, info.Mode(), want)
		}
	}
	if _, err := Listen(path); !errors.Is(err, ErrRunning) {
		t.Errorf("second daemon: %v", err)
	}
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}

	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after a kill: %v", err)
	}
	if _, err := c.Pass(t.Context(), PassRequest{}, io.Discard, io.Discard); err == nil {
		t.Error("a dead daemon answered")
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := l.Close(); err == nil {
		t.Error("closed twice without a word")
	}
}

// The socket's mode keeps others away; where it does not, their uid does.
func TestOthersMayNotConnect(t *testing.T) {
	for _, c := range []struct {
		peer uint32
		self int
		want bool
	}{
		{0, 0, true}, {0, 1000, true}, {1000, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {65534, 0, false},
	} {
		if got := mayCommand(c.peer, c.self); got != c.want {
			t.Errorf("peer %d of %d: %t", c.peer, c.self, got)
		}
	}
	if os.Getuid() != 0 {
		t.Log("not root: no process of another user")
		return
	}
	dir, err := os.MkdirTemp("/tmp", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	bin, path := filepath.Join(dir, "bin"), filepath.Join(dir, "x.sock")
	if err := os.WriteFile(bin, self, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: Handler(&fake{})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-done
		l.Close()
	})
	for p, mode := range map[string]os.FileMode{dir: 0o755, path: 0o777} {
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	for uid, want := range map[uint32]bool{0: true, 65534: false} {
		cmd := exec.Command(bin, "client", path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if (err == nil) != want {
			t.Errorf("uid %d: %v\n%s", uid, err, out)
		}
	}
}
