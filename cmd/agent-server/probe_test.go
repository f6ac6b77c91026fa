// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
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
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"reconcile/helper"
)

// patient is a probe that runs often and fails at once.
func patient(script string) *helper.Probe {
	return &helper.Probe{Script: script, Interval: 20 * time.Millisecond, Timeout: patience, FailureThreshold: 1, SuccessThreshold: 1}
}

// host is where reconcile listens, and what it hears.
type host struct {
	t       *testing.T
	dir     string
	reports chan helper.Report
	listens net.Listener
	running sync.WaitGroup
	mu      sync.Mutex
	conns   []net.Conn
}

func newTestHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "as") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, dir: dir, reports: make(chan helper.Report, 10_000)}
	t.Cleanup(func() {
		h.stop()
		os.RemoveAll(dir)
	})
	return h
}

// listen begins to listen, as a daemon does that has just started.
func (h *host) listen() {
	h.t.Helper()
	path := filepath.Join(h.dir, filepath.Base(helper.Socket))
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.listens = l
	h.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns = append(h.conns, conn)
			h.mu.Unlock()
			h.running.Go(func() { h.hear(conn) })
		}
	})
}

func (h *host) hear(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, helper.MaxReport)
	for lines.Scan() {
		var r helper.Report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			h.t.Errorf("report %q: %v", lines.Bytes(), err)
		}
		h.reports <- r
	}
}

// stop ends as a killed daemon does: the socket's file stays.
func (h *host) stop() {
	if h.listens == nil {
		return
	}
	h.listens.(*net.UnixListener).SetUnlinkOnClose(false)
	h.listens.Close()
	h.mu.Lock()
	for _, c := range h.conns {
		c.Close()
	}
	h.conns = nil
	h.mu.Unlock()
	h.running.Wait()
	h.listens = nil
}

// until returns the first report that is as wanted.
func (h *host) until(what string, ok func(helper.Report) bool) helper.Report {
	h.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case r := <-h.reports:
			if ok(r) {
				return r
			}
		case <-timeout:
			h.t.Fatalf("no report came that says: %s", what)
		}
	}
}

func (h *host) liveness(verdict string) *helper.ProbeState {
	h.t.Helper()
	return h.until("liveness "+verdict, func(r helper.Report) bool { return r.Liveness != nil && r.Liveness.Verdict == verdict }).Liveness
}

// probed is PID 1 with probes in a container that has the channel of h mounted
// and its folder at code.
func (h *host) probed(code string, c helper.Config) *exec.Cmd {
	h.t.Helper()
	if c.Main == nil {
		c.Main = sh("while :; do sleep 1; done")
	}
	cmd := asPID1(h.t, c)
	at := len(cmd.Args) - len(c.Args()) - 1
	mount := `mount -t tmpfs none /run && mkdir ` + helper.Channel + ` && mount --bind "$0" ` + helper.Channel + ` && exec "$@"`
	cmd.Args = append(cmd.Args[:at:at], append([]string{"/bin/sh", "-c", mount, h.dir}, cmd.Args[at:]...)...)
	cmd.Env = append(cmd.Env, "CODE_PATH="+code)
	return cmd
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name                string
		failures, successes int
		runs, want          string // of each run: + success, - failure; p pending, P passing, F failing
	}{
		{"defaults", 5, 1, "+-----+", "PPPPPFP"},
		{"pending until a threshold", 3, 3, "++-++-++-", "ppppppppp"},
		{"failures in a row", 2, 2, "-+--+-++", "pppFFFFP"},
		{"at once", 1, 1, "-+-+", "FPFP"},
		{"never passing before", 2, 1, "--", "pF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &prober{
				probe: helper.Probe{FailureThreshold: tt.failures, SuccessThreshold: tt.successes},
				tell:  func(helper.ProbeState) {},
			}
			got := ""
			for _, run := range tt.runs {
				p.judge(map[rune]string{'+': "", '-': "no"}[run])
				got += map[string]string{"": "p", helper.Passing: "P", helper.Failing: "F"}[p.state.Verdict]
			}
			if got != tt.want {
				t.Errorf("runs %s: verdicts %s, want %s", tt.runs, got, tt.want)
			}
		})
	}
}

