// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/helper"
	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// channelDir is a folder for sockets, whose paths must be short.
func channelDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "ch-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// withProbes makes a container one with both probes, by scripts in /code.
func withProbes(scripts map[string]string) func(*plan.ContainerSpec) {
	return func(c *plan.ContainerSpec) {
		c.Helper, c.Installed = true, false
		probe := func(script string) *plan.Probe {
			if scripts[script] == "" {
				return nil
			}
			return &plan.Probe{Script: script, Interval: 50, Timeout: 5000, FailureThreshold: 2, SuccessThreshold: 1}
		}
		c.Liveness, c.Readiness = probe("live.sh"), probe("ready.sh")
	}
}

// probed wants an instance whose probes are scripts.
func (b *hookBed) probed(t testing.TB, name, image string, scripts map[string]string) plan.ID {
	t.Helper()
	for file, text := range scripts {
		must(t, os.WriteFile(filepath.Join(b.code, file), []byte(text), 0o755))
	}
	id, derived := b.agent(t, name, image, withProbes(scripts))
	b.drop(derived)
	res := b.resource(id)
	res.Needs = nil
	b.add(res)
	return id
}

// drop takes a resource out of the workspace.
func (b *bed) drop(id plan.ID) {
	for i, res := range b.d.Resources {
		if res.ID == id {
			b.d.Resources = append(b.d.Resources[:i:i], b.d.Resources[i+1:]...)
			return
		}
	}
}

// eventually observes until the object is as it should be.
func (b *bed) eventually(t testing.TB, id plan.ID, what string, ok func(plan.Object) bool) plan.Object {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		obj := b.object(t, id)
		if ok(obj) {
			return obj
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s never came: %+v", what, jsonOf(t, obj.Health))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ready(want plan.Verdict) func(plan.Object) bool {
	return func(o plan.Object) bool {
		return o.Health != nil && o.Health.Readiness != nil && o.Health.Readiness.Verdict == want
	}
}

func live(want plan.Verdict) func(plan.Object) bool {
	return func(o plan.Object) bool {
		return o.Health != nil && o.Health.Liveness != nil && o.Health.Liveness.Verdict == want
	}
}

// TestProbes: the real helper in a real container tells, for images of any user,
// what its probes say; a wait waits for that; and a runtime that comes later hears
// it in its first look.
func TestProbes(t *testing.T) {
	for _, user := range []string{"", "USER 1000:1001"} {
		t.Run(user, func(t *testing.T) {
			dir := channelDir(t)
			b := newHookBed(t, func(o *podman.Options) { o.ChannelDir = dir })
			image := shell(t)
			if user != "" {
				image = shell(t, user)
			}
			id := b.probed(t, "a", image, map[string]string{
				"live.sh":  `test ! -e /tmp/dead || { echo it is dead; exit 1; }`,
				"ready.sh": `test -e /tmp/go || { echo "not yet"; exit 1; }`,
			})
			obj := b.start(t, id)
			got := b.eventually(t, id, "failing", ready(plan.VerdictFailing))
			if r := got.Health.Readiness; r.Output != "not yet\n" && r.Output != "not yet" || r.Failures < 2 || r.Since.IsZero() {
				t.Errorf("readiness %+v", r)
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errTooSlow)
			defer cancel()
			_, err := b.rt.Do(ctx, on(plan.OpWait, obj), b.d)
			if err == nil || !strings.Contains(err.Error(), "Container failed to become ready: its readiness probe ready.sh said last: not yet") || !errors.Is(err, errTooSlow) {
				t.Errorf("wait: %v", err)
			}
			if got := b.object(t, id); got.State != plan.StateRunning {
				t.Errorf("the container is %s", got.State)
			}

			notified := make(chan bool, 1)
			events, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() {
				ended <- b.rt.Events(events, func() {
					select {
					case notified <- true:
					default:
					}
				})
			}()
			waited := make(chan error, 1)
			go func() {
				_, err := b.rt.Do(t.Context(), on(plan.OpWait, obj), b.d)
				waited <- err
			}()
			sh(t, obj.Handle, "touch /tmp/go")
			if err := <-waited; err != nil {
				t.Errorf("wait: %v", err)
			}
			<-notified
			stop()
			must(t, <-ended)

			must(t, b.rt.Close())
			b.rt = open(t, func(o *podman.Options) { withHelper(t, b.logs)(o); o.ChannelDir = dir })
			o, err := b.rt.Observe(t.Context(), b.d)
			must(t, err)
			if len(o.Objects) != 1 || !ready(plan.VerdictPassing)(o.Objects[0]) || !live(plan.VerdictPassing)(o.Objects[0]) {
				t.Errorf("first look of another runtime: %s", jsonOf(t, o.Objects))
			}

			reader, err := podman.OpenReader(t.Context(), podman.Options{URL: podmantest.Socket(t), ChannelDir: dir})
			must(t, err)
			o, err = reader.Observe(t.Context(), b.d)
			must(t, err)
			must(t, reader.Close())
			if o.Objects[0].Health != nil {
				t.Error("a reader heard something")
			}

			b.do(t, on(plan.OpDelete, obj))
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v, %v is left of the channel", left, err)
			}
		})
	}
}

func execConfig(argv ...string) *handlers.ExecCreateConfig {
	c := new(handlers.ExecCreateConfig)
	c.Cmd = argv
	return c
}

