// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/google/go-cmp/cmp"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
	"reconcile/repos/repostest"
)

// patience bounds what a test waits for, so that it fails rather than hangs.
// Hosts may be slow.
const patience = 2 * time.Minute

// watching is a daemon in a process of its own.
type watching struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	output *sharedBuffer
}

type sharedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sharedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sharedBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// host is where the daemons of a test run, one after the other.
type host struct {
	binary, state, podman string
	workspace             string // its name
}

func newHost(t testing.TB, workspace string) *host {
	t.Helper()
	h := &host{podman: podmantest.Socket(t), state: t.TempDir(), workspace: workspace}
	self, err := os.Executable()
	check(t, err)
	h.binary = filepath.Join(t.TempDir(), "reconcile")
	check(t, os.Symlink(self, h.binary))
	podmantest.Image(t, "test/tool", podmantest.ImageOptions{})
	t.Cleanup(func() { h.clear(t) })
	return h
}

// watch starts a daemon. It ends with the test.
func (h *host) watch(t testing.TB, args ...string) *watching {
	t.Helper()
	return h.start(t, "daemon", append([]string{"watch", "--listen=off"}, args...)...)
}

// start starts a command that is ended with the test; what is what its output is
// called when that fails.
func (h *host) start(t testing.TB, what string, args ...string) *watching {
	t.Helper()
	w := &watching{cmd: exec.Command(h.binary, args...), ended: make(chan struct{}), output: &sharedBuffer{}}
	w.cmd.Env = append(os.Environ(), "CONTAINER_HOST="+h.podman, "RECONCILE_STATE_DIR="+h.state, "NO_COLOR=1")
	w.cmd.Stdout, w.cmd.Stderr = w.output, w.output
	check(t, w.cmd.Start())
	go func() {
		_ = w.cmd.Wait()
		close(w.ended)
	}()
	t.Cleanup(func() {
		w.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", what, w.output)
		}
	})
	return w
}

// kill ends the daemon as a power cut does.
func (w *watching) kill() {
	_ = w.cmd.Process.Kill()
	<-w.ended
}

// end ends the daemon in order.
func (w *watching) end(t testing.TB) {
	t.Helper()
	check(t, w.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-w.ended:
	case <-time.After(patience):
		t.Fatal("the daemon does not end")
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the daemon ended with %d, want 0", code)
	}
}

func (w *watching) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !ok() {
		select {
		case <-w.ended:
			t.Fatalf("%s: the daemon ended", what)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%s: that never came", what)
		}
	}
}

// instance is a container of the workspace.
type instance struct{ id, state, env string }

// instances are by name.
func (h *host) instances(t testing.TB) map[string]instance {
	t.Helper()
	conn := podmantest.Conn(t)
	list, err := containers.List(conn, new(containers.ListOptions).WithAll(true).WithFilters(h.filter()))
	check(t, err)
	out := map[string]instance{}
	for _, c := range list {
		one, err := containers.Inspect(conn, c.ID, nil)
		if err != nil {
			continue // gone since the list
		}
		i := instance{id: c.ID, state: c.State}
		for _, kv := range one.Config.Env {
			if v, ok := strings.CutPrefix(kv, "V="); ok {
				i.env = v
			}
		}
		out[c.Names[0]] = i
	}
	return out
}

func (h *host) filter() map[string][]string {
	return map[string][]string{"label": {plan.LabelWorkspace + "=" + h.workspace}}
}

// runs reports whether exactly the instances run, each with its value of V.
func (h *host) runs(t testing.TB, want map[string]string) func() bool {
	return func() bool {
		got := map[string]string{}
		for name, i := range h.instances(t) {
			got[strings.TrimPrefix(name, h.workspace+"-")] = i.state + " " + i.env
		}
		running := map[string]string{}
		for name, v := range want {
			running[name] = "running " + v
		}
		return cmp.Equal(got, running)
	}
}