// What did not change is not told.
func TestJudgeTellsChanges(t *testing.T) {
	var told []helper.ProbeState
	p := &prober{probe: helper.Probe{FailureThreshold: 2, SuccessThreshold: 1}, tell: func(s helper.ProbeState) {
		s.Since = time.Time{}
		told = append(told, s)
	}}
	for _, failure := range []string{"", "", "", "a", "b", "", "", ""} {
		p.judge(failure)
	}
	want := []helper.ProbeState{
		{Verdict: helper.Passing},
		{Verdict: helper.Passing, Failures: 1, Output: "a"},
		{Verdict: helper.Failing, Failures: 2, Output: "b"},
		{Verdict: helper.Passing, Output: "b"},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got)\n%s", diff)
	}
}

func TestProbeOutput(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		script string // "" = none
		mode   os.FileMode
		path   string // PATH
		want   string
	}{
		{"says why", "echo no database; echo sorry >&2; exit 3", 0o644, "", "no database\nsorry\n"},
		{"says nothing", "exit 3", 0o644, "", "exit status 3"},
		{"a signal", "echo a; kill -KILL $$", 0o644, "", "a\nended by a signal: killed"},
		{"no input", "cat; exit 1", 0o644, "", "exit status 1"},
		{"missing", "", 0, "", "cannot run probe.sh in CODE: no such file or directory"},
		{"a folder", "", 0o755 | os.ModeDir, "", "cannot run probe.sh in CODE: it is a folder"},
		{"a device", "", os.ModeNamedPipe, "", "cannot run probe.sh in CODE: it is not a file"},
		{"long", "echo " + long + long + "; exit 1", 0o644, "", (long + "\n")[len(long)+1-helper.MaxOutput:]},
		{"not text", `printf '\377a\303'; exit 1`, 0o644, "", "\uFFFDa\uFFFD"},
		{"a secret", "echo is $TOKEN; exit 1", 0o644, "", "is " + helper.Redacted + "\n"},
		{"folder", "pwd -P; exit 1", 0o644, "", "CODE\n"},
		{"background", "sleep 1000 & echo a; exit 1", 0o644, "", "a\n"},
		{"a syntax error", "if", 0o644, "", "CONTAINS: "},
		{"no shell", "#!/bin/sh\necho itself $0 $#; exit 1", 0o755, "/none", "itself ./probe.sh 0\n"},
		{"no shell, not executable", "#!/bin/sh\nexit 1", 0o644, "/none", `cannot start "./probe.sh": permission denied`},
		{"no shell, no interpreter", "#!/none/sh\nexit 1", 0o755, "/none", `cannot start "./probe.sh": its interpreter is not in the image (the #! line of a script, or the dynamic loader)`},
		{"no shell, no #! line", "exit 1", 0o755, "/none", `cannot start "./probe.sh": neither a program for this machine nor a script with a #! line`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newTestHost(t)
			h.listen()
			code := t.TempDir()
			path := filepath.Join(code, "probe.sh")
			switch {
			case tt.script != "":
				writeFile(t, path, tt.script+"\n", tt.mode)
			case tt.mode.IsDir():
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Fatal(err)
				}
			case tt.mode&os.ModeNamedPipe != 0:
				if err := syscall.Mkfifo(path, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd := h.probed(code, helper.Config{Liveness: patient("probe.sh"), Secrets: []string{"TOKEN"}, Main: []string{sleep, "1000"}})
			cmd.Env = append(cmd.Env, "TOKEN=hunter2hunter2")
			if tt.path != "" { // mounting needs the real one
				at := slices.Index(cmd.Args, "-c") + 1
				cmd.Args[at] = strings.Replace(cmd.Args[at], "exec ", "export PATH="+tt.path+" && exec ", 1)
			}
			launch(t, cmd)
			got := h.liveness(helper.Failing).Output
			want := strings.ReplaceAll(tt.want, "CODE", code)
			if part, ok := strings.CutPrefix(want, "CONTAINS: "); ok && strings.Contains(got, part) {
				return
			}
			if got != want {
				t.Errorf("output %q, want %q", got, want)
			}
		})
	}
}

