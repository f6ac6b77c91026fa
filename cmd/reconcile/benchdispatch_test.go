// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/specgen"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/podman/podmantest"
)

// benchAgent is a daemon as it is shipped that answers for one TaskAgent, which writes
// the file /version of its image and then its event.
func benchAgent(b *testing.B, name, image, settings string) *agentDaemon {
	b.Helper()
	d := &agentDaemon{host: newHost(b, name), dir: b.TempDir()}
	d.binary = buildBinary(b)
	check(b, os.WriteFile(d.dir+"/workspace.yaml", []byte(workspaceFiles(name, nil)["workspace.yaml"]), 0o644))
	d.write(b, fmt.Sprintf(`apiVersion: clrk.apoxy.dev/v1alpha1
kind: TaskAgent
metadata: {name: agent, annotations: {reconcile/warm: started}}
spec:
  workerPoolRef: default
  timeout: 10m
  %s
  template:
    spec:
      image: %s
      command: [/bin/cat, /version, "-"]
`, settings, image))
	d.serve(b)
	d.await(b, "the agent", func() bool { _, err := d.version("ready"); return err == nil })
	return d
}

// versionImage is an image with the file /version, which cat may be run in.
func versionImage(n int) podmantest.ImageOptions {
	return podmantest.ImageOptions{Busybox: true, Files: map[string]string{"/version": fmt.Sprintf("%d\n", n)}}
}

// version asks the agent, and returns the version that answered. An answer that is
// not one, whole, to this request alone is an error.
func (d *agentDaemon) version(id string) (int, error) {
	body, err := d.call("agent", id)
	switch {
	case err != nil:
		return 0, err
	case strings.Count(body, `"specversion"`) != 1 || !strings.Contains(body, `"id":"`+id+`"`):
		return 0, fmt.Errorf("the request %s was answered by %s", id, body)
	}
	line, _, _ := strings.Cut(body, "\n")
	return strconv.Atoi(line)
}

// awaitSlots waits until so many slots of the agent are ready, and no other container
// is there.
func (d *agentDaemon) awaitSlots(b *testing.B, n int) {
	b.Helper()
	d.await(b, fmt.Sprintf("%d slots", n), func() bool {
		return len(d.containersOf(b)) == n && d.report(b, "agent").Dispatch.Slots.Ready == n
	})
}

// conclude ends the daemon. It has counted so many executions, that of benchAgent
// included, which have all succeeded, and leaves nothing.
func (d *agentDaemon) conclude(b *testing.B, executions int) {
	b.Helper()
	d.await(b, "all are counted", func() bool {
		got := d.counted(b, "agent")
		return got["succeeded"] == executions && len(got) == 1
	})
	d.end(b)
	if left := d.containersOf(b); len(left) > 0 {
		b.Errorf("containers %v are left", left)
	}
}

// load is what clients who ask for a while have got.
type load struct {
	mu   sync.Mutex
	took []time.Duration
	all  time.Duration // from the first request to the last answer
}

// asked has clients ask one after the other, each as often as it can for a while. An
// error ends the benchmark.
func asked(b *testing.B, clients int, during time.Duration, ask func(id string) error) *load {
	b.Helper()
	l := &load{}
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range clients {
		wg.Go(func() {
			for i := 0; time.Since(begin) < during; i++ {
				asked := time.Now()
				if err := ask(fmt.Sprintf("%d-%d", c, i)); err != nil {
					b.Error(err)
					return
				}
				l.add(time.Since(asked))
			}
		})
	}
	wg.Wait()
	l.all = time.Since(begin)
	if b.Failed() {
		b.FailNow()
	}
	return l
}

func (l *load) add(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
}

func (l *load) rate() float64 { return float64(len(l.took)) / l.all.Seconds() }

// quantile is what so many of a hundred took at most, in milliseconds.
func (l *load) quantile(percent int) float64 {
	slices.Sort(l.took)
	return float64(l.took[(len(l.took)-1)*percent/100].Milliseconds())
}

// networkOf is the network that the containers of the agent are in.
func (d *agentDaemon) networkOf(b *testing.B) string {
	b.Helper()
	for id := range d.containersOf(b) {
		c, err := containers.Inspect(podmantest.Conn(b), id, nil)
		check(b, err)
		for name := range c.NetworkSettings.Networks {
			return name
		}
	}
	b.Fatal("the agent has no container in a network")
	return ""
}

