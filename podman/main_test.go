// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/helper"
	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

func TestMain(m *testing.M) { podmantest.Main(m) }

// open opens a runtime upon the lab's service.
func open(t testing.TB, edit func(*podman.Options)) *podman.Runtime {
	t.Helper()
	opt := podman.Options{
		URL: podmantest.Socket(t), StateDir: t.TempDir(), Owner: "owner-1", Version: "test",
		HostKey: []byte("0123456789abcdef0123456789abcdef"),
	}
	if edit != nil {
		edit(&opt)
	}
	rt, err := podman.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	return rt
}

// workspace names a test's own workspace.
func workspace(t testing.TB) string {
	name := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		}
		return '-'
	}, strings.ToLower(t.Name()))
	return strings.Trim(name, "-")
}

func TestConformance(t *testing.T) {
	reconciletest.Run(t, func(t *testing.T) reconciletest.World {
		image := podmantest.Image(t, "conformance", podmantest.ImageOptions{
			Busybox: true, Files: map[string]string{helper.Server: string(agentServer(t))},
		})
		conn, channels, state, secrets := podmantest.Conn(t), channelDir(t), t.TempDir(), t.TempDir()
		rt := open(t, func(o *podman.Options) {
			withHelper(t, new(hookLogs))(o)
			o.ChannelDir, o.StateDir, o.SecretsDir = channels, state, secrets
		})
		return reconciletest.World{
			Runtime: rt, Image: image, Dir: t.TempDir(), Owner: "owner-1",
			Hooks:   &reconciletest.Hooks{OK: "true", Fail: "exit 3"},
			Health:  func(t *testing.T, handle string, h plan.Health) { probeHealth(t, rt, handle, h) },
			Foreign: func(t *testing.T, name string) { foreign(t, name, image, nil) },
			Stop: func(t *testing.T, handle string) {
				must(t, containers.Stop(conn, handle, nil))
			},
			Remove: func(t *testing.T, handle string) {
				_, err := containers.Remove(conn, handle, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
				must(t, err)
			},
			Detach: func(t *testing.T, handle, name string) {
				must(t, network.Disconnect(conn, name, handle, nil))
			},
			Pause: func(t *testing.T, handle string) { must(t, containers.Pause(conn, handle, nil)) },
			Exit: func(code int) plan.Process {
				return plan.Process{Command: []string{"/bin/tool", "exit", strconv.Itoa(code)}}
			},
			State: state,
			Say:   func(variable string) plan.Process { return tool("env", variable) },
			Look: func(t *testing.T, handle, path string) (reconciletest.Seen, bool) {
				return look(t, handle, path)
			},
			Secret: func(t *testing.T, name, value string) string {
				must(t, os.Mkdir(filepath.Join(secrets, name), 0o700))
				must(t, os.WriteFile(filepath.Join(secrets, name, "value"), []byte(value), 0o600))
				return "key:" + name + "/value"
			},
		}
	})
}

// look is what a process in a running container sees at a path.
func look(t *testing.T, handle, path string) (reconciletest.Seen, bool) {
	t.Helper()
	c, err := containers.Inspect(podmantest.Conn(t), handle, nil)
	must(t, err)
	at := fmt.Sprintf("/proc/%d/root%s", c.State.Pid, path)
	info, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return reconciletest.Seen{}, false
	}
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	seen := reconciletest.Seen{Mode: info.Mode(), UID: int(st.Uid), GID: int(st.Gid)}
	if info.Mode().IsRegular() {
		content, err := os.ReadFile(at)
		must(t, err)
		seen.Content = string(content)
	}
	return seen, true
}

// probeHealth has the probe of a container, probe.sh, say what h does for as long
// as this run of the container lasts, and waits until it has.
func probeHealth(t *testing.T, rt *podman.Runtime, handle string, h plan.Health) {
	p := h.Readiness
	if p == nil {
		p = h.Liveness
	}
	text := "true\n"
	if p.Verdict == plan.VerdictFailing {
		text = fmt.Sprintf(`case "$(cat /proc/1/stat)" in *" $(cat /begun) "*) printf %%s %q; exit 1; esac`+"\n", p.Output)
	}
	begun := `set -- $(cat /proc/1/stat); shift 21; echo $1 > /begun`
	sh(t, handle, begun+"; cat > /probe.new <<'END'\n"+text+"END\nmv /probe.new /probe.sh")
	c, err := containers.Inspect(podmantest.Conn(t), handle, nil)
	must(t, err)
	o, ok := plan.ParseLabels(c.Config.Labels)
	if !ok {
		t.Fatalf("%s is not ours", handle)
	}
	for {
		seen, err := rt.Observe(t.Context(), plan.Desired{Workspace: o.Workspace, Root: o.Root})
		must(t, err)
		for _, obj := range seen.Objects {
			if obj.Handle == handle && obj.Health != nil && says(*obj.Health, *p) {
				return
			}
		}
		select {
		case <-t.Context().Done():
			t.Fatal("its probe never said so")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// says reports whether a probe says what p does.
func says(h plan.Health, p plan.ProbeState) bool {
	for _, got := range []*plan.ProbeState{h.Liveness, h.Readiness} {
		if got != nil && got.Verdict == p.Verdict && (p.Verdict == plan.VerdictPassing || got.Output == p.Output) {
			return true
		}
	}
	return false
}

// foreign makes a container that is not ours and returns its ID.
func foreign(t testing.TB, name, image string, labels map[string]string) string {
	t.Helper()
	conn := podmantest.Conn(t)
	s := specgen.NewSpecGenerator(image, false)
	s.Name, s.Labels = name, labels
	s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
	c, err := containers.CreateWithSpec(conn, s, nil)
	must(t, err)
	must(t, containers.Start(conn, c.ID, nil))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(conn)
		if _, err := containers.Remove(ctx, c.ID, new(containers.RemoveOptions).WithForce(true).WithIgnore(true)); err != nil {
			t.Error(err)
		}
	})
	return c.ID
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
