// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"reconcile/helper"
)

// asInit is agent-server init in the test's own PID namespace.
func asInit(t *testing.T, c helper.Config) *exec.Cmd {
	cmd := exec.Command(binary, c.Args()...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "CODE_PATH=/none", "PORT=0")
	return cmd
}

// asPID1 is agent-server init as PID 1 of a namespace of its own.
func asPID1(t *testing.T, c helper.Config) *exec.Cmd {
	cmd := asInit(t, c)
	unshare := []string{"-p", "-f", "--mount-proc", "--kill-child=KILL"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "-U", "-r", "-m")
	}
	path, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path, cmd.Args = path, append(append([]string{path}, unshare...), cmd.Args...)
	return cmd
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestInitStatus(t *testing.T) {
	dir := t.TempDir()
	plain := writeFile(t, dir+"/plain", "data", 0o644)
	garbage := writeFile(t, dir+"/garbage", "\x00\x01\x02", 0o755)
	orphan := writeFile(t, dir+"/orphan", "#!/none/interpreter\n", 0o755)
	for _, tt := range []struct {
		name string
		main []string
		want int
		says string
	}{
		{"zero", sh("exit 0"), 0, ""},
		{"code", sh("exit 7"), 7, ""},
		{"terminated", sh("kill -TERM $$"), 143, ""},
		{"killed", sh("kill -KILL $$"), 137, ""},
		{"empty word", []string{""}, 127, `agent-server: cannot start "": the command is empty`},
		{"not in PATH", []string{"no-such-program"}, 127, `agent-server: cannot start "no-such-program": not found in PATH (`},
		{"no such file", []string{dir + "/none"}, 127, `: no such file in this container`},
		{"below a file", []string{plain + "/x"}, 127, `: no such file in this container`},
		{"missing interpreter", []string{orphan}, 127, `its interpreter is not in the image`},
		{"not executable", []string{plain}, 126, `the file is not executable`},
		{"a folder", []string{dir}, 126, `is a directory`},
		{"not a program", []string{garbage}, 126, `neither a program for this machine nor a script`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := asInit(t, helper.Config{Main: tt.main})
			out, err := cmd.CombinedOutput()
			if got := exitCode(t, err); got != tt.want {
				t.Errorf("exit status %d, want %d\n%s", got, tt.want, out)
			}
			if !strings.Contains(string(out), tt.says) {
				t.Errorf("said %q, want %q", out, tt.says)
			}
		})
	}
}

func TestInitUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"bogus"}, {"init"}, {"init", "x"}, {"serve", "x"}} {
		out, err := exec.Command(binary, args...).CombinedOutput()
		if got := exitCode(t, err); got != exitUsage || !strings.Contains(string(out), "usage: agent-server init") {
			t.Errorf("agent-server %q: exit status %d, want %d, and said %q", args, got, exitUsage, out)
		}
	}
}

func TestInitFolderAndPath(t *testing.T) {
	code, here := t.TempDir(), t.TempDir()
	for _, tt := range []struct{ name, codePath, want string }{
		{"code path", code, code},
		{"no code path", "/none", here},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := asInit(t, helper.Config{Main: []string{"/bin/sh", "-c", "pwd -P; echo $PATH"}})
			cmd.Dir = here
			cmd.Env = []string{"CODE_PATH=" + tt.codePath}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if want := tt.want + "\n" + defaultPath + "\n"; string(out) != want {
				t.Errorf("got %q, want %q", out, want)
			}
		})
	}
}

func TestInitPassesSignalsOn(t *testing.T) {
	// The grandchild hears what the group hears; main waits for its word.
	const script = `
		report() { until [ -e heard ]; do sleep 0.02; done; kill -KILL $!; echo "$1"; exit 3; }
		for s in TERM INT HUP USR1 USR2 QUIT; do trap "report got-$s" $s; done
		/bin/sh -c 'trap ": >heard" TERM HUP USR1 USR2; echo ready; while :; do sleep 0.05; done' &
		while :; do wait; done`
	for name, sig := range map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "QUIT": syscall.SIGQUIT,
	} {
		t.Run(name, func(t *testing.T) {
			c := launch(t, asInit(t, helper.Config{Main: sh(script)}))
			c.expect("ready")
			if name == "INT" || name == "QUIT" { // a shell's background processes ignore them
				writeFile(t, c.Dir+"/heard", "", 0o644)
			}
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			c.expect("got-" + name)
			if got := c.status(); got != 3 {
				t.Errorf("exit status %d, want 3", got)
			}
		})
	}
}

