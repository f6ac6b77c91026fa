// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconcile/repos/repostest"
)

// buildBinary builds reconcile as it is shipped: a test binary is larger.
func buildBinary(tb testing.TB) string {
	tb.Helper()
	binary := filepath.Join(tb.TempDir(), "reconcile")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "remote containers_image_openpgp exclude_graphdriver_btrfs", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build reconcile: %v\n%s", err, out)
	}
	return binary
}

// memory are lines of /proc/PID/status, in MiB.
func memory(tb testing.TB, pid int) map[string]float64 {
	tb.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	check(tb, err)
	defer f.Close()
	out := map[string]float64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib float64
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if _, err := fmt.Sscanf(rest, "%f kB", &kib); err == nil {
			out[name] = kib / 1024
		}
	}
	return out
}

// BenchmarkDaemonMemory is the resident memory of a daemon at rest, with 200
// instances out of 20 repositories: after it made all of them and has looked at
// everything some times. rss-MiB has rssfile-MiB of program text in it, which
// the kernel can drop; peak-MiB is the most there ever was.
func BenchmarkDaemonMemory(b *testing.B) {
	const repoCount, agents = 20, 10
	h := newHost(b, "memory")
	h.binary = buildBinary(b)
	srv := repostest.HTTP(b, repostest.HTTPOptions{})
	var repos, enable []string
	want := map[string]string{}
	for r := range repoCount {
		name := fmt.Sprintf("repo-%02d", r)
		files := map[string]string{"README.md": strings.Repeat("What this is for.\n", 200)}
		for a := range agents {
			agent := fmt.Sprintf("agent-%02d-%02d", r, a)
			files[agent+"/manifest.yaml"] = "container: localhost/test/tool\nagent: /bin/tool pause\nenv: [V=1]\n"
			files[agent+"/code/main.py"] = strings.Repeat("print('what an agent does')\n", 100)
			enable = append(enable, name+"/"+agent)
			want[agent] = "1"
		}
		repo := srv.Repo(b, name)
		repo.Commit(b, repostest.Commit{Files: files})
		repos = append(repos, fmt.Sprintf("%s: %q", name, repo.URL))
	}
	dir := b.TempDir()
	text := fmt.Sprintf("apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: memory}\nspec:\n  repos: {%s}\n  enable: [%s]\n",
		strings.Join(repos, ", "), strings.Join(enable, ", "))
	check(b, os.WriteFile(filepath.Join(dir, "workspace.yaml"), []byte(text), 0o644))

	began := time.Now()
	w := h.watch(b, dir, "--poll=1s", "--parallel=4")
	running := h.runs(b, want)
	for !running() {
		if time.Since(began) > 10*time.Minute {
			b.Fatalf("200 instances never ran\n%s", w.output)
		}
		time.Sleep(2 * time.Second)
	}
	b.Logf("%d instances after %s", len(want), time.Since(began).Round(time.Second))
	for range 5 {
		check(b, w.cmd.Process.Signal(syscall.SIGHUP))
		time.Sleep(2 * time.Second)
	}
	time.Sleep(10 * time.Second)
	m := memory(b, w.cmd.Process.Pid)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(m["VmRSS"], "rss-MiB")
	b.ReportMetric(m["RssFile"], "rssfile-MiB")
	b.ReportMetric(m["VmHWM"], "peak-MiB")
	w.end(b)
}