// clear removes what the daemons left running.
func (h *host) clear(t testing.TB) {
	conn := context.WithoutCancel(podmantest.Conn(t))
	list, err := containers.List(conn, new(containers.ListOptions).WithAll(true).WithFilters(h.filter()))
	if err != nil {
		t.Error(err)
	}
	var group sync.WaitGroup
	places := make(chan struct{}, 4)
	for _, c := range list {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			_, err := containers.Remove(conn, c.ID, new(containers.RemoveOptions).WithForce(true).WithIgnore(true).WithTimeout(0))
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	nets, err := network.List(conn, new(network.ListOptions).WithFilters(h.filter()))
	if err != nil {
		t.Error(err)
	}
	for _, n := range nets {
		if _, err := network.Remove(conn, n.Name, new(network.RemoveOptions).WithForce(true)); err != nil {
			t.Error(err)
		}
	}
}

var (
	temporary  = regexp.MustCompile(`^\.?tmp[-_]|\.tmp|^\..*\.[0-9]+$`)
	generation = regexp.MustCompile(`^[0-9]+\.git$`)
)

// tidy fails when something in the state directory was never finished: a
// temporary file or folder, or a second generation of a mirror.
func (h *host) tidy(t testing.TB) {
	t.Helper()
	generations := map[string][]string{}
	check(t, filepath.WalkDir(h.state, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if temporary.MatchString(e.Name()) {
			t.Errorf("left over: %s", path)
		}
		if e.IsDir() && generation.MatchString(e.Name()) {
			generations[filepath.Dir(path)] = append(generations[filepath.Dir(path)], e.Name())
		}
		return nil
	}))
	for dir, names := range generations {
		if len(names) > 1 {
			t.Errorf("left over in %s: one of %v", dir, names)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noise is text that no compression makes smaller, the same for the same seed.
func noise(seed uint64, size int) string {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(b)
	return string(b)
}

// workspaceFiles are those of a workspace with one agent for each value.
func workspaceFiles(name string, agents map[string]string) map[string]string {
	files := map[string]string{}
	var enable []string
	for agent, v := range agents {
		enable = append(enable, agent)
		files["agents/"+agent+"/manifest.yaml"] = fmt.Sprintf("container: localhost/test/tool\nagent: /bin/tool pause\nenv: [V=%s]\n", v)
	}
	slices.Sort(enable)
	files["workspace.yaml"] = fmt.Sprintf("apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: %s}\nspec: {enable: [%s]}\n", name, strings.Join(enable, ", "))
	return files
}

// tap passes requests on, and can hold one of them.
type tap struct {
	url   string
	held  chan struct{} // gets one when a request is held
	holds atomic.Pointer[func(r *http.Request) hold]
	done  chan struct{} // closed when the test ends
}

// hold says where a request is held.
type hold int

const (
	pass      hold = iota
	holdAfter      // the server has answered
	holdHalf       // half a megabyte of the answer has come through
)

// on changes which requests are held from now on; nil = none.
func (s *tap) on(f func(r *http.Request) hold) {
	if f == nil {
		f = func(*http.Request) hold { return pass }
	}
	s.holds.Store(&f)
}

func (s *tap) stay(r *http.Request) {
	select {
	case s.held <- struct{}{}:
	default:
	}
	select {
	case <-r.Context().Done():
	case <-s.done:
	}
}

// half lets through a part of an answer.
type half struct {
	io.ReadCloser
	left int64
	end  func()
}

func (h *half) Read(p []byte) (int, error) {
	if h.left <= 0 {
		h.end()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := h.ReadCloser.Read(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	return n, err
}

type holdKey struct{}

// newTap stands between a daemon and a server, which transport reaches as to.
func newTap(t testing.TB, to *url.URL, transport http.RoundTripper) (*tap, http.Handler) {
	s := &tap{held: make(chan struct{}, 1), done: make(chan struct{})}
	s.on(nil)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = to.Host },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:      log.New(io.Discard, "", 0),
		ModifyResponse: func(r *http.Response) error {
			switch r.Request.Context().Value(holdKey{}) {
			case holdAfter:
				s.stay(r.Request)
			case holdHalf:
				r.Body = &half{r.Body, 512 << 10, func() { s.stay(r.Request) }}
			}
			return nil
		},
	}
	return s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holdKey{}, (*s.holds.Load())(r))))
	})
}

// tapHTTP stands before a web server.
func tapHTTP(t testing.TB, target string) *tap {
	t.Helper()
	to, err := url.Parse(target)
	check(t, err)
	transport := &http.Transport{}
	s, handler := newTap(t, to, transport)
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		close(s.done)
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	s.url = server.URL
	return s
}

// tapPodman stands before Podman's service.
func tapPodman(t testing.TB) *tap {
	t.Helper()
	socket := strings.TrimPrefix(podmantest.Socket(t), "unix://")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	s, handler := newTap(t, &url.URL{Scheme: "http", Host: "d"}, transport)
	dir, err := os.MkdirTemp("", "tap")
	check(t, err)
	l, err := net.Listen("unix", filepath.Join(dir, "p.sock"))
	check(t, err)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(func() {
		close(s.done)
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
		_ = os.RemoveAll(dir)
	})
	s.url = "unix://" + l.Addr().String()
	return s
}

