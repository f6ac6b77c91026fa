// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"reconcile/helper"
)

// taskContainer is a task as PID 1 of namespaces of its own, in which the folder
// of the outcome is dir.
type taskContainer struct {
	*child
	dir string
}

// taskCommand is the task; prepare is a shell's, run in the container before it.
func taskCommand(t *testing.T, task helper.Task, prepare string, argv ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = t.TempDir()
	if prepare == "" {
		prepare = "mkdir /run/reconcile-task && mount --bind " + dir + " /run/reconcile-task"
	}
	cmd = asPID1(t, helper.Config{Main: argv, Task: &task})
	at := len(cmd.Args) - len(helper.Config{Main: argv, Task: &task}.Args()) - 1
	own := append([]string{}, cmd.Args[at:]...)
	script := "mount -t tmpfs tmpfs /run && " + prepare + ` && exec "$0" "$@"`
	cmd.Args = append(append(cmd.Args[:at:at], "/bin/sh", "-c", script), own...)
	return cmd, dir
}

func startTask(t *testing.T, task helper.Task, argv ...string) *taskContainer {
	t.Helper()
	cmd, dir := taskCommand(t, task, "", argv...)
	return &taskContainer{launch(t, cmd), dir}
}

// signal sends sig to PID 1 of the container.
func (c *taskContainer) signal(sig syscall.Signal) {
	c.t.Helper()
	own := strconv.Itoa(c.Process.Pid)
	b, err := os.ReadFile("/proc/" + own + "/task/" + own + "/children")
	if err != nil {
		c.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		c.t.Fatal(err)
	}
}

// waitOutcome waits for the outcome and returns it without its time.
func (c *taskContainer) waitOutcome() helper.Outcome {
	c.t.Helper()
	eventually(c.t, "an outcome", func() bool {
		_, err := os.Stat(c.dir + "/outcome.json")
		return err == nil
	})
	return readOutcome(c.t, c.dir)
}

func readOutcome(t *testing.T, dir string) helper.Outcome {
	t.Helper()
	b, err := os.ReadFile(dir + "/outcome.json")
	if err != nil {
		t.Fatal(err)
	}
	var o helper.Outcome
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(o.Finished); d < 0 || d > patience || o.Finished.Location() != time.UTC {
		t.Errorf("the command is said to have ended at %s", o.Finished)
	}
	return o
}

func checkOutcome(t *testing.T, got, want helper.Outcome) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(helper.Outcome{}, "Finished")); diff != "" {
		t.Errorf("outcome (-want +got)\n%s", diff)
	}
}

func TestTaskStatus(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	plain := writeFile(t, files+"/plain", "data", 0o644)
	for _, tt := range []struct {
		name string
		argv []string
		want int
		says string
	}{
		{"zero", sh("exit 0"), 0, ""},
		{"code", sh("exit 7"), 7, ""},
		{"terminated", sh("kill -TERM $$"), 143, ""},
		{"killed", sh("kill -KILL $$"), 137, ""},
		{"no input", sh("cat; readlink /proc/self/fd/0"), 0, "/dev/null\n"},
		{"arguments", []string{"/bin/sh", "-c", `printf '<%s>\n' "$@"`, "sh", "a b", "", "--", "$x"}, 0, "<a b>\n<>\n<-->\n<$x>\n"},
		{"not in PATH", []string{"no-such-program"}, 127, `agent-server: cannot start "no-such-program": not found in PATH (`},
		{"no such file", []string{files + "/none"}, 127, "no such file in this container"},
		{"not executable", []string{plain}, 126, "the file is not executable"},
		{"no command", nil, 127, `agent-server: cannot start "": the command is empty`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd, dir := taskCommand(t, helper.Task{}, "", tt.argv...)
			cmd.Stdin = strings.NewReader("input that is nobody's\n")
			out, err := cmd.CombinedOutput()
			if got := exitCode(t, err); got != tt.want {
				t.Errorf("exit status %d, want %d\n%s", got, tt.want, out)
			}
			if !strings.Contains(string(out), tt.says) {
				t.Errorf("said %q, want %q", out, tt.says)
			}
			checkOutcome(t, readOutcome(t, dir), helper.Outcome{Code: tt.want})
			if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
				t.Errorf("%d files beside the outcome (%v)", len(list)-1, err)
			}
		})
	}
}

