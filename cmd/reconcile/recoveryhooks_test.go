// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// run runs a command beside the daemon and returns what it printed and its exit
// code.
func (h *host) run(t testing.TB, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(h.binary, args...)
	cmd.Env = append(os.Environ(), "CONTAINER_HOST="+h.podman, "RECONCILE_STATE_DIR="+h.state, "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	check(t, err)
	return string(out), 0
}

// hooksBed is a workspace of one agent with a hook that goes on until it is let
// go, and says when it begins and ends.
type hooksBed struct {
	*host
	dir, marks string
}

func newHooksBed(t testing.TB, workspace, manifest string) *hooksBed {
	t.Helper()
	t.Cleanup(func() { clearImages(t, workspace) }) // once the containers are gone
	b := &hooksBed{host: newHost(t, workspace), dir: t.TempDir()}
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	b.marks = filepath.Join(b.dir, "marks")
	check(t, os.Mkdir(b.marks, 0o777))
	check(t, os.MkdirAll(filepath.Join(b.dir, "agents", "a"), 0o755))
	files := map[string]string{
		"workspace.yaml":         fmt.Sprintf("apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: %s}\nspec: {enable: [a]}\n", workspace),
		"agents/a/manifest.yaml": "container: localhost/test/shell\nagent: /bin/tool pause\nvolumes: {marks: /marks}\n" + manifest,
	}
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644))
	}
	return b
}

// clearImages removes what install hooks of a workspace have made.
func clearImages(t testing.TB, workspace string) {
	conn := context.WithoutCancel(podmantest.Conn(t))
	filter := map[string][]string{"label": {plan.ImageLabel(plan.LabelWorkspace) + "=" + workspace}}
	list, err := images.List(conn, new(images.ListOptions).WithFilters(filter))
	if err != nil {
		t.Error(err)
	}
	for _, i := range list {
		if _, errs := images.Remove(conn, []string{i.ID}, new(images.RemoveOptions).WithForce(true)); len(errs) > 0 {
			t.Error(errs)
		}
	}
}

// hookText is the hook, in which the folder of marks is at path.
func hookText(workspace, path string) string {
	return fmt.Sprintf("echo begin %s >>%[2]s/log; while ! test -e %[2]s/go; do sleep 0.05; done; echo end >>%[2]s/log", workspace, path)
}

// ran is how often the hook began and ended.
func (b *hooksBed) ran() (begun, ended int) {
	text, _ := os.ReadFile(filepath.Join(b.marks, "log"))
	return bytes.Count(text, []byte("begin")), bytes.Count(text, []byte("end\n"))
}

func (b *hooksBed) begun(n int) func() bool {
	return func() bool { got, _ := b.ran(); return got >= n }
}

// alive is how many runs of the hook are under way, on the host or in containers.
func (b *hooksBed) alive(t testing.TB) int {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	check(t, err)
	n := 0
	for _, p := range processes {
		text, _ := os.ReadFile(p)
		if bytes.HasPrefix(text, []byte("/bin/sh\x00")) && bytes.Contains(text, []byte("echo begin "+b.workspace+" ")) {
			n++
		}
	}
	return n
}

// settled checks that all is as if nothing had happened: one container, nothing
// of hooks, nothing to do.
func (b *hooksBed) settled(t testing.TB, w *watching) {
	t.Helper()
	w.await(t, "it runs", b.runs(t, map[string]string{"a": ""}))
	w.await(t, "nothing is left to do", func() bool {
		_, code := b.run(t, "-C", b.dir, "--host-hooks=allow", "--dry-run")
		return code == 0
	})
	before := b.startedAt(t)
	w.end(t)
	b.tidy(t)
	out, code := b.run(t, "-C", b.dir, "--host-hooks=allow")
	if code != 0 || !strings.Contains(out, "0 changes") {
		t.Errorf("a pass afterwards ends with %d:\n%s", code, out)
	}
	if after := b.startedAt(t); after != before {
		t.Errorf("it was started at %s, and then at %s", before, after)
	}
	list, err := containers.List(podmantest.Conn(t), new(containers.ListOptions).WithAll(true))
	check(t, err)
	for _, c := range list {
		if strings.HasPrefix(c.Names[0], b.workspace+"-hook") {
			t.Errorf("left over: %s", c.Names[0])
		}
	}
	if n := b.alive(t); n > 0 {
		t.Errorf("%d runs of the hook are left", n)
	}
}

// startedAt is the container's ID and when it was started.
func (b *hooksBed) startedAt(t testing.TB) string {
	t.Helper()
	c, err := containers.Inspect(podmantest.Conn(t), b.workspace+"-a", nil)
	check(t, err)
	return c.ID + " " + c.State.StartedAt.String()
}