// bareContainer is a container, from nothing to nothing, in the network of the agent.
func bareContainer(ctx context.Context, image, network, name string) error {
	spec := specgen.NewSpecGenerator(image, false)
	spec.Name, spec.Command = "bare-"+name, []string{"/bin/cat", "/version"}
	spec.NetNS = specgen.Namespace{NSMode: specgen.Bridge}
	spec.Networks = map[string]nettypes.PerNetworkOptions{network: {}}
	made, err := containers.CreateWithSpec(ctx, spec, nil)
	if err == nil {
		err = containers.Start(ctx, made.ID, nil)
	}
	for err == nil {
		c, inspectErr := containers.Inspect(ctx, made.ID, nil)
		if err = inspectErr; err != nil || c.State.Status == "exited" || c.State.Status == "stopped" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	_, err = containers.Remove(ctx, made.ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
	return err
}

// BenchmarkDispatchLoad is 32 clients that ask for 30 seconds a started pool of 32
// slots, which on real Podman is refilled more slowly than it is emptied. The floor is
// what as many clients get of Podman alone, with a container for each request: a slot
// cannot be had for less.
func BenchmarkDispatchLoad(b *testing.B) {
	const clients, during, bare = 32, 30 * time.Second, 15 * time.Second
	image := podmantest.Image(b, "benchload", versionImage(1))
	d := benchAgent(b, "load", image, fmt.Sprintf("warmPoolSize: %d", clients))
	d.awaitSlots(b, clients)
	ours := asked(b, clients, during, func(id string) error { _, err := d.version(id); return err })
	d.awaitSlots(b, clients)
	network, ctx := d.networkOf(b), podmantest.Conn(b)
	floor := asked(b, clients, bare, func(id string) error { return bareContainer(ctx, image, network, id) })
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours.rate(), "requests/s")
	b.ReportMetric(ours.quantile(50), "p50-ms")
	b.ReportMetric(ours.quantile(99), "p99-ms")
	b.ReportMetric(floor.rate(), "floor-containers/s")
	b.ReportMetric(floor.quantile(99), "floor-p99-ms")
	b.ReportMetric(ours.quantile(99)/floor.quantile(99), "p99-x-floor")
	d.conclude(b, len(ours.took)+1)
}

// BenchmarkDispatchRevisions is 1,000 requests while a tag moves 19 times. Each is
// answered once, by a version that was served when it came or a newer one.
func BenchmarkDispatchRevisions(b *testing.B) {
	const requests, revisions, clients = 1000, 20, 4
	registry := podmantest.Registry(b)
	image, _ := registry.Push(b, "app:1", versionImage(1))
	d := benchAgent(b, "revisions", image, "warmPoolSize: 2")
	var sent, answered atomic.Int64
	var pushed, serving atomic.Int64 // versions
	pushed.Store(1)
	serving.Store(1)
	l := &load{}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				n := sent.Add(1)
				if n > requests && serving.Load() == revisions || b.Failed() {
					return
				}
				least, begin := serving.Load(), time.Now()
				got, err := d.version(fmt.Sprint("request-", n))
				if most := pushed.Load(); err != nil || int64(got) < least || int64(got) > most {
					b.Errorf("request %d was answered by version %d, of %d to %d, %v", n, got, least, most, err)
					return
				}
				for old := serving.Load(); int64(got) > old && !serving.CompareAndSwap(old, int64(got)); old = serving.Load() {
				}
				l.add(time.Since(begin))
				answered.Add(1)
			}
		})
	}
	for v := 2; v <= revisions && !b.Failed(); v++ {
		d.await(b, "answers", func() bool { return b.Failed() || answered.Load() >= int64(requests*(v-1)/revisions) })
		pushed.Store(int64(v))
		registry.Push(b, "app:1", versionImage(v))
		check(b, d.cmd.Process.Signal(syscall.SIGHUP))
		d.await(b, fmt.Sprint("version ", v), func() bool { return b.Failed() || serving.Load() >= int64(v) })
	}
	wg.Wait()
	if b.Failed() {
		return
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(answered.Load()), "requests")
	b.ReportMetric(l.quantile(50), "p50-ms")
	b.ReportMetric(l.quantile(99), "p99-ms")
	d.conclude(b, int(answered.Load())+1)
}

var nextCollection = regexp.MustCompile(`(?m)^go_memstats_next_gc_bytes (\S+)$`)

// weighs is the memory of the daemon, in MiB: what is resident and no file, and what
// is alive on its heap. It waits until everything is over.
func (d *agentDaemon) weighs(b *testing.B, slots int) (resident, alive float64) {
	b.Helper()
	d.awaitSlots(b, slots)
	text, _ := d.get(b, "/metrics")
	m := nextCollection.FindStringSubmatch(text)
	if m == nil {
		b.Fatalf("no size of the heap in\n%s", text)
	}
	next, err := strconv.ParseFloat(m[1], 64)
	check(b, err)
	return memory(b, d.cmd.Process.Pid)["RssAnon"], next / (1 + daemonGC/100.0) / (1 << 20)
}

// BenchmarkDispatchMemory is the memory of a daemon after 100 executions on real
// Podman and after 500. What is kept of executions has a bound, which 50 reach. What
// one may leave behind has at least a buffer of 32 KiB and the stacks of goroutines: 400
// of them weigh 12 MiB and more. How full the heap happens to be between two
// collections, and how much of it is given back already, is a few MiB.
func BenchmarkDispatchMemory(b *testing.B) {
	const early, executions, slots, clients = 100, 500, 2, 4
	const residentBound, aliveBound = 6.0, 2.0 // MiB more
	d := benchAgent(b, "memory500", podmantest.Image(b, "benchmemory", versionImage(1)), fmt.Sprintf("warmPoolSize: %d", slots))
	var asked atomic.Int64
	asked.Store(1) // benchAgent has
	until := func(n int64) {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for i := asked.Add(1); i <= n && !b.Failed(); i = asked.Add(1) {
					if _, err := d.version(fmt.Sprint(i)); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		asked.Store(n)
		if b.Failed() {
			b.FailNow()
		}
	}
	until(early)
	residentEarly, aliveEarly := d.weighs(b, slots)
	before := d.holds(b)
	until(executions)
	resident, alive := d.weighs(b, slots)
	d.awaitHolds(b, before)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(residentEarly, "early-resident-MiB")
	b.ReportMetric(resident, "resident-MiB")
	b.ReportMetric(aliveEarly, "early-heap-MiB")
	b.ReportMetric(alive, "heap-MiB")
	if resident > residentEarly+residentBound || alive > aliveEarly+aliveBound {
		b.Errorf("the daemon grew from %.1f to %.1f MiB, its heap from %.1f to %.1f MiB", residentEarly, resident, aliveEarly, alive)
	}
	d.conclude(b, executions)
}