// The folder is the container's own, whatever CODE_PATH says.
func TestTaskFolder(t *testing.T) {
	t.Parallel()
	cmd, _ := taskCommand(t, helper.Task{}, "", sh("pwd -P")...)
	cmd.Env = append(os.Environ(), "CODE_PATH=/usr")
	here, err := filepath.EvalSymlinks(cmd.Dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != here+"\n" {
		t.Errorf("runs in %q (%v), want %q", out, err, here)
	}
}

// ignorers are three that do not listen to SIGTERM, in the group of their shell
// and away from it. They say "up" when they are.
const ignorers = `
	/bin/sh -c 'trap "" TERM; : >group; while :; do sleep 0.05; done' &
	setsid /bin/sh -c 'trap "" TERM; : >session; while :; do sleep 0.05; done' &
	(setsid env -i PATH="$PATH" /bin/sh -c 'trap "" TERM; : >orphan; while :; do sleep 0.05; done' &)
	until [ -e group ] && [ -e session ] && [ -e orphan ]; do sleep 0.02; done
	echo up
`

func TestTaskTimeout(t *testing.T) {
	t.Parallel()
	t.Run("a command that listens", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{Timeout: 300 * time.Millisecond}, sh(`trap "echo bye; exit 0" TERM; while :; do sleep 0.05; done`)...)
		c.expect(`msg="the command takes too long and is ended" from=agent-server timeout=300ms`)
		c.expect("bye")
		if got := c.status(); got != 124 {
			t.Errorf("exit status %d, want 124", got)
		}
		checkOutcome(t, readOutcome(t, c.dir), helper.Outcome{Code: 124, Timeout: true})
	})
	t.Run("one that is stopped", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{Timeout: 300 * time.Millisecond}, sh(`trap "echo bye; exit 0" TERM; kill -STOP $$; sleep 1000`)...)
		c.expect("bye")
		if got := c.status(); got != 124 {
			t.Errorf("exit status %d, want 124", got)
		}
	})
	t.Run("its children listen", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{Timeout: time.Second}, sh(`
			setsid /bin/sh -c 'trap "echo child-bye; exit" TERM; echo up; while :; do sleep 0.05; done' &
			while :; do sleep 1000; done`)...)
		c.expect("up")
		c.expect("child-bye")
		if got := c.status(); got != 124 {
			t.Errorf("exit status %d, want 124", got)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{Timeout: time.Second}, sh(`trap "" TERM; `+ignorers+`while :; do sleep 0.05; done`)...)
		c.expect("up")
		if got := c.status(); got != 124 {
			t.Errorf("exit status %d, want 124", got)
		}
		checkOutcome(t, readOutcome(t, c.dir), helper.Outcome{Code: 124, Timeout: true})
	})
	t.Run("keep-alive without the children that do not listen", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{Timeout: time.Second, KeepAlive: time.Hour}, sh(ignorers+`while :; do sleep 0.05; done`)...)
		c.expect("up")
		checkOutcome(t, c.waitOutcome(), helper.Outcome{Code: 124, Timeout: true})
		c.expect(`msg="the command has ended, the container stays" from=agent-server status=124 keepAlive=1h0m0s`)
		if left := c.processes(); left != 0 {
			t.Errorf("%d processes are left beside PID 1", left)
		}
		c.signal(syscall.SIGTERM)
		if got := c.status(); got != 124 {
			t.Errorf("exit status %d, want 124", got)
		}
	})
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{Timeout: time.Hour}, sh("exit 3")...)
		if got := c.status(); got != 3 {
			t.Errorf("exit status %d, want 3", got)
		}
		checkOutcome(t, readOutcome(t, c.dir), helper.Outcome{Code: 3})
	})
}