// An orphan becomes a child of init and leaves no zombie.
func TestInitReapsOrphans(t *testing.T) {
	const script = `
		parent() { read -r pid name state ppid rest </proc/$1/stat && echo "$ppid"; }
		orphan=$(/bin/sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!')
		while [ "$(parent $orphan)" != $PPID ]; do sleep 0.02; done
		kill -KILL $orphan
		while [ -e /proc/$orphan ]; do sleep 0.02; done
		echo reaped; exit 5`
	for name, as := range map[string]func(*testing.T, helper.Config) *exec.Cmd{"PID 1": asPID1, "subreaper": asInit} {
		t.Run(name, func(t *testing.T) {
			c := launch(t, as(t, helper.Config{Main: sh(script)}))
			c.expect("reaped")
			if got := c.status(); got != 5 {
				t.Errorf("exit status %d, want 5", got)
			}
		})
	}
}

// Many children that end at once are all reaped, and the main process's status
// is not lost among them.
func TestInitReapsCrowd(t *testing.T) {
	c := launch(t, asPID1(t, helper.Config{Main: sh(`
		i=0; while [ $i -lt 200 ]; do /bin/sh -c ': & : & :' ; i=$((i+1)); done
		zombies() { cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z 1 '; }
		while [ "$(zombies)" != 0 ]; do sleep 0.02; done
		exit 6`)}))
	if got := c.status(); got != 6 {
		t.Errorf("exit status %d, want 6", got)
	}
}

func TestInitEndsTheRest(t *testing.T) {
	t.Parallel()
	t.Run("who listens to TERM", func(t *testing.T) {
		t.Parallel()
		c := launch(t, asPID1(t, helper.Config{Main: sh(`
			setsid /bin/sh -c 'trap "echo bye; exit" TERM; : >up; while :; do sleep 0.05; done' &
			while ! [ -e up ]; do sleep 0.02; done
			exit 4`)}))
		c.expect("bye")
		if got := c.status(); got != 4 {
			t.Errorf("exit status %d, want 4", got)
		}
	})
	t.Run("who does not", func(t *testing.T) {
		t.Parallel()
		cmd := asPID1(t, helper.Config{Main: sh(`
			setsid /bin/sh -c 'trap "" TERM; : >up; while :; do sleep 0.05; done' &
			while ! [ -e up ]; do sleep 0.02; done
			exit 4`)})
		if got := launch(t, cmd).status(); got != 4 {
			t.Errorf("exit status %d, want 4", got)
		}
	})
	t.Run("a stopped one", func(t *testing.T) {
		t.Parallel()
		c := launch(t, asPID1(t, helper.Config{Main: sh(`
			setsid /bin/sh -c 'trap "echo bye; exit" TERM; : >up; kill -STOP $$; while :; do sleep 0.05; done' &
			while ! [ -e up ]; do sleep 0.02; done
			exit 4`)}))
		c.expect("bye")
		if got := c.status(); got != 4 {
			t.Errorf("exit status %d, want 4", got)
		}
	})
}

