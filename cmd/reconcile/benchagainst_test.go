// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v4"

	"reconcile/reconcile/plan"
)

// BenchmarkDryRunAgainst compares 1,000 manifests in 200 repos, of which 10 were
// edited, with HEAD~1, from the files to the printed JSON. The floor decodes the
// same files as YAML and does nothing with them.
func BenchmarkDryRunAgainst(b *testing.B) {
	const repos, perRepo = 200, 5
	dir, flat := benchWorkspace(b, "bench", repos*perRepo, "localhost/test/tool:latest")
	var files []string
	var ws bytes.Buffer
	ws.WriteString("apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: bench}\nspec:\n  vars: {LOG_LEVEL: debug}\n  repos:\n")
	for r := range repos {
		fmt.Fprintf(&ws, "    r%03d: ./repos/r%03d\n", r, r)
	}
	ws.WriteString("  enable:\n")
	for i, from := range flat {
		agent := filepath.Base(filepath.Dir(from))
		to := filepath.Join(dir, "repos", fmt.Sprintf("r%03d", i/perRepo), "agents", agent)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.Rename(filepath.Dir(from), to); err != nil {
			b.Fatal(err)
		}
		files = append(files, filepath.Join(to, "manifest.yaml"))
		fmt.Fprintf(&ws, "    - r%03d/%s\n", i/perRepo, agent)
	}
	if err := os.WriteFile(filepath.Join(dir, "workspace.yaml"), ws.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "gc.auto=0", "-C", dir}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	commit := func(text string) {
		git("add", ".")
		git("commit", "-q", "-m", text)
	}
	git("init", "-q", "-b", "main")
	commit("one")
	for _, f := range files[:10] {
		src, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(f, append(src, "# edited\n"...), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	commit("two")
	floor := func() {
		for _, f := range files {
			src, err := os.ReadFile(f)
			if err != nil {
				b.Fatal(err)
			}
			var v any
			if err := yaml.Unmarshal(src, &v); err != nil {
				b.Fatal(err)
			}
		}
	}
	state := b.TempDir()
	newApp := func() *app {
		a := &app{
			std: stdio{out: io.Discard, err: os.Stderr}, lookupEnv: func(string) (string, bool) { return "", false },
			workspace: dir, stateDir: state, output: "json", dryRun: true,
		}
		a.preview.against = "HEAD~1"
		return a
	}
	dryRun := func() {
		a := newApp()
		defer a.close()
		if err := a.runDryRun(b.Context()); err != exitCode(plan.ExitChanges) {
			b.Fatal(err)
		}
	}
	measure := func(name string) { b.Run(name, func(b *testing.B) { compare(b, floor, dryRun) }) }
	measure("cold")
	a := newApp()
	src, err := a.load(b.Context(), reachHost)
	if err != nil || src.Fatal {
		b.Fatal(err, src.Diagnostics)
	}
	a.saveCache(src.cache)
	a.close()
	measure("loose")
	git("gc", "-q")
	measure("packed")
}