// TestKilledInAHook: a daemon that is killed while a hook runs is followed by one
// that never has two of it run at once, and comes to the same end.
func TestKilledInAHook(t *testing.T) {
	for _, tt := range []struct {
		hook  string
		path  string // of the marks, where it runs; "" = on this host
		begun int    // how often the hook begins: what runs on the host goes on
	}{
		{"preinstall", "", 1},
		{"install", "/marks", 2},
		{"postinstall", "/marks", 2},
		{"update", "/marks", 2},
	} {
		t.Run(tt.hook, func(t *testing.T) {
			t.Parallel()
			name := "kill-" + tt.hook
			path := tt.path
			if path == "" {
				path = "../../marks"
			}
			b := newHooksBed(t, name, fmt.Sprintf("%s: %q\n", tt.hook, hookText(name, path)))
			w := b.watch(t, "-C", b.dir, "--host-hooks=allow")
			if tt.hook == "update" {
				w.await(t, "it runs", b.runs(t, map[string]string{"a": ""}))
				done := make(chan struct{})
				go func() {
					defer close(done)
					b.run(t, "-C", b.dir, "update", "a")
				}()
				t.Cleanup(func() { <-done })
			}
			w.await(t, "the hook begins", b.begun(1))
			w.kill()

			w = b.watch(t, "-C", b.dir, "--host-hooks=allow")
			if tt.path == "" {
				w.await(t, "the hook is waited for", func() bool {
					out, _ := b.run(t, "-C", b.dir, "--host-hooks=allow", "status")
					return strings.Contains(out, "its hook runs on this host")
				})
			}
			w.await(t, "the hook goes on", b.begun(tt.begun))
			// A shell that has just forked counts as two for a moment.
			w.await(t, "one run of the hook is under way", func() bool { return b.alive(t) == 1 })
			check(t, os.WriteFile(filepath.Join(b.marks, "go"), nil, 0o644))
			b.settled(t, w)
			if begun, ended := b.ran(); begun != tt.begun || ended != 1 {
				t.Errorf("the hook began %d times and ended %d times, want %d and 1", begun, ended, tt.begun)
			}
		})
	}
}

// TestKilledInARestart: a daemon that is killed in the middle of a restart, which
// it owes after a hook or somebody asked for, is followed by one that does what is
// left of it, and not more.
func TestKilledInARestart(t *testing.T) {
	const stop, start = `/containers/[^/]+/stop$`, `/containers/[^/]+/start$`
	for i, tt := range []struct {
		name  string
		asked bool
		path  string
		nth   int // request that is held
	}{
		{"after the stop that a hook owes", false, stop, 1},
		{"after the start that a hook owes", false, start, 2},
		{"after the stop of reconcile restart", true, stop, 1},
		{"after the start of reconcile restart", true, start, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("kill-restart-%d", i)
			manifest := fmt.Sprintf("postinstall: %q\n", hookText(name, "/marks"))
			if tt.asked {
				manifest = ""
			}
			b := newHooksBed(t, name, manifest)
			check(t, os.WriteFile(filepath.Join(b.marks, "go"), nil, 0o644))
			service, direct, seen := tapPodman(t), b.podman, 0
			re := regexp.MustCompile(tt.path)
			held := func(r *http.Request) hold {
				if r.Method != http.MethodPost || !re.MatchString(r.URL.Path) {
					return pass
				}
				if seen++; seen == tt.nth {
					return holdAfter
				}
				return pass
			}
			b.podman = service.url
			if !tt.asked {
				service.on(held)
			}
			w := b.watch(t, "-C", b.dir)
			if tt.asked {
				w.await(t, "it runs", b.runs(t, map[string]string{"a": ""}))
				service.on(held)
				done := make(chan struct{})
				go func() {
					defer close(done)
					b.run(t, "-C", b.dir, "restart", "a")
				}()
				t.Cleanup(func() { <-done })
			}
			service.await(t, w)
			before := b.startedAt(t)
			w.kill()

			b.podman = direct
			w = b.watch(t, "-C", b.dir)
			b.settled(t, w)
			if strings.Contains(w.output.String(), "CrashLoopBackOff") {
				t.Error("what is owed waited as if the container had crashed")
			}
			switch after := b.startedAt(t); {
			case tt.path == start && after != before:
				t.Errorf("it was started at %s, and once more at %s", before, after)
			case tt.path == stop && after[:64] != before[:64]:
				t.Errorf("%s is another container than %s", after, before)
			}
			if begun, _ := b.ran(); !tt.asked && begun != 1 {
				t.Errorf("the hook began %d times, want once", begun)
			}
		})
	}
}
