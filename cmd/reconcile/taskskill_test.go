// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/google/go-cmp/cmp"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// killedTask is a workspace with one Task, which writes one line each time that it
// is run, and then ends or not.
const killedTask = `apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: once}
spec:
  description: "Once.\n"
  contexts: [{name: big, mountPath: notes/big.md, type: ConfigMap, configMap: {name: big, key: text}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: big}
data: {text: "A text.\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {token: twelve-chars}
---
apiVersion: kubetask.io/v1alpha1
kind: Agent
metadata: {name: default}
spec:
  agentImage: localhost/test/shell
  command: [sh, -c, 'cat "$WORKSPACE_DIR/task.md"; echo "it has ${#TOKEN}"; %s']
  credentials: [{name: token, secretRef: {name: login, key: token}, env: TOKEN}]
`

// runPoints are the requests that a run is made with, in their order, and where the
// program is killed: before the service hears of one, or when it has done it and
// the program does not know.
var runPoints = []struct {
	name   string
	path   *regexp.Regexp
	before bool
	half   bool // what a prepare that was cut leaves behind is made of what it made
}{
	{name: "while preparing", path: containerCreate, before: true, half: true},
	{name: "prepared", path: containerCreate, before: true},
	{name: "secret made", path: regexp.MustCompile(`/secrets/create$`)},
	{name: "created", path: containerCreate},
	{name: "recorded", path: containerStart, before: true},
	{name: "started", path: containerStart},
}

var (
	containerCreate = regexp.MustCompile(`/containers/create$`)
	containerStart  = regexp.MustCompile(`/containers/[^/]+/start$`)
)

// taskState is what status says of a Task.
type taskState struct {
	Phase, Reason string
	Code          int
	Runs          int
}

// command runs reconcile and returns what it printed and its exit code.
func (h *host) command(t testing.TB, dir string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(h.binary, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CONTAINER_HOST="+h.podman, "RECONCILE_STATE_DIR="+h.state, "NO_COLOR=1")
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (h *host) task(t testing.TB, dir, name string) taskState {
	t.Helper()
	out, _ := h.command(t, dir, "task", name, "-o", "json")
	var doc struct {
		Status []struct {
			Phase  string
			Reason string `json:"phase_reason"`
			Code   int    `json:"exit_code"`
			Runs   []json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Status) != 1 {
		t.Fatalf("status of %s: %v\n%s", name, err, out)
	}
	s := doc.Status[0]
	return taskState{s.Phase, s.Reason, s.Code, len(s.Runs)}
}

// awaitPhase waits for a Task to be in a phase.
func (h *host) awaitPhase(t testing.TB, dir, name, phase string) taskState {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got := h.task(t, dir, name)
		if got.Phase == phase {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%s is %+v; want the phase %s", name, got, phase)
		}
	}
}

// taskFolders are the folders of the runs of the workspace, half-made ones as well.
func (h *host) taskFolders(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(h.state, "workspaces", h.workspace, "data/runs/*/*/*/*"))
	check(t, err)
	hidden, err := filepath.Glob(filepath.Join(h.state, "workspaces", h.workspace, "data/runs/*/*/*/.*"))
	check(t, err)
	return append(found, hidden...)
}

// cut makes of the one complete folder of a run what is there while one is made.
func (h *host) cut(t testing.TB) {
	t.Helper()
	found := h.taskFolders(t)
	if len(found) != 1 {
		t.Fatalf("folders %v, want one", found)
	}
	check(t, os.Remove(filepath.Join(found[0], "made")))
	check(t, os.Rename(found[0], filepath.Join(filepath.Dir(found[0]), "."+filepath.Base(found[0])+".tmp-1234")))
}

// TestTaskKilled: a run is started once and comes to its end, wherever the one that
// starts it is killed, a daemon or a single pass, and whichever comes after it.
func TestTaskKilled(t *testing.T) {
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	for i, p := range runPoints {
		for _, daemonFirst := range []bool{true, false} {
			name := p.name + ", one pass after another"
			if daemonFirst {
				name = p.name + ", a daemon after a daemon"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t, fmt.Sprintf("kill-task-%d-%t", i, daemonFirst))
				dir := h.killedWorkspace(t, "true")
				starts, service, direct := new(atomic.Int32), tapPodman(t), h.podman
				service.on(func(r *http.Request) hold {
					hit := r.Method == http.MethodPost && p.path.MatchString(r.URL.Path)
					if hit && p.before {
						service.stay(r)
						return pass
					}
					if containerStart.MatchString(r.URL.Path) {
						starts.Add(1)
					}
					if hit {
						return holdAfter
					}
					return pass
				})
				h.podman = service.url
				w := h.begin(t, dir, daemonFirst)
				service.await(t, w)
				w.kill()
				if p.half {
					h.cut(t)
				}
				service.on(func(r *http.Request) hold {
					if containerStart.MatchString(r.URL.Path) {
						starts.Add(1)
					}
					return pass
				})

				before := h.instances(t)
				w = h.begin(t, dir, daemonFirst)
				if daemonFirst {
					w.await(t, "the run ends", func() bool { return h.task(t, dir, "once").Phase == "Completed" })
					w.end(t)
				} else {
					<-w.ended
				}
				h.podman = direct
				if diff := cmp.Diff(taskState{Phase: "Completed", Runs: 1}, h.awaitPhase(t, dir, "once", "Completed")); diff != "" {
					t.Errorf("the Task (-want +got)\n%s", diff)
				}
				if got := starts.Load(); got != 1 {
					t.Errorf("started %d times", got)
				}
				for name, b := range before {
					if now := h.instances(t)[name]; now.id != b.id {
						t.Errorf("%s was made anew", name)
					}
				}
				if got, code := h.command(t, dir, "logs", "once"); got != "Once.\nit has 12\n" || code != 0 {
					t.Errorf("logs %q (exit code %d)", got, code)
				}
				if out, code := h.command(t, dir); code != 0 {
					t.Errorf("one more pass: exit code %d\n%s", code, out)
				}
				if out, code := h.command(t, dir, "--dry-run"); code != 0 {
					t.Errorf("then a dry run: exit code %d\n%s", code, out)
				}
				if got := h.taskFolders(t); len(got) != 1 {
					t.Errorf("folders of runs: %v, want one", got)
				}
				h.gone(t, dir)
			})
		}
	}
}

