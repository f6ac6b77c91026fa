// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/secrets"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// patience bounds what a test waits for, so that it fails rather than hangs.
const patience = 30 * time.Second

// hearing is a Runtime.Events under way.
type hearing struct {
	heard chan struct{} // holds one: hints are coalesced
	ended chan error
	stop  context.CancelFunc
}

// hear listens until the test ends, and waits until it hears something.
func hear(t *testing.T, rt *podman.Runtime) *hearing {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	h := &hearing{heard: make(chan struct{}, 1), ended: make(chan error, 1), stop: stop}
	go func() {
		h.ended <- rt.Events(ctx, func() {
			select {
			case h.heard <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() { h.end(t) })
	end := time.Now().Add(patience)
	for {
		touch(t)
		select {
		case <-h.heard:
			h.quiet()
			return h
		case err := <-h.ended:
			h.ended <- nil
			t.Fatalf("events: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("nothing was ever heard")
		}
	}
}

func (h *hearing) end(t *testing.T) {
	t.Helper()
	h.stop()
	select {
	case err := <-h.ended:
		h.ended <- nil
		if err != nil {
			t.Errorf("events ended with %v, want nil", err)
		}
	case <-time.After(patience):
		t.Fatal("events did not end with their context")
	}
}

// quiet waits until nothing more is heard of what was done before.
func (h *hearing) quiet() {
	for {
		select {
		case <-h.heard:
		case <-time.After(400 * time.Millisecond):
			return
		}
	}
}

func (h *hearing) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-h.heard:
	case err := <-h.ended:
		h.ended <- nil
		t.Fatalf("%s: events ended: %v", what, err)
	case <-time.After(patience):
		t.Fatalf("%s: nothing was heard", what)
	}
}

// touch does something that every listener hears.
func touch(t *testing.T) {
	t.Helper()
	must(t, images.Tag(podmantest.Conn(t), touched(t), "touched", "localhost/test/events", nil))
}

// touched is an image of its own: a new name of one that others use could be taken
// for its name.
func touched(t *testing.T) string { return podmantest.Image(t, "events", version("events")) }

// TestEvents: what somebody does behind our back is heard.
func TestEvents(t *testing.T) {
	b := newBed(t, nil)
	conn := podmantest.Conn(t)
	b.create(t, b.wantNetwork())
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause"), Network: b.d.Workspace})
	obj := b.start(t, id)
	name := b.d.Workspace + "-taken"
	b.add(plan.Resource{ID: plan.ID{Kind: plan.Manifest, Name: "taken"}, Name: name, Spec: plan.Spec{Container: &plan.ContainerSpec{Image: toolImage(t)}}, Want: plan.WantRunning})
	taken := foreign(t, name, toolImage(t), nil)
	if got := b.observe(t).Foreign; len(got) != 1 {
		t.Fatalf("foreign %v", got)
	}
	force := new(containers.RemoveOptions).WithForce(true).WithTimeout(0)

	h := hear(t, b.rt)
	for _, tt := range []struct {
		what string
		do   func() error
		from uint64 // first major version that tells
	}{
		{"pause", func() error { return containers.Pause(conn, obj.Handle, nil) }, 0},
		{"unpause", func() error { return containers.Unpause(conn, obj.Handle, nil) }, 0},
		{"disconnect", func() error { return network.Disconnect(conn, b.d.Workspace, obj.Handle, nil) }, 0},
		{"kill", func() error { return containers.Kill(conn, obj.Handle, new(containers.KillOptions).WithSignal("KILL")) }, 0},
		{"start", func() error { return containers.Start(conn, obj.Handle, nil) }, 0},
		{"remove", func() error { _, err := containers.Remove(conn, obj.Handle, force); return err }, 0},
		{"remove what held a name of ours", func() error { _, err := containers.Remove(conn, taken, force); return err }, 0},
		{"untag", func() error { return images.Untag(conn, touched(t), "touched", "localhost/test/events", nil) }, 0},
		{"make a secret", func() error {
			_, err := secrets.Create(conn, strings.NewReader("x"), new(secrets.CreateOptions).WithName(name))
			return err
		}, 5},
		{"remove a secret", func() error { return secrets.Remove(conn, name) }, 5},
		{"remove a network", func() error { _, err := network.Remove(conn, b.d.Workspace, nil); return err }, 5},
	} {
		must(t, tt.do())
		if tt.from <= podmantest.Version(t) {
			h.await(t, tt.what)
		}
		h.quiet()
	}
}

// TestEventsOfLooking: an observation makes no event that would call for one.
func TestEventsOfLooking(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	obj := b.start(t, id)
	h := hear(t, b.rt)
	for range 3 {
		b.observe(t)
	}
	_ = b.logs(t, obj.Handle)
	h.silent(t, "observations and logs")
	stranger := foreign(t, b.d.Workspace+"-other", toolImage(t), map[string]string{plan.LabelWorkspace: "another"})
	_, err := containers.Remove(podmantest.Conn(t), stranger, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
	must(t, err)
	h.silent(t, "a container of another workspace")
	must(t, containers.Kill(podmantest.Conn(t), obj.Handle, new(containers.KillOptions).WithSignal("KILL")))
	h.await(t, "kill")
}

// silent fails when something is heard. What is not there cannot be awaited, so
// a hint that comes late goes unnoticed; it never fails without cause.
func (h *hearing) silent(t *testing.T, what string) {
	t.Helper()
	select {
	case <-h.heard:
		t.Errorf("%s were heard", what)
		h.quiet()
	case <-time.After(400 * time.Millisecond):
	}
}

// service runs a podman service of the test's own upon the lab's storage.
type service struct {
	url string
	cmd *exec.Cmd
}

func serve(t *testing.T, url string, flags ...string) *service {
	t.Helper()
	s := &service{url: url, cmd: exec.Command("podman", append(flags, "system", "service", "--time=0", url)...)}
	s.cmd.Stderr = t.Output()
	s.cmd.WaitDelay = time.Second
	must(t, s.cmd.Start())
	t.Cleanup(s.kill)
	end := time.Now().Add(patience)
	for {
		conn, err := bindings.NewConnection(t.Context(), url)
		if err == nil {
			c, err := bindings.GetClient(conn)
			must(t, err)
			c.Client.CloseIdleConnections()
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("the service at %s: %v", url, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *service) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func freeSocket(t *testing.T) string {
	t.Helper()
	podmantest.Socket(t)
	dir, err := os.MkdirTemp("", "s")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return (&url.URL{Scheme: "unix", Path: filepath.Join(dir, "p.sock")}).String()
}

// TestServiceRestart: a service that comes back is found, by events and by
// observations, and nothing is left of the listening.
func TestServiceRestart(t *testing.T) {
	socket := freeSocket(t)
	first := serve(t, socket)
	before := runtime.NumGoroutine()
	rt, err := podman.Open(t.Context(), podman.Options{URL: socket, StateDir: t.TempDir(), Owner: "owner-1"})
	must(t, err)
	h := hear(t, rt)
	for range 2 {
		first.kill()
		d := plan.Desired{Workspace: workspace(t), Root: "/r"}
		if _, err := rt.Observe(t.Context(), d); err == nil || !strings.Contains(err.Error(), "does not answer any more") {
			t.Errorf("observe without a service: %v", err)
		}
		first = serve(t, socket)
		if _, err := rt.Observe(t.Context(), d); err != nil {
			t.Errorf("observe with the next service: %v", err)
		}
		h.await(t, "the service is back")
		h.quiet()
		touch(t)
		h.await(t, "tag")
	}
	h.end(t)
	must(t, rt.Close())
	end := time.Now().Add(patience)
	for runtime.NumGoroutine() > before {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before there were %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestEventsRefused: a service without a log of events says so.
func TestEventsRefused(t *testing.T) {
	socket := freeSocket(t)
	serve(t, socket, "--events-backend=none")
	rt, err := podman.Open(t.Context(), podman.Options{URL: socket, StateDir: t.TempDir(), Owner: "owner-1"})
	must(t, err)
	defer rt.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := rt.Events(ctx, func() {}); err == nil || !strings.Contains(err.Error(), "read events: ") {
		t.Errorf("events: %v, want a refusal", err)
	}
}

// A service that cannot read its log at the moment, because of a line that is being
// written, is asked again.
func TestEventsRefusedOnce(t *testing.T) {
	var asked atomic.Int32
	socket := through(t, func(w http.ResponseWriter, req *http.Request, service http.Handler) {
		if strings.HasSuffix(req.URL.Path, "/events") && asked.Add(1) <= 2 {
			fmt.Fprintln(w, `{"message":"unexpected end of JSON input","response":500}`)
			return
		}
		service.ServeHTTP(w, req)
	})
	rt, err := podman.Open(t.Context(), podman.Options{URL: socket, StateDir: t.TempDir(), Owner: "owner-1"})
	must(t, err)
	defer rt.Close()
	hear(t, rt).end(t)
	if n := asked.Load(); n < 3 {
		t.Errorf("asked %d times", n)
	}
}
