// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// rounds is how often each side is measured, in turns: the host's speed
// changes, and both must see the same of it.
const rounds = 7

// benchWorkspace is n instances, as manifest agents are without hooks.
func benchWorkspace(b *testing.B, n int) (*Runtime, plan.Desired) {
	b.Helper()
	image := podmantest.Image(b, "bench", podmantest.ImageOptions{})
	rt, err := Open(b.Context(), Options{URL: podmantest.Socket(b), StateDir: b.TempDir(), Owner: "bench", Version: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	d := plan.Desired{Workspace: "bench", Root: "/bench"}
	network := plan.Resource{
		ID: plan.ID{Kind: plan.Network, Name: "bench"}, Name: "bench",
		Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", DNS: true}},
	}
	for i := range n {
		name := fmt.Sprintf("a%03d", i)
		d.Resources = append(d.Resources, plan.Resource{
			ID: plan.ID{Kind: plan.Manifest, Name: name}, Name: "bench-" + name, Want: plan.WantRunning,
			Spec: plan.Spec{Container: &plan.ContainerSpec{
				Image: image, Main: plan.Process{Command: []string{"/bin/tool", "pause"}}, Network: "bench", Aliases: []string{name},
				Env:         []plan.EnvVar{{Name: "AGENT_NAME", Value: name}, {Name: "PORT", Value: "7000"}},
				Ports:       []plan.Port{{HostIP: "127.0.0.1", Container: 7000, Protocol: "tcp"}},
				StopTimeout: 1,
			}},
		})
	}
	d.Resources = append(d.Resources, network)
	b.Cleanup(func() {
		removeAll(b, rt)
		o, err := rt.Observe(context.Background(), d)
		if err != nil {
			b.Error(err)
		}
		for _, obj := range o.Objects {
			if _, err := rt.Do(context.Background(), plan.Step{Op: plan.OpDelete, Target: obj.ID, Object: obj.Handle, Name: obj.Name}, d); err != nil {
				b.Error(err)
			}
		}
		rt.Close()
	})
	if _, err := rt.Do(b.Context(), plan.Step{Op: plan.OpCreate, Target: network.ID, Name: "bench", Digest: "d"}, d); err != nil {
		b.Fatal(err)
	}
	return rt, d
}

// inParallel calls do for 0 … n-1, c at a time.
func inParallel(b *testing.B, n, c int, do func(i int) error) time.Duration {
	b.Helper()
	begun := time.Now()
	var group sync.WaitGroup
	next := make(chan int)
	errs := make([]error, n)
	for range c {
		group.Go(func() {
			for i := range next {
				errs[i] = do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	took := time.Since(begun)
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	return took
}

// removeAll removes the bench's containers behind the runtime's back.
func removeAll(b *testing.B, rt *Runtime) {
	b.Helper()
	ctx := rt.with(context.Background())
	filter := map[string][]string{"label": {plan.LabelWorkspace + "=bench"}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		b.Fatal(err)
	}
	inParallel(b, len(list), 4, func(i int) error {
		_, err := containers.Remove(ctx, list[i].ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
		return err
	})
}

// converge is what a first pass does for one instance.
func converge(ctx context.Context, rt *Runtime, d plan.Desired, res plan.Resource) error {
	var handle string
	for _, op := range []plan.Op{plan.OpPrepare, plan.OpCreate, plan.OpStart, plan.OpWait} {
		obj, err := rt.Do(ctx, plan.Step{Op: op, Target: res.ID, Name: res.Name, Object: handle, Digest: "d", Ports: res.Spec.Container.Ports}, d)
		if err != nil {
			return err
		}
		if op == plan.OpCreate {
			handle = obj.Handle
		}
	}
	return nil
}

func median[T cmp.Ordered](d []T) T {
	slices.Sort(d)
	return d[len(d)/2]
}

// report gives both medians and what the goal is stated in.
func report(b *testing.B, floor, ours []time.Duration, limit func(floor time.Duration) time.Duration) {
	b.Helper()
	f, o := median(floor), median(ours)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(f.Seconds()*1e3, "floor-ms")
	b.ReportMetric(o.Seconds()*1e3, "ours-ms")
	b.ReportMetric(float64(o)/float64(f), "x-floor")
	b.ReportMetric(float64(o)/float64(limit(f)), "x-goal")
}

// inTurns measures both sides, each once before that counts, so that neither is
// always the one that comes after the other's removals, and reports. The goal is a
// percentage of the bare side.
func inTurns(b *testing.B, bare, full func() time.Duration, percent time.Duration) {
	b.Helper()
	bare()
	full()
	var floor, ours []time.Duration
	for i := range rounds {
		if i%2 == 0 {
			floor, ours = append(floor, bare()), append(ours, full())
		} else {
			ours, floor = append(ours, full()), append(floor, bare())
		}
	}
	for b.Loop() { //nolint:revive // the rounds above are what is measured
	}
	report(b, floor, ours, func(f time.Duration) time.Duration { return f * percent / 100 })
}

// BenchmarkObserve compares an observation of 200 running instances with one
// bare list call of the same containers. The goal is 1.5 × that plus 20 ms.
func BenchmarkObserve(b *testing.B) {
	const n = 200
	rt, d := benchWorkspace(b, n)
	if _, err := rt.Observe(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	inParallel(b, n, 4, func(i int) error { return converge(b.Context(), rt, d, d.Resources[i]) })
	ctx := rt.with(b.Context())
	filter := map[string][]string{"label": {plan.LabelWorkspace + "=bench"}}
	var floor, ours []time.Duration
	for range rounds {
		begun := time.Now()
		list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
		floor = append(floor, time.Since(begun))
		if err != nil || len(list) != n {
			b.Fatal(len(list), err)
		}
		begun = time.Now()
		o, err := rt.Observe(b.Context(), d)
		ours = append(ours, time.Since(begun))
		if err != nil || len(o.Objects) != n+1 {
			b.Fatal(len(o.Objects), err)
		}
	}
	for b.Loop() {
		if _, err := rt.Observe(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
	report(b, floor, ours, func(f time.Duration) time.Duration { return f*3/2 + 20*time.Millisecond })
}

// BenchmarkConverge compares prepare, create, start and wait of 50 instances
// with bare create and start calls of the identical specs, both at the
// parallelism that is best for the bare calls. The goal is 1.2 × that.
func BenchmarkConverge(b *testing.B) {
	const n = 50
	rt, d := benchWorkspace(b, n)
	ctx := rt.with(b.Context())
	if _, err := rt.Observe(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	specs := make([]*specgen.SpecGenerator, n)
	for i := range n {
		res := d.Resources[i]
		step := plan.Step{Op: plan.OpCreate, Target: res.ID, Name: res.Name, Digest: "d"}
		img, err := rt.imageFor(ctx, step, d, res)
		if err != nil {
			b.Fatal(err)
		}
		s, err := rt.containerSpec(ctx, step, d, res, img)
		if err != nil {
			b.Fatal(err)
		}
		specs[i] = s
	}
	bare := func(c int) time.Duration {
		took := inParallel(b, n, c, func(i int) error {
			made, err := containers.CreateWithSpec(ctx, specs[i], nil)
			if err != nil {
				return err
			}
			return containers.Start(ctx, made.ID, nil)
		})
		removeAll(b, rt)
		return took
	}
	best, fastest := 0, time.Duration(0)
	for _, c := range []int{2, 4, 8} {
		if took := bare(c); best == 0 || took < fastest {
			best, fastest = c, took
		}
	}
	full := func() time.Duration {
		took := inParallel(b, n, best, func(i int) error { return converge(b.Context(), rt, d, d.Resources[i]) })
		removeAll(b, rt)
		return took
	}
	inTurns(b, func() time.Duration { return bare(best) }, full, 120)
	b.ReportMetric(float64(best), "parallel")
}
