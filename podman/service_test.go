// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/system"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// args is the command of a container.
func args(t *testing.T, handle string) string {
	t.Helper()
	c, err := containers.Inspect(podmantest.Conn(t), handle, nil)
	must(t, err)
	return strings.TrimSpace(c.Path + " " + strings.Join(c.Args, " "))
}

// private opens a runtime upon a service of its own and finds its process.
func private(t *testing.T) (rt *podman.Runtime, pid int) {
	t.Helper()
	podmantest.Socket(t)
	run := filepath.Join(t.TempDir(), "run")
	rt, err := podman.Open(t.Context(), podman.Options{RunDir: run, StateDir: t.TempDir(), Owner: "owner-1"})
	must(t, err)
	t.Cleanup(func() { _ = rt.Close() })
	path := strings.TrimPrefix(rt.URL(), "unix://")
	if !strings.HasPrefix(path, run+"/") {
		t.Fatalf("URL %s, want a socket below %s", rt.URL(), run)
	}
	if pid = processOf(t, rt.URL()); pid == 0 {
		t.Fatal("no process has the socket's path")
	}
	return rt, pid
}

// processOf finds the process that was started with the word, 0 when there is
// none.
func processOf(t *testing.T, word string) (pid int) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, p := range procs {
		line, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(line), word) {
			pid, err = strconv.Atoi(filepath.Base(filepath.Dir(p)))
			must(t, err)
		}
	}
	return pid
}

// TestPrivateService: it sees the same storage, and ends with the runtime.
func TestPrivateService(t *testing.T) {
	rt, pid := private(t)
	b := &bed{rt: rt, d: plan.Desired{Workspace: workspace(t), Root: "/r"}}
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	obj := b.start(t, id)
	must(t, rt.Close())
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Close: %v, want it gone", pid, err)
	}
	if _, err := os.Stat(strings.TrimPrefix(rt.URL(), "unix://")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after Close: %v, want it gone", err)
	}

	other := newBed(t, nil)
	other.d = b.d
	if got := other.object(t, id); got.Handle != obj.Handle || got.State != plan.StateRunning {
		t.Errorf("after Close: %+v, want %s running", got, obj.Handle)
	}
}

