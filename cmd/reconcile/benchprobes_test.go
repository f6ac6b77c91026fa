// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/podman/podmantest"
)

// BenchmarkProbesByExec is what probes would cost if they were run through
// Podman's API: the processor time, and the time until the result, of a probe a
// second in each of 10 containers, over that of a bare loop that starts the same
// script as often. BenchmarkProbes of package podman is how they are run.
func BenchmarkProbesByExec(b *testing.B) {
	const instances, perRound = 10, 3
	const script = "[ -e ready ] || exit 1\necho >>runs\n"
	image := podmantest.Image(b, "bench/probes", podmantest.ImageOptions{
		Busybox: true, Files: map[string]string{"/code/probe.sh": script, "/code/ready": ""},
	})
	conn := podmantest.Conn(b)
	var ids []string
	for range instances {
		ids = append(ids, runBenchContainer(b, conn, image))
	}
	dir := b.TempDir()
	check(b, os.WriteFile(filepath.Join(dir, "probe.sh"), []byte(script), 0o644))
	check(b, os.WriteFile(filepath.Join(dir, "ready"), nil, 0o644))

	var floors, costs, took, ratios []float64
	for range rounds {
		before := everybodysTime(b)
		for range perRound {
			next := time.Now().Add(time.Second)
			for _, id := range ids {
				start := time.Now()
				execBenchProbe(b, conn, id)
				took = append(took, float64(time.Since(start).Microseconds())/1000)
			}
			time.Sleep(time.Until(next))
		}
		const runs = instances * perRound
		cost := everybodysTime(b) - before
		floor := bareProbes(b, dir, runs*10) / 10
		floors = append(floors, float64(floor.Microseconds())/runs)
		costs = append(costs, float64(cost.Microseconds())/runs)
		ratios = append(ratios, cost.Seconds()/floor.Seconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middleOf(floors), "floor-us/run")
	b.ReportMetric(middleOf(costs), "us/run")
	b.ReportMetric(middleOf(took), "ms-until-result")
	b.ReportMetric(middleOf(ratios), "x-floor")
}

func middleOf(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// runBenchContainer starts a container that does nothing. The end of the
// benchmark removes it.
func runBenchContainer(b *testing.B, conn context.Context, image string) (id string) {
	b.Helper()
	spec := specgen.NewSpecGenerator(image, false)
	spec.Command = []string{"/bin/tool", "pause"}
	made, err := containers.CreateWithSpec(conn, spec, nil)
	check(b, err)
	b.Cleanup(func() {
		_, err := containers.Remove(conn, made.ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
		check(b, err)
	})
	check(b, containers.Start(conn, made.ID, nil))
	return made.ID
}

func execBenchProbe(b *testing.B, conn context.Context, id string) {
	b.Helper()
	config := new(handlers.ExecCreateConfig)
	config.Cmd, config.WorkingDir = []string{"sh", "./probe.sh"}, "/code"
	config.AttachStdout, config.AttachStderr = true, true
	session, err := containers.ExecCreate(conn, id, config)
	check(b, err)
	check(b, containers.ExecStartAndAttach(conn, session, new(containers.ExecStartAndAttachOptions).
		WithOutputStream(io.Discard).WithErrorStream(io.Discard).WithAttachOutput(true).WithAttachError(true)))
	for {
		got, err := containers.ExecInspect(conn, session, nil)
		check(b, err)
		if !got.Running {
			if got.ExitCode != 0 {
				b.Fatalf("exit status %d", got.ExitCode)
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// everybodysTime is the processor time of all processes that can be seen here,
// which are those of the lab, and of the children that they have waited for.
func everybodysTime(b *testing.B) time.Duration {
	b.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	check(b, err)
	var total time.Duration
	for _, f := range files {
		stat, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))
		for _, field := range fields[11:15] {
			n, err := strconv.Atoi(field)
			check(b, err)
			total += time.Duration(n) * 10 * time.Millisecond // a tick
		}
	}
	return total
}

// bareProbes starts the script in dir n times, one after the other, and returns
// the processor time of that.
func bareProbes(b *testing.B, dir string, n int) time.Duration {
	b.Helper()
	used := func() time.Duration {
		var total time.Duration
		for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
			var ru syscall.Rusage
			check(b, syscall.Getrusage(who, &ru))
			total += time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
		}
		return total
	}
	shell, err := exec.LookPath("sh")
	check(b, err)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	check(b, err)
	defer null.Close()
	attr := &syscall.ProcAttr{Dir: dir, Env: os.Environ(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}}
	before := used()
	for range n {
		pid, err := syscall.ForkExec(shell, []string{"sh", "./probe.sh"}, attr)
		check(b, err)
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status != 0 {
			b.Fatal(fmt.Errorf("exit status %d: %w", status.ExitStatus(), err))
		}
	}
	return used() - before
}
