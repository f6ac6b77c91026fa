// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/dispatch/dispatchtest"
	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// stage is a workspace in which executions run.
type stage struct {
	*bed
	*podman.Executions
	image string
}

func newStage(t testing.TB, edit func(*podman.Options)) *stage {
	t.Helper()
	b := newBed(t, edit)
	s := &stage{bed: b, image: podmantest.Image(t, "executions", podmantest.ImageOptions{Busybox: true})}
	s.Executions = b.rt.Executions(podman.ExecutionOptions{Workspace: b.d.Workspace, Root: b.d.Root})
	b.create(t, b.wantNetwork())
	all := s.Executions
	t.Cleanup(func() { // before the network
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := all.Sweep(ctx, ""); err != nil {
			t.Error(err)
		}
	})
	return s
}

// launch is what a container is made of that runs a script, as templates have it.
func (s *stage) launch(script string) plan.Launch {
	return plan.Launch{
		Agent: plan.ID{Kind: plan.TaskAgent, Namespace: "default", Name: "runner"}, Name: s.d.Workspace + "-runner",
		Role: plan.RoleExecution, Session: "one", Revision: "runner-00001", Key: newKey(), Execution: "e-1", Stdin: true,
		Spec: &plan.ContainerSpec{
			Image: s.image, Main: plan.Process{Command: []string{"/bin/sh", "-c", script}},
			NoImageEnv: true, CABundle: true, Network: s.d.Workspace,
			Env:          []plan.EnvVar{{Name: "HOME", Value: "/tmp"}, {Name: "PATH", Value: "/bin:/usr/bin"}},
			Mounts:       []plan.Mount{{Type: plan.MountTmpfs, Target: "/tmp", SizeBytes: 100 << 20}},
			ReadOnlyRoot: true, CapDrop: []string{"ALL"}, CapAdd: []string{"NET_BIND_SERVICE"}, NoNewPrivileges: true,
			PidsLimit: 512, StopTimeout: 5,
		},
	}
}

func newKey() string { return fmt.Sprintf("%x", rand.Text())[:16] }

// with is a launch that was changed.
func with(l plan.Launch, edit func(*plan.Launch, *plan.ContainerSpec)) plan.Launch {
	c := *l.Spec
	l.Spec = &c
	edit(&l, &c)
	return l
}

func TestExecutions(t *testing.T) {
	s := newStage(t, nil)
	dispatchtest.Run(t, dispatchtest.Target{
		Runtime: s.Executions,
		Launch:  func(_ *testing.T, script string) plan.Launch { return s.launch(script) },
		Missing: func(*testing.T) plan.Launch {
			return with(s.launch(dispatchtest.Cat), func(l *plan.Launch, c *plan.ContainerSpec) {
				c.Image, l.Image = "localhost/nowhere:latest", "sha256:"+strings.Repeat("0", 64)
			})
		},
		Exists: func(t *testing.T, handle string) bool {
			there, err := containers.Exists(podmantest.Conn(t), handle, nil)
			must(t, err)
			return there
		},
		Volume: func(t *testing.T, bytes int64) string { return volumeOf(t, bytes) },
	})
}

// volumeOf makes a volume that holds so many bytes.
func volumeOf(t *testing.T, bytes int64) string {
	t.Helper()
	conn := podmantest.Conn(t)
	v, err := volumes.Create(conn, types.VolumeCreateOptions{Name: "used-" + newKey()}, nil)
	must(t, err)
	t.Cleanup(func() { must(t, volumes.Remove(context.WithoutCancel(conn), v.Name, nil)) })
	must(t, os.Mkdir(filepath.Join(v.Mountpoint, "below"), 0o700))
	must(t, os.WriteFile(filepath.Join(v.Mountpoint, "below", "file"), make([]byte, bytes), 0o600))
	return v.Name
}