func (s *tap) await(t testing.TB, w *watching) {
	t.Helper()
	select {
	case <-s.held:
	case <-w.ended:
		t.Fatal("the daemon ended before it asked")
	case <-time.After(patience):
		t.Fatal("the request that is to be held never came")
	}
}

// packs holds half-way through the answer with a pack.
func packs(r *http.Request) hold {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
		return holdHalf
	}
	return pass
}

// TestKilledWhileFetching: a daemon that is killed in the middle of a clone, and
// of a fetch, leaves nothing that the next one stumbles over.
func TestKilledWhileFetching(t *testing.T) {
	t.Parallel()
	h := newHost(t, "kill-fetch")
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "acme")
	files := workspaceFiles(h.workspace, map[string]string{"steady": "1", "moving": "1"})
	files["agents/moving/data"] = noise(1, 2<<20)
	repo.Commit(t, repostest.Commit{Files: files})
	server := tapHTTP(t, srv.URL)
	address := server.url + "/acme.git#main"

	server.on(packs)
	w := h.watch(t, address)
	server.await(t, w)
	w.kill()
	if got := h.instances(t); len(got) > 0 {
		t.Errorf("instances %v before anything was fetched", got)
	}
	server.on(nil)
	w = h.watch(t, address, "--poll=200ms")
	w.await(t, "the first commit runs", h.runs(t, map[string]string{"steady": "1", "moving": "1"}))
	h.tidy(t)
	first := h.instances(t)

	server.on(packs)
	files = workspaceFiles(h.workspace, map[string]string{"steady": "1", "moving": "2"})
	files["agents/moving/data"] = noise(2, 2<<20)
	repo.Commit(t, repostest.Commit{Files: files})
	server.await(t, w)
	w.kill()
	if diff := cmp.Diff(first, h.instances(t), cmp.AllowUnexported(instance{})); diff != "" {
		t.Errorf("what runs without the daemon (-before +after)\n%s", diff)
	}
	server.on(nil)
	w = h.watch(t, address, "--poll=200ms")
	w.await(t, "the second commit runs", h.runs(t, map[string]string{"steady": "1", "moving": "2"}))
	if got := h.instances(t)["kill-fetch-steady"]; got.id != first["kill-fetch-steady"].id {
		t.Error("an agent that did not change is another container")
	}
	w.end(t)
	h.tidy(t)
}

// steps are the requests that change something, in the order of a pass that
// makes a network and an agent, and then replaces the agent.
var steps = []struct {
	name   string
	method string
	path   *regexp.Regexp
	edit   bool // in the pass after an edit
}{
	{"create network", http.MethodPost, regexp.MustCompile(`/networks/create$`), false},
	{"create", http.MethodPost, regexp.MustCompile(`/containers/create$`), false},
	{"start", http.MethodPost, regexp.MustCompile(`/containers/[^/]+/start$`), false},
	{"stop", http.MethodPost, regexp.MustCompile(`/containers/[^/]+/stop$`), true},
	{"delete", http.MethodDelete, regexp.MustCompile(`/containers/[^/]+$`), true},
	{"create the next", http.MethodPost, regexp.MustCompile(`/containers/create$`), true},
	{"start the next", http.MethodPost, regexp.MustCompile(`/containers/[^/]+/start$`), true},
}