func TestBeside(t *testing.T) {
	t.Parallel()
	t.Run("starts again", func(t *testing.T) {
		c := launch(t, asInit(t, helper.Config{
			Beside: sh("echo run >>runs; exit 9"),
			Main:   sh(`until [ "$(cat runs | wc -l)" -ge 3 ]; do sleep 0.05; done 2>/dev/null; exit 2`),
		}))
		c.expect(`msg="beside process ended, starting it again" from=agent-server why="exit status 9" in=500ms`)
		if got := c.status(); got != 2 {
			t.Errorf("exit status %d, want the main process's 2", got)
		}
	})
	t.Run("cannot start", func(t *testing.T) {
		c := launch(t, asInit(t, helper.Config{Beside: []string{"no-such-program"}, Main: sh("sleep 0.3; exit 1")}))
		c.expect(`cannot start \"no-such-program\": not found in PATH`)
		if got := c.status(); got != 1 {
			t.Errorf("exit status %d, want the main process's 1", got)
		}
	})
	t.Run("ends with main", func(t *testing.T) {
		c := launch(t, asInit(t, helper.Config{
			Beside: sh(`trap "echo bye; exit" TERM; : >up; while :; do sleep 0.05; done`),
			Main:   sh(`while ! [ -e up ]; do sleep 0.02; done`),
		}))
		c.expect("bye")
		if got := c.status(); got != 0 {
			t.Errorf("exit status %d, want 0", got)
		}
	})
	t.Run("does not read main's input", func(t *testing.T) {
		cmd := asInit(t, helper.Config{Beside: sh("cat >beside; : >done; sleep 1000"), Main: sh("while ! [ -e done ]; do sleep 0.02; done; cat; cat beside")})
		cmd.Stdin = strings.NewReader("input\n")
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "input\n" {
			t.Errorf("main read %q (%v), want its input", out, err)
		}
	})
}

func TestInitKeepsDefaultSupervisor(t *testing.T) {
	c := launch(t, asInit(t, helper.Config{}))
	first := listening(c)
	checkHealth(t, first)

	kill := exec.Command("pkill", "-KILL", "-P", strconv.Itoa(c.Process.Pid))
	if out, err := kill.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.expect(`msg="supervisor process ended, starting it again" from=agent-server why=killed`)
	checkHealth(t, listening(c))

	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM} {
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.status(); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
	if out := c.stderr.String(); strings.Count(out, "starting it again") != 1 {
		t.Error("a signal that is nobody's business ended the supervisor")
	}
}

func TestInitBadPort(t *testing.T) {
	cmd := asInit(t, helper.Config{})
	cmd.Env = append(cmd.Env, "PORT=http")
	out, err := cmd.CombinedOutput()
	if got := exitCode(t, err); got != exitUsage || !strings.Contains(string(out), `agent-server: PORT: "http" is not a port`) {
		t.Errorf("exit status %d and %q", got, out)
	}
}

// listening waits until the supervisor listens and returns its address.
func listening(c *child) string {
	c.t.Helper()
	_, addr, _ := strings.Cut(c.expect("msg=listening"), "addr=")
	_, port, ok := strings.Cut(addr, "]:")
	if !ok {
		c.t.Fatalf("no port in %q", addr)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

func checkHealth(t *testing.T, url string) {
	t.Helper()
	res, err := http.Get(url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("GET /health: %s", res.Status)
	}
}

// A container from scratch has no shell, no /tmp, no passwd; here not even /proc.
func TestFromScratch(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: run in the folder, without chroot")
	}
	root := t.TempDir()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, root+"/agent-server", string(data), 0o755)
	cmd := exec.Command("/agent-server", helper.Config{}.Args()...)
	cmd.Env = []string{"PORT=0"}
	cmd.Dir = "/"
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 4321, Gid: 4321}}
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
	} else {
		cmd.Path, cmd.Dir = root+"/agent-server", root
	}
	c := launch(t, cmd)
	checkHealth(t, listening(c))
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := c.status(); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
}

// With a terminal, the main process is in its foreground group.
func TestInitTerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	unlock := 0
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), unix.TIOCSPTLCK, uintptr(unsafe.Pointer(&unlock))); errno != 0 {
		t.Fatal(errno)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := asInit(t, helper.Config{Main: sh(`read -r line; echo "got $line"; trap "echo interrupted; exit 8" INT; echo waiting; while :; do sleep 0.05; done`)})
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	defer cmd.Process.Kill()

	lines := bufio.NewReader(master)
	expect := func(want string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			if strings.Contains(line, want) {
				return
			}
		}
	}
	if _, err := master.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	expect("got hello")
	expect("waiting")
	if _, err := master.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	expect("interrupted")
	if got := exitCode(t, cmd.Wait()); got != 8 {
		t.Errorf("exit status %d, want 8", got)
	}
}

func TestBinaryIsStatic(t *testing.T) {
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("ld-linux")) {
		t.Errorf("%s asks for a dynamic loader", filepath.Base(binary))
	}
}