// Runs begin an interval apart, never overlap, and not before the delay.
func TestProbeTimes(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	h.listen()
	code := t.TempDir()
	writeFile(t, code+"/probe.sh", `
		mkdir lock || { echo overlaps; exit 1; }
		date +%s%N >>begins
		[ $(wc -l <begins) = 3 ] && sleep 0.3
		rmdir lock
		[ $(wc -l <begins) -lt 6 ]`, 0o644)
	const interval, delay = 100 * time.Millisecond, 400 * time.Millisecond
	start := time.Now()
	launch(t, h.probed(code, helper.Config{Liveness: &helper.Probe{
		Script: "probe.sh", Interval: interval, Timeout: patience, InitialDelay: delay, FailureThreshold: 1, SuccessThreshold: 6,
	}}))
	state := h.liveness(helper.Failing)
	if state.Output != "exit status 1" {
		t.Fatalf("output %q", state.Output)
	}
	b, err := os.ReadFile(code + "/begins")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Fields(string(b))[:6] {
		ns, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		// The script looks at the clock some time after it has begun.
		after, least := time.Unix(0, ns).Sub(start), delay+time.Duration(i)*interval
		if after < least {
			t.Errorf("run %d began %s after the start, want %s or more", i, after, least)
		}
	}
}

// A run that takes too long leaves nobody behind, and nobody else is touched.
func TestProbeTimeout(t *testing.T) {
	t.Parallel()
	for name, script := range escapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t)
			h.listen()
			code := t.TempDir()
			writeFile(t, code+"/probe.sh", "echo begins\n[ -e pids ] && exit 0\n"+script+"\nuntil [ -s pids ]; do sleep 0.01; done; while :; do sleep 1; done", 0o644)
			probe := patient("probe.sh")
			probe.Timeout = time.Second
			c := launch(t, h.probed(code, helper.Config{
				Liveness: probe,
				Main: sh(`setsid sleep 1000 & own=$!
					trap 'pid=$(cat pids); kill -0 $pid 2>/dev/null && echo left || echo gone; kill -0 $own && echo main has its own; exit 0' TERM
					while :; do sleep 0.05; done`),
			}))
			if got, want := h.liveness(helper.Failing).Output, "begins\nno result after 1s"; got != want {
				t.Errorf("output %q, want %q", got, want)
			}
			h.liveness(helper.Passing) // the next run
			inside := childOf(t, c.Process.Pid)
			if err := syscall.Kill(inside, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			c.expect("gone")
			c.expect("main has its own")
		})
	}
}

