// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

const (
	benchHelpers = 200
	benchWindow  = 5 * time.Second
)

// benchScripts are probes as people write them, which count their runs. Each
// failure is reported, and a success only after one.
var benchScripts = map[string]string{
	"passing": "[ -e here ] || exit 1\necho >>runs\n",
	"failing": "echo >>runs\n[ -e gone ] || { echo there is no answer; exit 1; }\n",
}

// BenchmarkProbes is the processor time of 200 helpers, PID 1 each, with a probe
// a second, and of the channels at which they report, over that of a bare loop
// that starts the same scripts as often and waits for them.
func BenchmarkProbes(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "agent-server")
	if err := os.WriteFile(binary, benchHelper(b), 0o755); err != nil {
		b.Fatal(err)
	}
	for _, verdict := range []plan.Verdict{plan.VerdictPassing, plan.VerdictFailing} {
		b.Run(string(verdict), func(b *testing.B) { benchProbes(b, binary, verdict) })
	}
}

func benchProbes(b *testing.B, binary string, verdict plan.Verdict) {
	dir := b.TempDir()
	sockets, err := os.MkdirTemp("", "c-") // their paths are short
	if err != nil {
		b.Fatal(err)
	}
	cs := &channels{dir: sockets}
	b.Cleanup(func() { // runs after the helpers have ended
		cs.close()
		os.RemoveAll(sockets)
	})
	var helpers []int
	for i := range benchHelpers {
		key := benchKey(i)
		if _, err := cs.listen(key); err != nil {
			b.Fatal(err)
		}
		code := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(code, 0o755); err != nil {
			b.Fatal(err)
		}
		for name, text := range map[string]string{"probe.sh": benchScripts[string(verdict)], "here": ""} {
			if err := os.WriteFile(filepath.Join(code, name), []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		helpers = append(helpers, startBenchHelper(b, binary, code, cs.folder(key), benchHandle(i)))
	}
	for i := range benchHelpers {
		awaitBenchVerdict(b, cs, i, verdict)
	}
	time.Sleep(2 * time.Second) // what happens once is over
	var floors, costs, ratios, listening []float64
	for range rounds {
		before, own, ran := helperTime(b, helpers), cpuTime(b, syscall.RUSAGE_SELF), benchRuns(b, dir)
		time.Sleep(benchWindow)
		ours := cpuTime(b, syscall.RUSAGE_SELF) - own
		cost := helperTime(b, helpers) - before + ours
		runs := benchRuns(b, dir) - ran
		floor := bareLoop(b, filepath.Join(dir, "0"), runs)
		perRun := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(runs) }
		floors, costs, listening = append(floors, perRun(floor)), append(costs, perRun(cost)), append(listening, perRun(ours))
		ratios = append(ratios, cost.Seconds()/floor.Seconds())
		if want := int(benchHelpers * benchWindow / time.Second); runs < want*9/10 {
			b.Errorf("%d probes ran, want about %d", runs, want)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(floors), "floor-us/run")
	b.ReportMetric(median(costs), "us/run")
	b.ReportMetric(median(listening), "daemon-us/run")
	b.ReportMetric(median(ratios), "x-floor")
	b.ReportMetric(anonymous(b, helpers), "rssanon-MiB/helper")
}

func benchKey(i int) string {
	return channelKey("bench", plan.ID{Kind: plan.Manifest, Name: strconv.Itoa(i)})
}

// benchHandle begins as long as a hostname is.
func benchHandle(i int) string { return fmt.Sprintf("%0*x", hostnameLen, i) }

func awaitBenchVerdict(b *testing.B, cs *channels, i int, want plan.Verdict) {
	b.Helper()
	late := time.After(time.Minute)
	for {
		health, news := cs.health(benchKey(i), benchHandle(i))
		if health != nil && health.Liveness.Verdict == want {
			return
		}
		select {
		case <-news:
		case <-late:
			b.Fatalf("helper %d has not reported that its probe is %s", i, want)
		}
	}
}

// startBenchHelper starts a helper as PID 1 of a namespace and returns its PID
// here. The end of the benchmark ends it.
func startBenchHelper(b *testing.B, binary, code, channel, hostname string) int {
	b.Helper()
	c := helper.Config{Main: []string{"sleep", "infinity"}, Liveness: &helper.Probe{
		Script: "probe.sh", Interval: time.Second, Timeout: 5 * time.Second, FailureThreshold: 5, SuccessThreshold: 1,
	}}
	mount := `hostname "$1" && shift && mount -t tmpfs none /run && mkdir ` + helper.Channel + ` && mount --bind "$0" ` + helper.Channel + ` && exec "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", mount, channel, hostname, binary}, c.Args()...)...)
	cmd.Dir, cmd.Env = code, append(os.Environ(), "CODE_PATH="+code)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
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
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			b.Fatal(err)
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