// sh runs a command in a container, as somebody would by hand.
func sh(t testing.TB, handle, command string) {
	t.Helper()
	config := execConfig("/bin/sh", "-c", command)
	id, err := containers.ExecCreate(podmantest.Conn(t), handle, config)
	must(t, err)
	must(t, containers.ExecStart(podmantest.Conn(t), id, nil))
}

// TestChannelReboot: the folders of sockets may be gone by the time that a
// container is started again.
func TestChannelReboot(t *testing.T) {
	dir := channelDir(t)
	b := newHookBed(t, func(o *podman.Options) { o.ChannelDir = dir })
	id := b.probed(t, "a", shell(t), map[string]string{"ready.sh": "true"})
	obj := b.start(t, id)
	b.do(t, on(plan.OpWait, obj))
	b.do(t, on(plan.OpStop, obj))
	left, err := os.ReadDir(dir)
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(dir, left[0].Name())))
	prepare := on(plan.OpPrepare, obj)
	b.do(t, prepare)
	b.do(t, on(plan.OpStart, obj))
	b.do(t, on(plan.OpWait, obj))
	if !ready(plan.VerdictPassing)(b.object(t, id)) {
		t.Error("not ready")
	}

	// What a pass that was killed left of a container that never came.
	stale := filepath.Join(dir, left[0].Name()[:9]+"0123456789ab")
	other := filepath.Join(dir, "00000000-0123456789ab")
	must(t, os.Mkdir(stale, 0o755))
	must(t, os.Mkdir(other, 0o755))
	second := open(t, func(o *podman.Options) { o.ChannelDir = dir })
	_, err = second.Observe(t.Context(), b.d)
	must(t, err)
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s stays: %v", stale, err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the channel of another workspace: %v", err)
	}
}

// TestChannelInput: what comes over a channel is somebody else's.
func TestChannelInput(t *testing.T) {
	dir := channelDir(t)
	var told atomic.Int32
	b := newHookBed(t, func(o *podman.Options) { o.ChannelDir = dir })
	// The helper itself has nothing to say for a long time.
	id := b.probed(t, "a", shell(t), map[string]string{"ready.sh": "true"})
	res := b.resource(id)
	res.Spec.Container.Readiness.InitialDelay = 3_600_000
	b.add(res)
	obj := b.start(t, id)
	b.eventually(t, id, "a report", func(o plan.Object) bool { return o.Health != nil })
	entries, err := os.ReadDir(dir)
	must(t, err)
	socket := filepath.Join(dir, entries[0].Name(), "helper.sock")
	info, err := os.Stat(socket)
	must(t, err)
	if mode := info.Mode().Perm(); mode != 0o666 {
		t.Errorf("mode of the socket %o", mode)
	}
	events, stop := context.WithCancel(t.Context())
	defer stop()
	go b.rt.Events(events, func() { told.Add(1) })

	report := func(container, verdict, output string) string {
		r := helper.Report{Container: container, Readiness: &helper.ProbeState{Verdict: verdict, Output: output, Failures: 1}}
		return jsonOf(t, r) + "\n"
	}
	for _, tt := range []struct {
		name, text string
		hangsUp    bool // the connection is closed on us
	}{
		{"no report", "hello\n", true},
		{"another container", report("0123456789ab", helper.Passing, ""), false},
		{"no container", report("", helper.Passing, ""), true},
		{"a path", report("../../../../etc", helper.Passing, ""), true},
		{"a verdict of its own", report(obj.Handle[:12], "splendid", ""), true},
		{"a long line", strings.Repeat("x", helper.MaxReport+1), true},
		{"a flood without an end", strings.Repeat(" ", 8*helper.MaxReport), true},
		{"half a line", `{"container":"`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("unix", socket)
			must(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte(tt.text))
			if err != nil && !tt.hangsUp {
				t.Errorf("write: %v", err)
			}
			if tt.hangsUp {
				must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
				if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("read: %v, want that it is closed", err)
				}
			}
			if ready(plan.VerdictPassing)(b.object(t, id)) {
				t.Error("it is ready")
			}
		})
	}

	// What speaks for the container itself is believed, but no terminal is steered.
	conn, err := net.Dial("unix", socket)
	must(t, err)
	_, err = conn.Write([]byte(report(obj.Handle[:12], helper.Failing, strings.Repeat("y", helper.MaxOutput)+"\x1b[2J")))
	must(t, err)
	got := b.eventually(t, id, "failing", ready(plan.VerdictFailing))
	if out := got.Health.Readiness.Output; len(out) > helper.MaxOutput+8 || !strings.HasSuffix(out, `y\x1b[2J`) {
		t.Errorf("output of %d bytes, ends in %q", len(out), out[max(0, len(out)-20):])
	}
	must(t, conn.Close())
	b.eventually(t, id, "nothing", func(o plan.Object) bool { return o.Health == nil })
	for told.Load() == 0 {
		time.Sleep(time.Millisecond)
	}

	// Nobody gets more connections than a helper needs.
	var conns []net.Conn
	for range 20 {
		c, err := net.Dial("unix", socket)
		must(t, err)
		conns = append(conns, c)
	}
	closed := 0
	for _, c := range conns {
		must(t, c.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			closed++
		}
	}
	if closed < 16 {
		t.Errorf("%d of 20 connections were closed, want 16 at least", closed)
	}
	for _, c := range conns {
		must(t, c.Close())
	}
}