// TestServiceLost: a service that dies is named, and the next look starts
// another one.
func TestServiceLost(t *testing.T) {
	rt, pid := private(t)
	b := &bed{rt: rt, d: plan.Desired{Workspace: workspace(t), Root: "/r"}}
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	step := b.prepared(t, id)
	running := b.start(t, b.want("b", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")}))

	waited := make(chan error, 1)
	go func() {
		wait := on(plan.OpWait, running)
		wait.Until = plan.UntilFinished
		_, err := rt.Do(context.Background(), wait, b.d)
		waited <- err
	}()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	const word = "does not answer any more"
	if err := <-waited; err == nil || !strings.Contains(err.Error(), word) {
		t.Errorf("wait under way: %v, want %q", err, word)
	}
	b.refuse(t, step, word, rt.URL())
	if got := b.object(t, running.ID); got.Handle != running.Handle || got.State != plan.StateRunning {
		t.Errorf("%+v, want %s running", got, running.Handle)
	}
	b.create(t, id)
	b.clear(t)
	must(t, rt.Close())
	if pid := processOf(t, rt.URL()); pid != 0 {
		t.Errorf("process %d after Close", pid)
	}
	if _, err := os.Stat(strings.TrimPrefix(rt.URL(), "unix://")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after Close: %v, want it gone", err)
	}
	if _, err := rt.Observe(t.Context(), b.d); err == nil || !strings.Contains(err.Error(), word) {
		t.Errorf("observe after Close: %v, want %q", err, word)
	}
}

func TestNoService(t *testing.T) {
	podmantest.Socket(t)
	run := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", run)
	stale := filepath.Join(run, "podman", "podman.sock")
	must(t, os.Mkdir(filepath.Dir(stale), 0o700))
	must(t, os.WriteFile(stale, nil, 0o600))
	long := filepath.Join(run, strings.Repeat("x", 100))
	for _, tt := range []struct {
		name string
		host string
		opt  podman.Options
		want []string
	}{
		{"url", "", podman.Options{URL: "unix:///nowhere/p.sock"}, []string{"unix:///nowhere/p.sock: "}},
		{"no url", "", podman.Options{URL: "/nowhere/p.sock"}, []string{"is no service URL"}},
		{"host", "unix:///elsewhere.sock", podman.Options{}, []string{"CONTAINER_HOST=unix:///elsewhere.sock: "}},
		{
			"nothing", "",
			podman.Options{RunDir: run, Binary: "podman-nowhere"},
			[]string{"no Podman service: ", stale + ": ", "/run/podman/podman.sock: no such socket", "podman-nowhere is not installed"},
		},
		{"broken podman", "", podman.Options{RunDir: run, Binary: "false"}, []string{"podman system service ended (exit status 1)"}},
		{"long path", "", podman.Options{RunDir: long}, []string{"longer than the 107 bytes of a socket address"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CONTAINER_HOST", tt.host)
			rt, err := podman.Open(t.Context(), tt.opt)
			if err == nil {
				rt.Close()
				t.Fatal("no error")
			}
			for _, word := range tt.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
		})
	}
}

// TestFoundService: the environment's address comes before a private service.
func TestFoundService(t *testing.T) {
	t.Setenv("CONTAINER_HOST", podmantest.Socket(t))
	rt, err := podman.Open(t.Context(), podman.Options{RunDir: t.TempDir()})
	must(t, err)
	defer rt.Close()
	if rt.URL() != podmantest.Socket(t) {
		t.Errorf("URL %s", rt.URL())
	}
	if c := rt.Capabilities(); !c.HostPaths || !strings.HasPrefix(c.Name, "podman "+strconv.FormatUint(podmantest.Version(t), 10)+".") {
		t.Errorf("capabilities %+v", c)
	}
}

// TestStorageLeftover: a container that only the storage knows, as a service
// killed during a create leaves it, does not hold its name for ever.
func TestStorageLeftover(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	step := b.prepared(t, id)
	leftover(t, step.Name)
	if o := b.observe(t); len(o.Objects) != 0 || len(o.Foreign) != 0 {
		t.Fatalf("objects %v, foreign %v; the leftover is in no list", o.Objects, o.Foreign)
	}
	b.do(t, on(plan.OpStart, b.do(t, step)))
	if got := b.object(t, id); got.State != plan.StateRunning {
		t.Errorf("state %s", got.State)
	}
}

// TestStorageOfOthers: a container that another tool keeps in the storage holds
// its name and stays, as one that buildah works in.
func TestStorageOfOthers(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")})
	step := b.prepared(t, id)
	theirs := leftover(t, step.Name)
	info, err := system.Info(podmantest.Conn(t), nil)
	must(t, err)
	mark := filepath.Join(info.Store.GraphRoot, info.Store.GraphDriverName+"-containers", theirs, "userdata", "buildah.json")
	must(t, os.WriteFile(mark, []byte("{}"), 0o600))
	b.refuse(t, step, step.Name, "belongs to a container of another tool ("+theirs[:12]+")")
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	must(t, os.Remove(mark))
	b.do(t, step)
}

// leftover makes a container in the shared storage through a podman with
// another database, so that the service does not know it, and returns its ID.
func leftover(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	conf, err := os.ReadFile(os.Getenv("CONTAINERS_CONF"))
	must(t, err)
	text := strings.Replace(string(conf), "[engine]", "[engine]\nstatic_dir = \""+dir+"/static\"\nvolume_path = \""+dir+"/volumes\"", 1)
	file := filepath.Join(dir, "containers.conf")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	cmd := exec.Command("podman", "--tmpdir", dir+"/tmp", "create", "--network", "none", "--name", name, toolImage(t))
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+file)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	return strings.TrimSpace(string(out))
}