// processes counts those of the container beside PID 1.
func (c *taskContainer) processes() int {
	own := strconv.Itoa(c.Process.Pid)
	b, _ := os.ReadFile("/proc/" + own + "/task/" + own + "/children")
	space, err := os.Readlink("/proc/" + strings.TrimSpace(string(b)) + "/ns/pid")
	if err != nil {
		c.t.Fatal(err)
	}
	n := 0
	for _, pid := range pids() {
		other, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid")
		if _, alive := parentOf(pid); alive && other == space {
			n++
		}
	}
	return n - 1
}

func TestTaskIsToldToEnd(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startTask(t, helper.Task{KeepAlive: time.Hour}, sh(`trap "echo bye; exit 5" `+name+`; echo up; while :; do sleep 0.05; done`)...)
			c.expect("up")
			c.signal(sig)
			c.expect("bye")
			if got := c.status(); got != 5 {
				t.Errorf("exit status %d, want the command's 5, and no keep-alive", got)
			}
			checkOutcome(t, readOutcome(t, c.dir), helper.Outcome{Code: 5})
		})
	}
	t.Run("other signals are passed on", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{}, sh(`trap "echo hup" HUP; trap "echo usr1; exit 6" USR1; echo up; while :; do sleep 0.05; done`)...)
		c.expect("up")
		c.signal(syscall.SIGHUP)
		c.expect("hup")
		c.signal(syscall.SIGUSR1)
		c.expect("usr1")
		if got := c.status(); got != 6 {
			t.Errorf("exit status %d, want 6", got)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{Timeout: time.Hour}, sh(`trap "" TERM; `+ignorers+`while :; do sleep 0.05; done`)...)
		c.expect("up")
		told := time.Now()
		c.signal(syscall.SIGTERM)
		if got := c.status(); got != 137 {
			t.Errorf("exit status %d, want 137", got)
		}
		checkOutcome(t, readOutcome(t, c.dir), helper.Outcome{Code: 137})
		if d := time.Since(told); d < stopGrace {
			t.Errorf("killed after %s, want %s of grace", d, stopGrace)
		}
	})
}

func TestTaskKeepAlive(t *testing.T) {
	t.Parallel()
	t.Run("passes", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{KeepAlive: 300 * time.Millisecond}, sh("exit 3")...)
		c.expect(`status=3 keepAlive=300ms`)
		if got := c.status(); got != 3 {
			t.Errorf("exit status %d, want 3", got)
		}
	})
	t.Run("is ended", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{KeepAlive: time.Hour}, sh(`
			setsid /bin/sh -c 'trap "echo child-bye; exit" TERM; : >up; while :; do sleep 0.05; echo >>beat; done' &
			(setsid sleep 0.5 &)
			until [ -e up ]; do sleep 0.02; done; exit 4`)...)
		checkOutcome(t, c.waitOutcome(), helper.Outcome{Code: 4})
		c.expect("the container stays")
		size := func() int64 {
			info, err := os.Stat(c.Dir + "/beat")
			if err != nil {
				return 0
			}
			return info.Size()
		}
		before := size()
		eventually(t, "what the command left goes on", func() bool { return size() > before+5 })
		eventually(t, "the orphan is reaped", func() bool { return c.zombies() == 0 && c.processes() <= 2 })
		c.signal(syscall.SIGHUP) // which ends nothing
		c.signal(syscall.SIGTERM)
		c.expect("child-bye")
		if got := c.status(); got != 4 {
			t.Errorf("exit status %d, want the command's 4", got)
		}
	})
	t.Run("of a command that cannot start", func(t *testing.T) {
		t.Parallel()
		c := startTask(t, helper.Task{KeepAlive: time.Hour}, "no-such-program")
		checkOutcome(t, c.waitOutcome(), helper.Outcome{Code: 127})
		c.expect("the container stays")
		c.signal(syscall.SIGINT)
		if got := c.status(); got != 127 {
			t.Errorf("exit status %d, want 127", got)
		}
	})
}

// zombies counts the dead whom PID 1 has not taken leave of.
func (c *taskContainer) zombies() int {
	own := strconv.Itoa(c.Process.Pid)
	b, _ := os.ReadFile("/proc/" + own + "/task/" + own + "/children")
	pid := strings.TrimSpace(string(b))
	n := 0
	children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	for _, child := range strings.Fields(string(children)) {
		stat, _ := os.ReadFile("/proc/" + child + "/stat")
		if strings.Contains(string(stat), ") Z ") {
			n++
		}
	}
	return n
}

