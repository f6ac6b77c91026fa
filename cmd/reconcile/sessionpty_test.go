// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"reconcile/podman/podmantest"
)

// pty is a terminal and who sits at it.
type pty struct {
	keys *os.File // our end
	tty  *os.File // theirs

	mu    sync.Mutex
	shown bytes.Buffer
}

func openPTY(t *testing.T) *pty {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(keys.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{keys: keys, tty: tty}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, err := keys.Read(b)
			p.mu.Lock()
			p.shown.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		tty.Close()
		<-done
		keys.Close()
	})
	return p
}

func (p *pty) resize(t *testing.T, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(p.keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
}

func (p *pty) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := p.keys.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func (p *pty) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

// await waits until what is shown since the last await matches.
func (p *pty) await(t *testing.T, re string) {
	t.Helper()
	r := regexp.MustCompile(re)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		text := p.shown.String()
		if at := r.FindStringIndex(text); at != nil {
			p.shown.Next(at[1])
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("never shown: %s; last:\n%q", re, text)
		}
	}
}

// state is how the terminal is set up.
func (p *pty) state(t *testing.T) term.State {
	t.Helper()
	st, err := term.GetState(int(p.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return *st
}

// sit runs reconcile at the terminal, in a session of its own.
func (p *pty) sit(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "reconcile"
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.tty, p.tty, p.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// prompt is that of the shell inside. What is typed before it may be lost.
const prompt = `/code # `

// ends waits for the end of cmd and returns its exit code.
func ends(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
		return cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		_ = cmd.Process.Signal(syscall.SIGABRT)
		<-done
		t.Fatal("it does not end")
		return 0
	}
}

// TestTerminal: a session at a terminal has one of its own inside, with its size
// and its job control, and leaves that of this host as it was, however it ends.
func TestTerminal(t *testing.T) {
	socket := podmantest.Socket(t)
	podmantest.Image(t, "test/shell", podmantest.ImageOptions{Busybox: true})
	dir := t.TempDir()
	for name, text := range map[string]string{
		"workspace.yaml":           "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: pty}\nspec: {enable: [web]}\n",
		"agents/web/manifest.yaml": "container: localhost/test/shell\nagent: sleep 10000\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "CONTAINER_HOST="+socket, "RECONCILE_STATE_DIR="+t.TempDir(), "RECONCILE_WORKSPACE="+dir, "TERM=xterm-test", "NO_COLOR=1")
	t.Cleanup(func() {
		cmd := openPTY(t).sit(t, env, "destroy", "--yes", "--data")
		_ = cmd.Wait()
		_ = exec.Command("podman", "--remote", "--url", socket, "rm", "-f", "-t", "0", "pty-web").Run()
		_ = exec.Command("podman", "--remote", "--url", socket, "network", "rm", "-f", "pty").Run()
	})
	if out := openPTY(t); ends(t, out.sit(t, env)) != 0 {
		t.Fatalf("the workspace does not converge:\n%s", out.screen())
	}
	inside := func() string {
		out, err := exec.Command("podman", "--remote", "--url", socket, "exec", "pty-web", "ps").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	appears := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(patience); !strings.Contains(inside(), what); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s never runs:\n%s", what, inside())
			}
		}
	}
	vanishes := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(patience); strings.Contains(inside(), what); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s still runs:\n%s", what, inside())
			}
		}
	}

	t.Run("size and job control", func(t *testing.T) {
		p := openPTY(t)
		p.resize(t, 101, 31)
		before := p.state(t)
		cmd := p.sit(t, env, "shell", "web")
		p.await(t, prompt)
		if p.state(t) == before {
			t.Error("the terminal is not raw")
		}
		p.press(t, "stty size; echo term=$TERM; tty\r")
		p.await(t, `31 101\r\n`)
		p.await(t, `term=xterm-test\r\n/dev/pts/\d+\r\n`)
		p.await(t, prompt)
		p.resize(t, 77, 22)
		p.press(t, "until stty size | grep -q '22 77'; do sleep 0.1; done; stty size\r")
		p.await(t, `\n22 77\r\n`)
		p.await(t, prompt)
		p.press(t, "sleep 4441\r")
		p.await(t, "sleep 4441\r\n")
		appears("sleep 4441")
		p.press(t, "\x03")
		p.await(t, prompt)
		p.press(t, "sleep 4442\r")
		p.await(t, "sleep 4442\r\n")
		appears("sleep 4442")
		p.press(t, "\x1a")
		p.await(t, `Stopped`)
		p.await(t, prompt)
		p.press(t, "kill -9 %1; wait; echo killed\r")
		p.await(t, `\nkilled\r\n`)
		p.await(t, prompt)
		p.press(t, "exec sh -c 'exit 6'\r") // the shell would speak of its jobs first
		if code := ends(t, cmd); code != 6 {
			t.Errorf("exit code %d\n%s", code, p.screen())
		}
		if p.state(t) != before {
			t.Error("the terminal is not as it was")
		}
	})

	t.Run("nothing is read after the end", func(t *testing.T) {
		p := openPTY(t)
		cmd := p.sit(t, env, "exec", "web", "--", "sh", "-c", "echo ready; read x; exit 3")
		p.await(t, "ready\r\n")
		p.press(t, "go\r")
		if code := ends(t, cmd); code != 3 {
			t.Errorf("exit code %d", code)
		}
		p.press(t, "for the next\n")
		b := make([]byte, 100)
		n, err := p.tty.Read(b)
		if got := string(b[:n]); err != nil || got != "for the next\n" {
			t.Errorf("the next program reads %q, %v", got, err)
		}
	})

	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGKILL} {
		t.Run(end.String(), func(t *testing.T) {
			p := openPTY(t)
			before := p.state(t)
			cmd := p.sit(t, env, "shell", "web")
			p.await(t, prompt)
			mark := fmt.Sprintf("sleep 55%d", int(end))
			p.press(t, mark+"\r")
			p.await(t, mark+"\r\n")
			appears(mark)
			appears("leash")
			_ = cmd.Process.Signal(end)
			code := ends(t, cmd)
			if want := 128 + int(end); end != syscall.SIGKILL && code != want {
				t.Errorf("exit code %d, want %d\n%s", code, want, p.screen())
			}
			vanishes(mark)
			vanishes("leash")
			if end != syscall.SIGKILL && p.state(t) != before {
				t.Error("the terminal is not as it was")
			}
		})
	}

	t.Run("stopped and continued", func(t *testing.T) {
		p := openPTY(t)
		p.resize(t, 90, 30)
		before := p.state(t)
		cmd := p.sit(t, env, "exec", "web", "--", "sh", "-c", "echo ready; read x; stty size; exit 2")
		p.await(t, "ready\r\n")
		raw := p.state(t)
		awaitState := func(want term.State, what string) {
			t.Helper()
			for deadline := time.Now().Add(patience); p.state(t) != want; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the terminal is never %s", what)
				}
			}
		}
		_ = cmd.Process.Signal(syscall.SIGTSTP)
		awaitState(before, "as it was")
		p.resize(t, 66, 20)
		_ = cmd.Process.Signal(syscall.SIGCONT)
		awaitState(raw, "raw again")
		time.Sleep(300 * time.Millisecond) // the size goes its own way
		p.press(t, "x\r")
		p.await(t, `20 66\r\n`)
		if code := ends(t, cmd); code != 2 {
			t.Errorf("exit code %d", code)
		}
		if p.state(t) != before {
			t.Error("the terminal is not as it was")
		}
	})

	t.Run("the terminal is closed", func(t *testing.T) {
		keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
		n, _ := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
		tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := &pty{keys: keys, tty: tty}
		cmd := p.sit(t, env, "exec", "web", "--", "sleep", "6661")
		tty.Close()
		appears("6661")
		appears("leash")
		keys.Close()
		if code := ends(t, cmd); code != 128+int(syscall.SIGHUP) {
			t.Errorf("exit code %d", code)
		}
		vanishes("6661")
	})
}
