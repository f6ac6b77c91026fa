// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/podman/podmantest"
)

const loadAgent = `apiVersion: kubetask.io/v1alpha1
kind: Agent
metadata: {name: default}
spec:
  agentImage: localhost/test/shell
  command: [sh, -c, 'until test -e "$WORKSPACE_DIR/go" || ! test -e "$WORKSPACE_DIR/wait"; do sleep 0.1; done']
  maxConcurrentTasks: 3
`

// loadTasks are Tasks of which the first wait for a file.
func loadTasks(prefix string, count, waiting int) (text string, names []string) {
	for i := range count {
		name := fmt.Sprintf("%s%02d", prefix, i)
		names = append(names, name)
		text += fmt.Sprintf("---\napiVersion: kubetask.io/v1alpha1\nkind: Task\nmetadata: {name: %s}\nspec:\n  description: x\n", name)
		if i < waiting {
			text += "  contexts: [{mountPath: wait, name: wait, type: Inline, inline: {content: x}}]\n"
		}
	}
	return text, names
}

// interval is when a container ran, by Podman's clock.
type interval struct {
	name       string
	begin, end time.Time
}

func (h *host) spans(t testing.TB) []interval {
	t.Helper()
	conn := podmantest.Conn(t)
	list, err := containers.List(conn, new(containers.ListOptions).WithAll(true).WithFilters(h.filter()))
	check(t, err)
	var out []interval
	for _, c := range list {
		one, err := containers.Inspect(conn, c.ID, nil)
		check(t, err)
		out = append(out, interval{strings.TrimPrefix(one.Name, h.workspace+"-task-"), one.State.StartedAt, one.State.FinishedAt})
	}
	slices.SortFunc(out, func(a, b interval) int { return a.begin.Compare(b.begin) })
	return out
}

// TestTaskQueueUnderLoad: never more runs of an Agent than it allows, in the order in
// which they came, each once, and nothing is left to do in the end.
func TestTaskQueueUnderLoad(t *testing.T) {
	t.Parallel()
	const atOnce = 3
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	h := newHost(t, "tasks-load")
	dir := t.TempDir()
	files := workspaceFiles(h.workspace, nil)
	text, want := loadTasks("t", 30, atOnce)
	files["tasks.yaml"] = loadAgent + text
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	phases := func() map[string]string { return h.phases(t, dir) }
	w := h.watch(t, dir)
	w.await(t, "the queue is full", func() bool {
		p := phases()
		return p["t00"] == "Running" && p["t02"] == "Running" && p["t29"] == "Queued"
	})
	// What comes later is last, although its names come first.
	text, later := loadTasks("a", 5, 0)
	want = append(want, later...)
	check(t, os.WriteFile(filepath.Join(dir, "later.yaml"), []byte(text), 0o644))
	w.await(t, "more is queued", func() bool { return phases()["a04"] == "Queued" })
	for _, name := range want[:atOnce] {
		if out, code := h.command(t, dir, "exec", name, "--", "touch", "/workspace/go"); code != 0 {
			t.Fatalf("exec %s: exit code %d\n%s", name, code, out)
		}
	}
	w.await(t, "all have ended", func() bool {
		p := phases()
		return len(p) == len(want) && !slices.ContainsFunc(want, func(n string) bool { return p[n] != "Completed" })
	})
	w.end(t)

	ran := h.spans(t)
	if len(ran) != len(want) {
		t.Errorf("%d containers for %d tasks", len(ran), len(want))
	}
	for i, s := range ran {
		others := 0
		for _, o := range ran[:i] {
			if o.end.After(s.begin) {
				others++
			}
		}
		if others >= atOnce {
			t.Errorf("%s began while %d others ran", s.name, others)
		}
	}
	// A start may take its time; when it was decided on is the order.
	began := map[string]time.Time{}
	for _, s := range h.statuses(t, dir) {
		for _, r := range s.Runs {
			began[r.Name] = r.Started
		}
	}
	for i, name := range want[1:] {
		if before := want[i]; began[name].Before(began[before]) || began[name].IsZero() {
			t.Errorf("%s began at %v, before %s, which did at %v", name, began[name], before, began[before])
		}
	}
	if out, code := h.command(t, dir); code != 0 {
		t.Errorf("one more pass: exit code %d\n%s", code, out)
	}
	if out, code := h.command(t, dir, "--dry-run"); code != 0 {
		t.Errorf("then a dry run: exit code %d\n%s", code, out)
	}
	if got := len(h.spans(t)); got != len(want) {
		t.Errorf("then there are %d containers", got)
	}
	h.gone(t, dir)
}