// An outcome that cannot be written is said once, and changes nothing else.
func TestTaskOutcomeCannotBeWritten(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]string{
		"no folder": ":",
		"read-only": "mkdir /run/reconcile-task && mount -t tmpfs -o ro tmpfs /run/reconcile-task",
		"full":      "mkdir /run/reconcile-task && mount -t tmpfs -o nr_inodes=1 tmpfs /run/reconcile-task",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, _ := taskCommand(t, helper.Task{KeepAlive: 100 * time.Millisecond}, prepare, sh("exit 3")...)
			out, err := cmd.CombinedOutput()
			if got := exitCode(t, err); got != 3 {
				t.Errorf("exit status %d, want 3", got)
			}
			if n := strings.Count(string(out), `msg="the end of the task cannot be written down"`); n != 1 || !strings.Contains(string(out), "the container stays") {
				t.Errorf("said %d times that the outcome cannot be written\n%s", n, out)
			}
		})
	}
}

// What a command puts where the outcome goes leads nowhere else.
func TestWriteOutcome(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	precious := writeFile(t, elsewhere+"/precious", "data", 0o644)
	for _, link := range []string{"/outcome.json", "/outcome.json.part"} {
		if err := os.Symlink(precious, dir+link); err != nil {
			t.Fatal(err)
		}
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	want := helper.Outcome{Code: 1 << 20, Timeout: true, Finished: time.Now().UTC()}
	if err := writeOutcome(dir+"/outcome.json", want); err != nil {
		t.Fatal(err)
	}
	checkOutcome(t, readOutcome(t, dir), want)
	info, err := os.Lstat(dir + "/outcome.json")
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v (%v), want one that reconcile may read", info.Mode(), err)
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "data" {
		t.Errorf("another file is now %q (%v)", b, err)
	}
}

// Nor do folders that a command puts there stand in the way.
func TestWriteOutcomeOverFolders(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{"/outcome.json/x", "/outcome.json.part/x"} {
		if err := os.MkdirAll(dir+folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := helper.Outcome{Code: 124, Timeout: true, Finished: time.Now().UTC()}
	if err := writeOutcome(dir+"/outcome.json", want); err != nil {
		t.Fatal(err)
	}
	checkOutcome(t, readOutcome(t, dir), want)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v (%v), want the outcome alone", left, err)
	}
}

// A container from scratch: no shell, /tmp, passwd or /proc, and a user that the
// image does not know.
func TestTaskFromScratch(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Log("not root: chroot cannot be had, and nothing is checked")
		return
	}
	root := t.TempDir()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, root+"/agent-server", string(data), 0o755)
	for _, err := range []error{
		os.Chmod(root, 0o755),
		os.MkdirAll(root+filepath.Dir(helper.OutcomeFile), 0o755),
		os.Chown(root+filepath.Dir(helper.OutcomeFile), 4321, 4321),
		os.Mkdir(root+"/dev", 0o755),
		unix.Mknod(root+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		os.Chmod(root+"/dev/null", 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(task helper.Task, argv ...string) (int, string) {
		cmd := exec.Command("/agent-server", helper.Config{Main: argv, Task: &task}.Args()...)
		cmd.Env, cmd.Dir = []string{"PORT=0"}, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 4321, Gid: 4321}}
		out, err := cmd.CombinedOutput()
		return exitCode(t, err), string(out)
	}
	if got, out := run(helper.Task{}, "/agent-server"); got != exitUsage {
		t.Errorf("exit status %d, want %d\n%s", got, exitUsage, out)
	}
	checkOutcome(t, readOutcome(t, root+filepath.Dir(helper.OutcomeFile)), helper.Outcome{Code: exitUsage})
	if got, out := run(helper.Task{Timeout: 200 * time.Millisecond}, "/agent-server", "serve"); got != 124 {
		t.Errorf("exit status %d, want 124\n%s", got, out)
	}
	checkOutcome(t, readOutcome(t, root+filepath.Dir(helper.OutcomeFile)), helper.Outcome{Code: 124, Timeout: true})
}