// What a run leaves in its process group ends with it, also when there is time.
func TestProbeEndsItsGroup(t *testing.T) {
	code := t.TempDir()
	writeFile(t, code+"/probe.sh", "[ -e pids ] || { sleep 1000 & echo $! >>pids; }", 0o644)
	cmd := asInit(t, helper.Config{Liveness: patient("probe.sh"), Main: sh("while :; do sleep 1; done")})
	cmd.Env = append(cmd.Env, "CODE_PATH="+code)
	c := launch(t, cmd)
	t.Cleanup(func() { // killed, it would leave its main process
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	pid := escaped(t, code, 1)[0]
	eventually(t, "the background process ends", func() bool { return !alive(pid) })
}

// How PID 1 saves time is no matter of what it starts.
func TestProbesLeaveTimersAlone(t *testing.T) {
	code := t.TempDir()
	writeFile(t, code+"/probe.sh", "cat /proc/self/timerslack_ns >>slack", 0o644)
	cmd := asInit(t, helper.Config{
		Liveness: patient("probe.sh"),
		Main:     sh("cat /proc/self/timerslack_ns; until [ -s slack ]; do sleep 0.01; done; cat slack; cat /proc/$PPID/timerslack_ns"),
	})
	cmd.Env = append(cmd.Env, "CODE_PATH="+code)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := strings.Fields(string(out))
	if got[0] != "50000" || got[1] != "50000" || got[len(got)-1] != "2000000" {
		t.Errorf("main, probes and PID 1 have %v ns", got)
	}
}

// childOf is the first child of a process: PID 1 of the namespace it made.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	var child int
	eventually(t, "the child starts", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		fields := strings.Fields(string(b))
		if len(fields) == 0 {
			return false
		}
		child, _ = strconv.Atoi(fields[0])
		return true
	})
	return child
}

// The worst that a probe can do to others leaves PID 1 running and the other
// probe judged.
func TestProbeSurvives(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ script, want string }{
		"floods":           {"exec yes", "no result after 1s"},
		"floods and fails": {"yes | head -c 2000000; exit 1", "y\n"},
		"forks":            {`n=0; while [ $n -lt 300 ]; do (setsid sleep 1000 &); n=$((n+1)); done; sleep 1000`, "no result after 1s"},
		"kills PID 1":      {"for s in KILL STOP SEGV ABRT BUS FPE ILL TRAP SYS PIPE ALRM CHLD; do kill -$s 1; done; exit 1", "exit status 1"},
		"kills siblings":   {`for p in $(grep -l other.sh /proc/[0-9]*/cmdline); do p=${p#/proc/}; kill -KILL ${p%/cmdline}; done 2>/dev/null; exit 1`, "exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t)
			h.listen()
			code := t.TempDir()
			writeFile(t, code+"/probe.sh", tt.script, 0o644)
			writeFile(t, code+"/other.sh", "sleep 0.02", 0o644)
			liveness, readiness := patient("probe.sh"), patient("other.sh")
			liveness.Timeout, readiness.SuccessThreshold = time.Second, 1
			c := launch(t, h.probed(code, helper.Config{
				Liveness: liveness, Readiness: readiness,
				Main: sh("while :; do sleep 1; done"),
			}))
			r := h.until("three failures", func(r helper.Report) bool { return r.Liveness.Failures >= 3 })
			if got := r.Liveness.Output; !strings.HasSuffix(got, tt.want) || len(got) > helper.MaxOutput || !utf8.ValidString(got) {
				t.Errorf("output of %d bytes, with the end %q, want %q", len(got), lastBytes(got, 80), tt.want)
			}
			if err := os.Remove(code + "/probe.sh"); err != nil {
				t.Fatal(err)
			}
			h.until("the other passes", func(r helper.Report) bool { return r.Readiness.Verdict == helper.Passing })
			inside := childOf(t, c.Process.Pid)
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", inside))
			if err != nil {
				t.Fatalf("PID 1 has ended: %v", err)
			}
			_, peak, _ := strings.Cut(string(b), "VmHWM:")
			if kib, err := strconv.Atoi(strings.Fields(peak)[0]); err != nil || kib > 40<<10 {
				t.Errorf("PID 1 used %d KiB (%v)", kib, err)
			}
		})
	}
}