// taskStatus is what status says of a Task or CronTask.
type taskStatus struct {
	ID      string
	Phase   string
	Skipped int
	Runs    []struct {
		Name, Phase, Reason string
		Started             time.Time
	}
}

func (h *host) statuses(t testing.TB, dir string) []taskStatus {
	t.Helper()
	time.Sleep(200 * time.Millisecond) // it is asked for again and again, each time by a process
	out, _ := h.command(t, dir, "status", "-o", "json")
	var doc struct{ Status []taskStatus }
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatalf("status: %v\n%s", err, out)
	}
	return doc.Status
}

// phases are those of the Tasks, by name.
func (h *host) phases(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, s := range h.statuses(t, dir) {
		if name, ok := strings.CutPrefix(s.ID, "task/"); ok {
			out[name] = s.Phase
		}
	}
	return out
}

const cronTask = `---
apiVersion: kubetask.io/v1alpha1
kind: CronTask
metadata: {name: %s}
spec:
  schedule: "@every 10s"
  concurrencyPolicy: %s
  taskTemplate: {spec: {agentRef: sleeper}}
`

// TestCronInRealTime: what two slots do that come while the run of the one before
// goes on, by the clock of this host.
func TestCronInRealTime(t *testing.T) {
	t.Parallel()
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	h := newHost(t, "tasks-cron")
	dir := t.TempDir()
	files := workspaceFiles(h.workspace, nil)
	files["tasks.yaml"] = "apiVersion: kubetask.io/v1alpha1\nkind: Agent\nmetadata: {name: sleeper}\n" +
		"spec: {agentImage: localhost/test/shell, command: [sleep, \"100000\"]}\n" +
		fmt.Sprintf(cronTask, "forbid", "Forbid") + fmt.Sprintf(cronTask, "allow", "Allow") + fmt.Sprintf(cronTask, "replace", "Replace")
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	// of says how many runs of a CronTask there are of each phase and reason.
	of := func(name string) (runs map[string]int, skipped int) {
		runs = map[string]int{}
		for _, s := range h.statuses(t, dir) {
			if s.ID != "crontask/"+name {
				continue
			}
			for _, r := range s.Runs {
				runs[strings.TrimSpace(r.Phase+" "+r.Reason)]++
			}
			skipped = s.Skipped
		}
		return runs, skipped
	}
	w := h.watch(t, dir)
	w.await(t, "Forbid skips a slot", func() bool { runs, skipped := of("forbid"); return runs["Running"] == 1 && skipped > 0 })
	w.await(t, "Allow runs two", func() bool { runs, _ := of("allow"); return runs["Running"] >= 2 })
	w.await(t, "Replace runs the last", func() bool {
		runs, _ := of("replace")
		return runs["Running"] == 1 && runs["Failed replaced"] == 1
	})
	w.end(t)
	if runs, _ := of("forbid"); runs["Running"] != 1 || len(runs) != 1 {
		t.Errorf("Forbid: %v, want one run", runs)
	}
	if _, skipped := of("allow"); skipped != 0 {
		t.Errorf("Allow skipped %d slots", skipped)
	}
	for name, i := range h.instances(t) {
		n := name[strings.LastIndex(name, "-")+1:]
		var slot int64
		if _, err := fmt.Sscan(n, &slot); err != nil || slot%10 != 0 {
			t.Errorf("%s (%s) is not named after a slot", name, i.state)
		}
	}
	h.gone(t, dir)
}
