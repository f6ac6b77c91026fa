// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconcile/helper"
)

// hookCommand is agent-server hook in a folder of its own. Its name is the
// test's, so that tests do not end each other's processes.
func hookCommand(t *testing.T, h helper.Hook) *exec.Cmd {
	t.Helper()
	h.Name = t.Name()
	if h.Shell == nil {
		h.Shell = []string{"/bin/sh", "-c"}
	}
	cmd := exec.Command(binary, h.Args()...)
	cmd.Dir = t.TempDir()
	return cmd
}

func TestHookStatus(t *testing.T) {
	dir := t.TempDir()
	plain := writeFile(t, dir+"/plain", "data", 0o644)
	for _, tt := range []struct {
		name     string
		shell    []string
		commands []string
		want     int
		says     string
	}{
		{"in order", nil, []string{"echo 1", "echo 2 >&2", "", "echo 3"}, 0, "1\n2\n3\n"},
		{"first failure", nil, []string{"echo 1", "exit 7", "echo 3"}, 7, "1\nagent-server: NAME: command 2 of 3: exit status 7\n"},
		{"killed", nil, []string{"kill -KILL $$"}, 137, "agent-server: NAME: command 1 of 1: killed\n"},
		{"not a command", nil, []string{"no-such-program"}, 127, ""},
		{"login shell", []string{"/bin/sh", "-lc"}, []string{"echo $0 $#"}, 0, "/bin/sh 0\n"},
		{"no input", nil, []string{"cat; echo end"}, 0, "end\n"},
		{"no shell", []string{"/none/sh", "-c"}, []string{"echo 1"}, 127, "agent-server: NAME: the image has no shell that could run it: cannot start \"/none/sh\": no such file in this container\n"},
		{"no program", []string{plain}, []string{"echo 1"}, 126, "agent-server: NAME: the image has no shell that could run it: cannot start \"" + plain + "\": the file is not executable\n"},
		{"too long", nil, []string{": " + strings.Repeat("x", 127<<10)}, 0, ""},
		{"control characters", nil, []string{`printf '\000\033[2J\377'`}, 0, "\x00\x1b[2J\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := hookCommand(t, helper.Hook{Shell: tt.shell, Commands: tt.commands}).CombinedOutput()
			if got := exitCode(t, err); got != tt.want {
				t.Errorf("exit status %d, want %d\n%s", got, tt.want, out)
			}
			want := strings.ReplaceAll(tt.says, "NAME", t.Name())
			if tt.says != "" && string(out) != want {
				t.Errorf("said %q, want %q", out, want)
			}
		})
	}
}

func TestHookRunsWhereItIs(t *testing.T) {
	cmd := hookCommand(t, helper.Hook{Commands: []string{"pwd -P; echo $CODE_PATH; echo $PATH"}})
	cmd.Env = []string{"CODE_PATH=/tmp"}
	out, err := cmd.CombinedOutput()
	if want := cmd.Dir + "\n/tmp\n" + defaultPath + "\n"; err != nil || string(out) != want {
		t.Errorf("said %q (%v), want %q", out, err, want)
	}
}

