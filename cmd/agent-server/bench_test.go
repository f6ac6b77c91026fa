// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reconcile/helper"
)

const (
	benchHelpers = 200
	benchWindow  = 5 * time.Second
	benchRounds  = 7
)

// benchScript is a probe as people write them, and counts its runs.
const benchScript = `[ -e ready ] || exit 1
echo >>runs
`

// BenchmarkProbes is the processor time of 200 helpers, PID 1 each, with a probe
// a second, and of whoever listens to their reports, over that of a bare loop
// that starts the same scripts as often and waits for them.
func BenchmarkProbes(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("only root can give each helper a PID namespace")
	}
	dir := b.TempDir()
	channel := filepath.Join(dir, "channel")
	if err := os.Mkdir(channel, 0o755); err != nil {
		b.Fatal(err)
	}
	connected := listenForReports(b, filepath.Join(channel, "helper.sock"))
	var helpers []int
	for i := range benchHelpers {
		code := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(code, 0o755); err != nil {
			b.Fatal(err)
		}
		writeFile(b, code+"/probe.sh", benchScript, 0o644)
		writeFile(b, code+"/ready", "", 0o644)
		helpers = append(helpers, startBenchHelper(b, code, channel))
	}
	for range benchHelpers {
		select {
		case <-connected:
		case <-time.After(patience):
			b.Fatal("not all helpers have reported")
		}
	}
	time.Sleep(2 * time.Second) // what happens once is over
	var floors, costs, ratios []float64
	for range benchRounds {
		before, own, ran := helperTime(b, helpers), ownTime(b), benchRuns(b, dir)
		time.Sleep(benchWindow)
		cost := helperTime(b, helpers) - before + ownTime(b) - own
		runs := benchRuns(b, dir) - ran
		floor := bareLoop(b, filepath.Join(dir, "0"), runs)
		perRun := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(runs) }
		floors, costs = append(floors, perRun(floor)), append(costs, perRun(cost))
		ratios = append(ratios, cost.Seconds()/floor.Seconds())
		if want := int(benchHelpers * benchWindow / time.Second); runs < want*9/10 {
			b.Errorf("%d probes ran, want about %d", runs, want)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(floors), "floor-us/run")
	b.ReportMetric(median(costs), "us/run")
	b.ReportMetric(median(ratios), "x-floor")
	b.ReportMetric(anonymous(b, helpers), "rssanon-MiB/helper")
}

// startBenchHelper starts a helper as PID 1 of a namespace and returns its PID
// here. The end of the benchmark ends it.
func startBenchHelper(b *testing.B, code, channel string) int {
	b.Helper()
	second := int64(time.Second)
	c := helper.Config{Main: []string{"sleep", "infinity"}, Liveness: &helper.Probe{
		Script: "probe.sh", Interval: time.Duration(second), Timeout: 5 * time.Second, FailureThreshold: 5, SuccessThreshold: 1,
	}}
	mount := `mount -t tmpfs none /run && mkdir /run/reconcile && mount --bind "$0" /run/reconcile && exec "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", mount, channel, binary}, c.Args()...)...)
	cmd.Dir, cmd.Env = code, append(os.Environ(), "CODE_PATH="+code)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// listenForReports takes reports as reconcile does. Each helper that has
// reported a verdict yields once.
func listenForReports(b *testing.B, path string) <-chan struct{} {
	b.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	reported := make(chan struct{}, benchHelpers)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				said := false
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if !said && strings.Contains(lines.Text(), helper.Passing) {
						said = true
						reported <- struct{}{}
					}
				}
			})
		}
	})
	b.Cleanup(func() { // runs after the helpers have ended
		l.Close()
		running.Wait()
	})
	return reported
}

// helperTime is the processor time of processes and of all the children that
// they have waited for.
func helperTime(b *testing.B, pids []int) time.Duration {
	b.Helper()
	const tick = 10 * time.Millisecond
	var total time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		for _, field := range strings.Fields(rest)[11:15] {
			n, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			total += time.Duration(n) * tick
		}
	}
	return total
}

func ownTime(b *testing.B) time.Duration {
	b.Helper()
	return cpuTime(b, syscall.RUSAGE_SELF)
}

func cpuTime(b *testing.B, who int) time.Duration {
	b.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(who, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// bareLoop starts the script n times, one after the other, and returns the
// processor time of that.
func bareLoop(b *testing.B, dir string, n int) time.Duration {
	b.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		b.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	attr := &syscall.ProcAttr{Dir: dir, Env: os.Environ(), Files: []uintptr{null.Fd(), null.Fd(), null.Fd()}}
	before := cpuTime(b, syscall.RUSAGE_SELF) + cpuTime(b, syscall.RUSAGE_CHILDREN)
	for range n {
		pid, err := syscall.ForkExec(shell, []string{"sh", "./probe.sh"}, attr)
		if err != nil {
			b.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status != 0 {
			b.Fatal(err, status)
		}
	}
	return cpuTime(b, syscall.RUSAGE_SELF) + cpuTime(b, syscall.RUSAGE_CHILDREN) - before
}

// benchRuns counts the runs of all probes so far.
func benchRuns(b *testing.B, dir string) int {
	b.Helper()
	total := 0
	for i := range benchHelpers {
		info, err := os.Stat(filepath.Join(dir, strconv.Itoa(i), "runs"))
		if err != nil {
			b.Fatal(err)
		}
		total += int(info.Size())
	}
	return total
}

// anonymous is the memory that a helper shares with nobody, in MiB.
func anonymous(b *testing.B, pids []int) float64 {
	b.Helper()
	var all []float64
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "RssAnon:")
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, float64(kib)/1024)
	}
	return median(all)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