// What the probes found is told again to a daemon that has started anew.
func TestChannelKeepsState(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	code := t.TempDir()
	writeFile(t, code+"/probe.sh", "echo >>runs; [ -e healthy ]", 0o644)
	launch(t, h.probed(code, helper.Config{Liveness: patient("probe.sh")}))
	runs := func(n int64) {
		eventually(t, "the probe runs", func() bool {
			info, err := os.Stat(code + "/runs")
			return err == nil && info.Size() >= n
		})
	}
	runs(3) // while nobody listens
	h.listen()
	first := h.until("failing", func(r helper.Report) bool { return r.Liveness.Verdict == helper.Failing })
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if first.Container != name || first.Started.IsZero() || first.Readiness != nil || first.Liveness.Since.Before(first.Started) {
		t.Errorf("report %+v", first)
	}
	h.stop()
	info, err := os.Stat(code + "/runs")
	if err != nil {
		t.Fatal(err)
	}
	runs(info.Size() + 3)
	h.listen()
	for len(h.reports) > 0 {
		<-h.reports
	}
	again := h.until("anything", func(helper.Report) bool { return true })
	if again.Liveness.Verdict != helper.Failing || again.Liveness.Failures <= first.Liveness.Failures ||
		!again.Liveness.Since.Equal(first.Liveness.Since) || !again.Started.Equal(first.Started) {
		t.Errorf("report %+v after %+v", again.Liveness, first.Liveness)
	}
	writeFile(t, code+"/healthy", "", 0o644)
	if s := h.liveness(helper.Passing); s.Failures != 0 || !s.Since.After(first.Liveness.Since) {
		t.Errorf("state %+v", s)
	}
}

// A daemon that does not read holds up no probe, and is tried again.
func TestChannelBlocked(t *testing.T) {
	t.Parallel()
	h := newTestHost(t)
	l, err := net.Listen("unix", filepath.Join(h.dir, filepath.Base(helper.Socket)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code := t.TempDir()
	// Reports of 25 KiB fill the socket soon.
	writeFile(t, code+"/probe.sh", `echo >>runs; head -c 4096 /dev/zero; exit 1`, 0o644)
	launch(t, h.probed(code, helper.Config{Liveness: patient("probe.sh")}))
	eventually(t, "the probe runs", func() bool {
		info, err := os.Stat(code + "/runs")
		return err == nil && info.Size() >= 50
	})
	_ = l.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
	for i := range 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
	}
}

// The end of the main process is the end of probes too, at once.
func TestProbesEndWithMain(t *testing.T) {
	for name, as := range map[string]func(*testing.T, helper.Config) *exec.Cmd{"PID 1": asPID1, "subreaper": asInit} {
		t.Run(name, func(t *testing.T) {
			code := t.TempDir()
			writeFile(t, code+"/probe.sh", `trap "" TERM; (setsid env -i sh -c 'echo $$ >>pids; exec sleep 1000' &); sleep 1000`, 0o644)
			cmd := as(t, helper.Config{
				Liveness: patient("probe.sh"),
				Main:     sh(`until [ -s pids ]; do sleep 0.01; done; exit 9`),
			})
			cmd.Env = append(cmd.Env, "CODE_PATH="+code)
			if got := launch(t, cmd).status(); got != 9 {
				t.Errorf("exit status %d, want 9", got)
			}
			if name == "subreaper" {
				if pid := escaped(t, code, 1)[0]; alive(pid) {
					t.Errorf("process %d is left", pid)
				}
			}
		})
	}
}

// No status of a probe is lost among those of orphans.
func TestProbesInCrowd(t *testing.T) {
	h := newTestHost(t)
	h.listen()
	code := t.TempDir()
	writeFile(t, code+"/probe.sh", "echo >>runs; [ $(wc -l <runs) -lt 150 ]", 0o644)
	probe := patient("probe.sh")
	probe.Interval = time.Millisecond
	launch(t, h.probed(code, helper.Config{
		Liveness: probe,
		Main:     sh(`while :; do /bin/sh -c ': & : & :'; done`),
	}))
	h.liveness(helper.Failing)
	b, err := os.ReadFile(code + "/runs")
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 150 {
		t.Errorf("it failed in run %d, want 150", len(b))
	}
}