func TestHookHidesSecrets(t *testing.T) {
	const secret, short = "s3cr3t/with+signs &more", "abc"
	t.Setenv("TOKEN", secret)
	t.Setenv("PIN", short)
	cmd := hookCommand(t, helper.Hook{
		Secrets: []string{"TOKEN", "PIN", "UNSET"},
		Commands: []string{
			`echo "a${TOKEN}b"; printf %s "$TOKEN" | base64 | tr -d '\n'; echo; printf '%s' "$ENCODED"`,
			`rest=$TOKEN; while [ -n "$rest" ]; do printf %c "$rest"; sleep 0.002; rest=${rest#?}; done; echo " $PIN"`,
			`echo "$TOKEN" >&2; sh -c "exit 3"`,
		},
	})
	cmd.Env = append(os.Environ(), "ENCODED="+url.QueryEscape(secret)+" "+url.PathEscape(secret)+" "+base64.RawURLEncoding.EncodeToString([]byte(secret))+"\n")
	out, err := cmd.CombinedOutput()
	if got := exitCode(t, err); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
	for _, leak := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))[:20]} {
		if bytes.Contains(out, []byte(leak)) {
			t.Errorf("%q is in the output", leak)
		}
	}
	if want := "a" + helper.Redacted + "b\n"; !strings.HasPrefix(string(out), want) {
		t.Errorf("the output does not begin with %q", want)
	}
	if want := helper.Redacted + " abc\n"; !strings.Contains(string(out), want) {
		t.Errorf("the output lacks %q: what has less than 4 characters is no secret", want)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func TestHookLimitsOutput(t *testing.T) {
	const size = 100 << 20
	cmd := hookCommand(t, helper.Hook{Limit: 1000, Commands: []string{fmt.Sprintf("yes | head -c %d", size), "echo end; exit 4"}})
	out, err := cmd.CombinedOutput()
	if got := exitCode(t, err); got != 4 {
		t.Errorf("exit status %d, want 4", got)
	}
	end := fmt.Sprintf("end\nagent-server: %s: command 2 of 2: exit status 4\n", t.Name())
	line := fmt.Sprintf("\n[%d bytes left out]\n", size+len(end)-1000)
	if !strings.HasPrefix(string(out), "y\ny\n") || !strings.Contains(string(out), line) || !strings.HasSuffix(string(out), end) {
		t.Errorf("got %d bytes without %q or %q\n%.1500s", len(out), line, end, out)
	}
	rss := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if rss > 64<<10 {
		t.Errorf("%d KiB of memory were used", rss)
	}
}

// Whoever listened may be gone: the hook is done all the same.
func TestHookWithoutReader(t *testing.T) {
	cmd := hookCommand(t, helper.Hook{Commands: []string{"yes | head -c 1000000", "echo done >done", "exit 5"}})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.Close()
	if got := exitCode(t, cmd.Wait()); got != 5 {
		t.Errorf("exit status %d, want 5", got)
	}
	if _, err := os.Stat(cmd.Dir + "/done"); err != nil {
		t.Error(err)
	}
}

// escapes are ways to get out of reach. Each writes its process id.
var escapes = map[string]string{
	"group":        `sleep 1000 & echo $! >>pids`,
	"session":      `setsid sh -c 'echo $$ >>pids; exec sleep 1000' &`,
	"orphan":       `(setsid sh -c 'setsid sh -c "echo \$\$ >>pids; exec sleep 1000" & exit' & ) `,
	"environment":  `(setsid env -i PATH="$PATH" sh -c 'echo $$ >>pids; exec sleep 1000' &)`,
	"does not end": `(setsid sh -c 'trap "" TERM HUP INT; echo $$ >>pids; while :; do sleep 0.1; done' &)`,
	"stopped":      `(setsid sh -c 'echo $$ >>pids; kill -STOP $$; sleep 1000' &)`,
}

// escaped waits for n process ids in the file dir/pids.
func escaped(t *testing.T, dir string, n int) []int {
	t.Helper()
	var pids []int
	eventually(t, "the processes start", func() bool {
		b, _ := os.ReadFile(dir + "/pids")
		pids = nil
		for _, line := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return len(pids) >= n
	})
	return pids
}

func alive(pid int) bool {
	_, alive := parentOf(pid)
	return alive
}

func TestHookEndsWhatItStarted(t *testing.T) {
	t.Parallel()
	bystander := exec.Command("sleep", "1000")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // when the parallel ones have ended
		if !alive(bystander.Process.Pid) {
			t.Error("a process that it had not started was ended")
		}
		_ = bystander.Process.Kill()
		_ = bystander.Wait()
	})
	for name, script := range escapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wait := "; until [ -s pids ]; do sleep 0.01; done"
			cmd := hookCommand(t, helper.Hook{Commands: []string{script + "\n: " + wait, "kill -0 $(cat pids) && echo still there"}})
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != "still there\n" {
				t.Errorf("%v: %q: what runs in the background runs until the last command has ended", err, out)
			}
			for _, pid := range escaped(t, cmd.Dir, 1) {
				if alive(pid) {
					t.Errorf("process %d is left", pid)
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		})
	}
}

// A hook that has children faster than one can look is ended as well.
func TestHookEndsBreeders(t *testing.T) {
	t.Parallel()
	cmd := hookCommand(t, helper.Hook{Commands: []string{
		`setsid sh -c 'trap "" TERM; n=0; while [ $n -lt 20000 ]; do (setsid sh -c "sleep 0.05; echo >>alive" &) ; n=$((n+1)); done' & sleep 0.3`,
	}})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left := markOf(t.Name()).bearers(); len(left) > 0 {
		t.Errorf("%d processes are left", len(left))
	}
}

