// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"go.yaml.in/yaml/v4"

	"reconcile/podman/podmantest"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
	"reconcile/render"
)

// rounds is how often each side is measured, in turns, so that both see the
// same of a noisy host.
const rounds = 7

// benchWorkspace writes a workspace of n agents and returns its folder and its
// manifests.
func benchWorkspace(b *testing.B, name string, n int, image string) (dir string, files []string) {
	b.Helper()
	dir = b.TempDir()
	var ws bytes.Buffer
	fmt.Fprintf(&ws, "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: %s}\nspec:\n  vars: {LOG_LEVEL: debug}\n  enable:\n", name)
	for i := range n {
		agent := fmt.Sprintf("agent-%04d", i)
		fmt.Fprintf(&ws, "    - %s\n", agent)
		file := filepath.Join(dir, "agents", agent, "manifest.yaml")
		files = append(files, file)
		text := fmt.Sprintf(`# Agent %[2]d of a large workspace: about as long as manifests are.
container: %[1]s
about: Collects what the others have found and writes a summary once a day
agent: /bin/tool pause
cli: /bin/tool env
env:
  - name: OPENAI_MODEL
    default: gpt-small
  - name: RETRIES
    value: 3
    required: false
  - LOG_LEVEL=info
  - ENDPOINT=http://example.org/agents/%[2]d
volumes:
  data/shared-%[2]d: /data
ports:
  - "%[3]d:7000"
profiles:
  dev:
    env:
      LOG_LEVEL: debug
`, image, i, 20000+i)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "workspace.yaml"), ws.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	return dir, files
}

// compare runs floor and subject in turns and reports the medians and their
// ratio.
func compare(b *testing.B, floor, subject func()) {
	b.Helper()
	var floors, subjects []time.Duration
	for range rounds {
		for _, side := range []struct {
			run  func()
			took *[]time.Duration
		}{{floor, &floors}, {subject, &subjects}} {
			start := time.Now()
			side.run()
			*side.took = append(*side.took, time.Since(start))
		}
	}
	slices.Sort(floors)
	slices.Sort(subjects)
	f, s := floors[rounds/2], subjects[rounds/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(f.Microseconds())/1000, "floor-ms")
	b.ReportMetric(float64(s.Microseconds())/1000, "ms")
	b.ReportMetric(s.Seconds()/f.Seconds(), "x-floor")
}

// recorded is a host as it was when somebody looked.
type recorded plan.Observed

func (r recorded) Observe(context.Context, plan.Desired) (plan.Observed, error) {
	return plan.Observed(r), nil
}

// BenchmarkDryRun plans 1,000 manifests of which nothing changed, from the
// files to the printed JSON, without Podman. The floor decodes the same files
// as YAML and does nothing with them. cold has no cache of what is valid.
func BenchmarkDryRun(b *testing.B) {
	dir, files := benchWorkspace(b, "bench", 1000, "localhost/test/tool:latest")
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
	rt := reconciletest.New(reconciletest.Options{Owner: "bench"})
	rt.AddImage("localhost/test/tool:latest", "sha256:0001")
	newApp := func() *app {
		return &app{
			std: stdio{out: io.Discard, err: io.Discard}, lookupEnv: func(string) (string, bool) { return "", false },
			workspace: dir, stateDir: state, output: "json",
		}
	}
	var host recorded
	dryRun := func(keep bool) func() {
		return func() {
			a := newApp()
			src, err := a.load(b.Context(), reachHost)
			if err != nil || src.Fatal {
				b.Fatal(err, src.Diagnostics)
			}
			store, err := reconcile.OpenArchive(a.workspaceDir(src.name))
			if err != nil {
				b.Fatal(err)
			}
			p, _, err := reconcile.DryRun(b.Context(), host, store, src.Desired, plan.Options{Now: time.Now()})
			if err != nil {
				b.Fatal(err)
			}
			if err := a.printReport(render.Report{Plan: p, Diagnostics: src.Diagnostics}); err != nil {
				b.Fatal(err)
			}
			if keep {
				a.saveCache(src.cache)
			}
		}
	}
	b.Run("cold", func(b *testing.B) { compare(b, floor, dryRun(false)) })
	a := newApp()
	src, err := a.load(b.Context(), reachHost)
	if err != nil {
		b.Fatal(err)
	}
	store, err := reconcile.OpenStore(a.workspaceDir(src.name), false)
	if err != nil {
		b.Fatal(err)
	}
	res, err := reconcile.Pass(b.Context(), rt, store, src.Desired, reconcile.PassOptions{})
	if err != nil || res.Outcome.Err() != nil {
		b.Fatal(err, res.Outcome.Err())
	}
	host = recorded(res.After)
	dryRun(true)()
	b.Run("unchanged", func(b *testing.B) { compare(b, floor, dryRun(false)) })
}

// BenchmarkNoOpPass is the whole command, from reading the files to the printed
// result, over 200 running instances with nothing to do. The floor is one list
// call for the same containers. beyond-ms is what the pass takes over 1.5 times
// the floor.
func BenchmarkNoOpPass(b *testing.B) {
	const n = 200
	image := podmantest.Image(b, "test/tool", podmantest.ImageOptions{})
	dir, _ := benchWorkspace(b, "noop", n, image)
	b.Setenv("RECONCILE_STATE_DIR", b.TempDir())
	b.Setenv("CONTAINER_HOST", podmantest.Socket(b))
	command := func(args ...string) {
		var out, errs bytes.Buffer
		if code := run(context.Background(), append(args, "-C", dir), stdio{out: &out, err: &errs}); code != 0 {
			b.Fatalf("exit code %d\n%s%s", code, &out, &errs)
		}
	}
	command("--parallel", "4")
	b.Cleanup(func() { command("destroy", "--yes") })
	conn := podmantest.Conn(b)
	list := func() {
		filter := map[string][]string{"label": {"reconcile.workspace=noop"}}
		cs, err := containers.List(conn, new(containers.ListOptions).WithAll(true).WithFilters(filter))
		if err != nil || len(cs) != n {
			b.Fatalf("%d containers, %v", len(cs), err)
		}
	}
	compare(b, list, func() { command() })
}
