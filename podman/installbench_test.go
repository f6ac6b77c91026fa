// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// benchHelper builds the helper into a folder of its own.
func benchHelper(b *testing.B) []byte {
	b.Helper()
	path := filepath.Join(b.TempDir(), "agent-server")
	if said, err := exec.Command("go", "build", "-trimpath", "-o", path, "reconcile/cmd/agent-server").CombinedOutput(); err != nil {
		b.Fatalf("build the helper: %v: %s", err, said)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return content
}

// BenchmarkInstall compares the creation of a derived image with bare calls that
// create, start, wait for, commit and remove a container that runs the same command.
func BenchmarkInstall(b *testing.B) {
	base := podmantest.Image(b, "bench-install", podmantest.ImageOptions{Busybox: true})
	content := benchHelper(b)
	rt, err := Open(b.Context(), Options{
		URL: podmantest.Socket(b), StateDir: b.TempDir(), Owner: "bench", Version: "bench",
		Helper: func() (map[string][]byte, error) { return map[string][]byte{"agent-server": content}, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close()
	const command = "echo installed > /tmp/installed"
	d := plan.Desired{Workspace: "bench-install", Root: "/bench"}
	d.Resources = []plan.Resource{
		{ID: plan.ID{Kind: plan.Image, Name: "a"}, Name: "localhost/reconcile-bench-install/a", Spec: plan.Spec{Image: &plan.ImageSpec{
			Base: base, Commands: []string{command}, Of: "manifest/a",
		}}},
		{ID: plan.ID{Kind: plan.Manifest, Name: "a"}, Name: "bench-install-a", Spec: plan.Spec{Container: &plan.ContainerSpec{Image: base, Installed: true}}},
	}
	if _, err := rt.Observe(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	id := d.Resources[0].ID
	ours := func() time.Duration {
		begun := time.Now()
		obj, err := rt.Do(b.Context(), plan.Step{Op: plan.OpCreate, Target: id, Digest: "v1:d"}, d)
		took := time.Since(begun)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := rt.Do(b.Context(), plan.Step{Op: plan.OpDelete, Target: id, Object: obj.Handle}, d); err != nil {
			b.Fatal(err)
		}
		return took
	}
	ctx := rt.with(context.Background())
	bare := func() time.Duration {
		begun := time.Now()
		s := specgen.NewSpecGenerator(base, false)
		s.Entrypoint, s.Command = []string{"/bin/sh", "-c"}, []string{command}
		s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
		made, err := containers.CreateWithSpec(ctx, s, nil)
		if err == nil {
			err = containers.Start(ctx, made.ID, nil)
		}
		if err == nil {
			_, err = containers.Wait(ctx, made.ID, new(containers.WaitOptions).WithConditions([]string{"stopped", "exited"}).WithInterval("10ms"))
		}
		if err != nil {
			b.Fatal(err)
		}
		img, err := containers.Commit(ctx, made.ID, new(containers.CommitOptions).WithRepo("localhost/bare").WithTag("1").WithPause(false))
		if err == nil {
			_, err = containers.Remove(ctx, made.ID, nil)
		}
		took := time.Since(begun)
		if err != nil {
			b.Fatal(err)
		}
		if _, errs := images.Remove(ctx, []string{img.ID}, nil); len(errs) > 0 {
			b.Fatal(errs)
		}
		return took
	}
	bare()
	ours()
	var floor, full []time.Duration
	for range rounds {
		floor, full = append(floor, bare()), append(full, ours())
	}
	for b.Loop() {
		ours()
	}
	report(b, floor, full, func(f time.Duration) time.Duration { return f * 3 / 2 })
}