// TestTaskKilledWhileItRuns: a run whose daemon was killed goes on in the very same
// container, and the next one takes it over.
func TestTaskKilledWhileItRuns(t *testing.T) {
	t.Parallel()
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	h := newHost(t, "kill-running")
	dir := h.killedWorkspace(t, `until test -e "$WORKSPACE_DIR/go"; do sleep 0.1; done; exit 3`)
	w := h.watch(t, dir)
	w.await(t, "it runs", func() bool { return h.task(t, dir, "once").Phase == "Running" })
	first := h.instances(t)
	w.kill()
	if diff := cmp.Diff(first, h.instances(t), cmp.AllowUnexported(instance{})); diff != "" {
		t.Errorf("the end of the daemon changed what runs (-before +after)\n%s", diff)
	}
	if got := h.task(t, dir, "once").Phase; got != "Running" {
		t.Errorf("without a daemon it is %s", got)
	}
	w = h.watch(t, dir)
	w.await(t, "the next daemon begins", func() bool { return strings.Contains(w.output.String(), "workspace "+h.workspace) })
	if out, code := h.command(t, dir, "exec", "once", "--", "touch", "/workspace/go"); code != 0 {
		t.Fatalf("exec: exit code %d\n%s", code, out)
	}
	w.await(t, "it ends", func() bool { return h.task(t, dir, "once").Phase == "Failed" })
	if got := h.task(t, dir, "once"); got.Code != 3 || got.Runs != 1 {
		t.Errorf("%+v, want exit code 3 of one run", got)
	}
	w.end(t)
	for name, b := range h.instances(t) {
		if b.id != first[name].id {
			t.Errorf("%s is another container", name)
		}
	}
	h.gone(t, dir)
}

// TestTaskKilledWithoutDaemon: how a run ended is known even where nobody was there
// to see it, and its container is gone from Podman's list of those that run.
func TestTaskKilledWithoutDaemon(t *testing.T) {
	t.Parallel()
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	h := newHost(t, "kill-unseen")
	dir := h.killedWorkspace(t, "exit 7")
	if out, code := h.command(t, dir); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if got := h.awaitPhase(t, dir, "once", "Failed"); got.Code != 7 || got.Runs != 1 {
		t.Errorf("%+v, want exit code 7 of one run", got)
	}
	h.gone(t, dir)
}

// killedWorkspace writes the workspace whose Task ends with a command.
func (h *host) killedWorkspace(t testing.TB, end string) string {
	t.Helper()
	dir := t.TempDir()
	files := workspaceFiles(h.workspace, nil)
	files["tasks.yaml"] = fmt.Sprintf(killedTask, strings.ReplaceAll(end, "'", "''"))
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

// begin starts a daemon, or a single pass.
func (h *host) begin(t testing.TB, dir string, daemon bool) *watching {
	t.Helper()
	if daemon {
		return h.watch(t, dir)
	}
	return h.start(t, "pass", dir)
}

// ownSecrets are the names of the secrets that were made for the workspace.
func (h *host) ownSecrets(t testing.TB) []string {
	t.Helper()
	conn := podmantest.Conn(t)
	list, err := secrets.List(conn, nil)
	check(t, err)
	var names []string
	for _, l := range list {
		one, err := secrets.Inspect(conn, l.ID, nil)
		if err == nil && one.Spec.Labels[plan.LabelWorkspace] == h.workspace {
			names = append(names, one.Spec.Name)
		}
	}
	return names
}

// gone destroys the workspace and looks whether something is left.
func (h *host) gone(t testing.TB, dir string) {
	t.Helper()
	if out, code := h.command(t, dir, "destroy", "--yes"); code != 0 {
		t.Errorf("destroy: exit code %d\n%s", code, out)
	}
	h.tidy(t)
	if got := h.instances(t); len(got) > 0 {
		t.Errorf("containers %v are left", got)
	}
	if got := h.ownSecrets(t); len(got) > 0 {
		t.Errorf("secrets %v are left", got)
	}
	if got := h.taskFolders(t); len(got) > 0 {
		t.Errorf("folders %v are left", got)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	if strings.Contains(string(mounts), h.state) {
		t.Errorf("mounts below %s are left", h.state)
	}
}