// TestKilledInAPass: a daemon that is killed right after any of its steps, before
// it knows of it, is followed by one that comes to the same end, with the
// containers that were good.
func TestKilledInAPass(t *testing.T) {
	for i, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, fmt.Sprintf("kill-pass-%d", i))
			dir, service, direct := t.TempDir(), tapPodman(t), h.podman
			write := func(v string) {
				for name, text := range workspaceFiles(h.workspace, map[string]string{"steady": "1", "moving": v}) {
					path := filepath.Join(dir, name)
					check(t, os.MkdirAll(filepath.Dir(path), 0o755))
					check(t, os.WriteFile(path, []byte(text), 0o644))
				}
			}
			held := func(r *http.Request) hold {
				if r.Method == s.method && s.path.MatchString(r.URL.Path) {
					return holdAfter
				}
				return pass
			}
			write("1")
			h.podman = service.url
			if !s.edit {
				service.on(held)
			}
			w, want := h.watch(t, dir), "1"
			if s.edit {
				w.await(t, "the workspace runs", h.runs(t, map[string]string{"steady": "1", "moving": "1"}))
				want = "2"
				service.on(held)
				write(want)
			}
			service.await(t, w)
			w.kill()

			good := map[string]string{} // id → name
			for name, b := range h.instances(t) {
				if b.env == want || strings.HasSuffix(name, "-steady") {
					good[b.id] = name
				}
			}
			h.podman = direct
			w = h.watch(t, dir)
			w.await(t, "the next daemon begins", func() bool { return strings.Contains(w.output.String(), "workspace "+h.workspace) })
			w.await(t, "it comes to the end", h.runs(t, map[string]string{"steady": "1", "moving": want}))
			after := h.instances(t)
			for _, b := range after {
				delete(good, b.id)
			}
			if len(good) > 0 {
				t.Errorf("made anew although they were good: %v", good)
			}
			w.end(t)
			h.tidy(t)
			if diff := cmp.Diff(after, h.instances(t), cmp.AllowUnexported(instance{})); diff != "" {
				t.Errorf("the end of the daemon changed what runs (-before +after)\n%s", diff)
			}
		})
	}
}

// TestKilledWhileCheckingOut: a folder of the workspace that an agent mounts is
// in the middle of a change when the daemon is killed. The next one brings it to
// the commit, and what the agent has put there stays.
func TestKilledWhileCheckingOut(t *testing.T) {
	t.Parallel()
	h := newHost(t, "kill-checkout")
	repo := repostest.NewRepo(t, filepath.Join(t.TempDir(), "acme.git"))
	const count = 2000
	commit := func(v string) {
		files := workspaceFiles(h.workspace, map[string]string{"steady": "1"})
		files["agents/steady/manifest.yaml"] += "volumes: {files: /files}\n"
		for i := range count {
			files[fmt.Sprintf("files/%04d", i)] = v
		}
		repo.Commit(t, repostest.Commit{Files: files})
	}
	commit("0")
	w := h.watch(t, repo.URL+"#main", "--poll=200ms")
	w.await(t, "the first commit runs", h.runs(t, map[string]string{"steady": "1"}))
	first := h.instances(t)
	found, err := filepath.Glob(filepath.Join(h.state, "checkouts", "*", "acme", "files"))
	check(t, err)
	if len(found) != 1 {
		t.Fatalf("checkouts %v", found)
	}
	folder := found[0]
	staging := filepath.Dir(folder) + ".new"
	check(t, os.WriteFile(filepath.Join(folder, "own"), []byte("agent"), 0o644))
	tally := func() map[string]int {
		out := map[string]int{}
		for i := range count {
			b, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("%04d", i)))
			if err != nil {
				out["missing"]++
				continue
			}
			out[string(b)]++
		}
		return out
	}

	mixed, staged := 0, 0
	for round := 1; mixed == 0 || staged == 0; round++ {
		if round > 20 {
			t.Fatalf("killed %d times while it wrote and %d times while it switched; want one of each", staged, mixed)
		}
		v := fmt.Sprint(round)
		commit(v)
		begun := func() bool {
			if round%2 == 0 {
				_, err := os.Stat(staging)
				return err == nil
			}
			b, err := os.ReadFile(filepath.Join(folder, "0000"))
			return err == nil && string(b) == v
		}
		for end := time.Now().Add(patience); !begun(); {
			if time.Now().After(end) {
				t.Fatal("the checkout never began")
			}
		}
		w.kill()
		switch n := tally(); {
		case n["missing"] > 0:
			t.Errorf("files are missing: %v", n)
		case len(n) == 2:
			mixed++
		default:
			if _, err := os.Stat(staging); err == nil {
				staged++
			}
		}
		w = h.watch(t, repo.URL+"#main", "--poll=200ms")
		w.await(t, "all files are of the commit", func() bool { return cmp.Equal(tally(), map[string]int{v: count}) })
		w.await(t, "nothing waits to be switched", func() bool { _, err := os.Stat(staging); return os.IsNotExist(err) })
	}
	if b, err := os.ReadFile(filepath.Join(folder, "own")); string(b) != "agent" {
		t.Errorf("the agent's own file: %q, %v", b, err)
	}
	w.await(t, "the daemon begins", func() bool { return strings.Contains(w.output.String(), "workspace "+h.workspace) })
	w.end(t)
	h.tidy(t)
	if diff := cmp.Diff(first, h.instances(t), cmp.AllowUnexported(instance{})); diff != "" {
		t.Errorf("what runs (-before +after)\n%s", diff)
	}
}