func TestHookIsToldToStop(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sig    syscall.Signal
		script string
		want   int
	}{
		"TERM":             {syscall.SIGTERM, "", 143},
		"INT":              {syscall.SIGINT, "", 130},
		"who listens":      {syscall.SIGTERM, "trap 'echo bye; exit 0' TERM; ", 143},
		"who does not":     {syscall.SIGTERM, "trap '' TERM; ", 143},
		"with descendants": {syscall.SIGTERM, escapes["environment"], 143},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := hookCommand(t, helper.Hook{Commands: []string{tt.script + "\necho $$ >>pids; echo ready; while :; do sleep 0.05; done", "echo never"}})
			c := launch(t, cmd)
			c.expect("ready")
			if err := c.Process.Signal(tt.sig); err != nil {
				t.Fatal(err)
			}
			if name == "who listens" {
				c.expect("bye")
			}
			c.expect("command 1 of 2 was told to stop: " + tt.sig.String())
			if got := c.status(); got != tt.want {
				t.Errorf("exit status %d, want %d", got, tt.want)
			}
			for _, pid := range escaped(t, cmd.Dir, 1) {
				if alive(pid) {
					t.Errorf("process %d is left", pid)
				}
			}
		})
	}
}

func TestHookTakesTooLong(t *testing.T) {
	cmd := hookCommand(t, helper.Hook{Timeout: 200 * time.Millisecond, Commands: []string{"echo $$ >>pids; sleep 1000"}})
	out, err := cmd.CombinedOutput()
	if got := exitCode(t, err); got != exitTimeout {
		t.Errorf("exit status %d, want %d", got, exitTimeout)
	}
	if want := "agent-server: " + t.Name() + ": command 1 of 1: the hook is not done after 200ms\n"; string(out) != want {
		t.Errorf("said %q, want %q", out, want)
	}
	if pid := escaped(t, cmd.Dir, 1)[0]; alive(pid) {
		t.Errorf("process %d is left", pid)
	}
}

// What a run leaves that was killed is ended by the next run of the same hook,
// and by no other.
func TestHookEndsEarlierRun(t *testing.T) {
	hook := helper.Hook{Commands: []string{escapes["environment"] + "\n" + escapes["group"] + "\necho ready; sleep 1000"}}
	cmd := hookCommand(t, hook)
	c := launch(t, cmd)
	c.expect("ready")
	pids := escaped(t, cmd.Dir, 2)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := c.status(); got != 137 {
		t.Fatalf("exit status %d, want 137", got)
	}
	other := helper.Hook{Name: t.Name() + "2", Shell: []string{"/bin/sh", "-c"}, Commands: []string{":"}}
	if out, err := exec.Command(binary, other.Args()...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("another hook: %v: %q", err, out)
	}
	for _, pid := range pids {
		if !alive(pid) {
			t.Errorf("process %d has ended", pid)
		}
	}
	out, err := hookCommand(t, helper.Hook{Commands: []string{"echo again"}}).CombinedOutput()
	want := "agent-server: ended 4 processes of an earlier run\nagain\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

// One that still runs is told to stop, and another starts only then.
func TestHookReplacesRunningOne(t *testing.T) {
	first := launch(t, hookCommand(t, helper.Hook{Commands: []string{"trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done"}}))
	first.expect("ready")
	second := launch(t, hookCommand(t, helper.Hook{Commands: []string{"echo again"}}))
	first.expect("bye")
	second.expect("processes of an earlier run")
	second.expect("again")
	if got := first.status(); got != 143 {
		t.Errorf("exit status %d of the first, want 143", got)
	}
	if got := second.status(); got != 0 {
		t.Errorf("exit status %d of the second, want 0", got)
	}
}

// In a disposable container it is PID 1.
func TestHookAsPID1(t *testing.T) {
	t.Parallel()
	h := helper.Hook{Name: "install", Shell: []string{"/bin/sh", "-c"}, Commands: []string{
		escapes["does not end"] + "\n" + escapes["orphan"] + "\n" + `until [ "$(cat pids 2>/dev/null | wc -l)" = 2 ]; do sleep 0.01; done`,
		"echo $PPID; exit 3",
	}}
	cmd := asPID1(t, helper.Config{})
	at := len(cmd.Args) - len(helper.Config{}.Args())
	cmd.Args = append(cmd.Args[:at:at], h.Args()...)
	out, err := cmd.CombinedOutput()
	if got := exitCode(t, err); got != 3 {
		t.Errorf("exit status %d, want 3", got)
	}
	if want := "1\nagent-server: install: command 2 of 2: exit status 3\n"; string(out) != want {
		t.Errorf("said %q, want %q", out, want)
	}
}
