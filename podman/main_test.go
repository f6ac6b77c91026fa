// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/specgen"

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
		image := podmantest.Image(t, "conformance", podmantest.ImageOptions{})
		conn := podmantest.Conn(t)
		return reconciletest.World{
			Runtime: open(t, nil), Image: image, Dir: t.TempDir(), Owner: "owner-1",
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
		}
	})
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
