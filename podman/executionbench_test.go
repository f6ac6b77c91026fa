// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// benchExecutions are those of a workspace with a network.
func benchExecutions(b *testing.B) (*Executions, plan.Launch) {
	b.Helper()
	rt, d := benchWorkspace(b, 0)
	x := rt.Executions(ExecutionOptions{Workspace: d.Workspace, Root: d.Root})
	l := plan.Launch{
		Agent: plan.ID{Kind: plan.TaskAgent, Namespace: "default", Name: "cat"}, Name: "bench-cat", Role: plan.RoleExecution,
		Session: "bench", Revision: "cat-00001", Stdin: true,
		Spec: &plan.ContainerSpec{
			Image: podmantest.Image(b, "benchcat", podmantest.ImageOptions{Busybox: true}), Main: plan.Process{Command: []string{"/bin/cat"}},
			NoImageEnv: true, CABundle: true, Network: "bench", Env: []plan.EnvVar{{Name: "HOME", Value: "/tmp"}},
			Mounts:       []plan.Mount{{Type: plan.MountTmpfs, Target: "/tmp", SizeBytes: 100 << 20}},
			ReadOnlyRoot: true, CapDrop: []string{"ALL"}, CapAdd: []string{"NET_BIND_SERVICE"}, NoNewPrivileges: true, PidsLimit: 512,
		},
	}
	return x, l
}

// first tells when something is written for the first time.
type first struct {
	once sync.Once
	came chan struct{}
}

func newFirst() *first { return &first{came: make(chan struct{})} }

// mustHaveCome fails unless something was written.
func (f *first) mustHaveCome(b *testing.B) {
	b.Helper()
	select {
	case <-f.came:
	default:
		b.Fatal("nothing came of the process")
	}
}

func (f *first) Write(p []byte) (int, error) {
	f.once.Do(func() { close(f.came) })
	return len(p), nil
}

// bareAttach attaches to a container as its own service is asked to, over one
// connection.
func bareAttach(ctx context.Context, b *testing.B, x *Executions, handle string, out io.Writer) (h *hijacked, ended <-chan struct{}) {
	b.Helper()
	h, err := x.rt.hijack(ctx, handle, url.Values{"stdin": {"true"}, "stdout": {"true"}, "stderr": {"true"}})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, h)
	}()
	return h, done
}

// bareRun is create, attach, start, wait and remove of a spec, with nothing else.
func bareRun(ctx context.Context, b *testing.B, x *Executions, l plan.Launch) {
	b.Helper()
	spec, err := x.spec(ctx, l)
	if err != nil {
		b.Fatal(err)
	}
	made, err := containers.CreateWithSpec(ctx, spec, nil)
	if err != nil {
		b.Fatal(err)
	}
	out := newFirst()
	h, ended := bareAttach(ctx, b, x, made.ID, out)
	if err := containers.Start(ctx, made.ID, nil); err != nil {
		b.Fatal(err)
	}
	_, _ = h.Write([]byte("hello"))
	_ = h.closeWrite()
	<-ended
	out.mustHaveCome(b)
	for { // the call for it takes up to 250 ms
		c, err := containers.Inspect(ctx, made.ID, nil)
		if err != nil {
			b.Fatal(err)
		}
		if over(c) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	h.Close()
	if _, err := containers.Remove(ctx, made.ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0)); err != nil {
		b.Fatal(err)
	}
}

func launchKey() string { return fmt.Sprintf("%x", rand.Text())[:16] }

func oursRun(ctx context.Context, b *testing.B, x *Executions, l plan.Launch) {
	b.Helper()
	handle, _, err := x.Create(ctx, l)
	if err != nil {
		b.Fatal(err)
	}
	out := newFirst()
	a, err := x.Attach(ctx, handle, out, newFirst())
	if err == nil {
		err = x.Start(ctx, handle)
	}
	if err != nil {
		b.Fatal(err)
	}
	_, _ = a.Write([]byte("hello"))
	_ = a.CloseWrite()
	code, err := x.Wait(ctx, handle)
	if err = errors.Join(err, a.Wait(), x.Remove(ctx, handle)); err != nil || code != 0 {
		b.Fatal(code, err)
	}
	out.mustHaveCome(b)
}

// BenchmarkExecution compares one execution, from nothing to nothing, with bare calls
// of the identical spec. The goal is 1.15 × those.
func BenchmarkExecution(b *testing.B) {
	const n = 4
	x, l := benchExecutions(b)
	ctx := x.rt.with(b.Context())
	side := func(one func(context.Context, *testing.B, *Executions, plan.Launch)) time.Duration {
		begun := time.Now()
		for range n {
			l.Key = launchKey()
			one(ctx, b, x, l)
		}
		return time.Since(begun) / n
	}
	inTurns(b, func() time.Duration { return side(bareRun) }, func() time.Duration { return side(oursRun) }, 115)
}

// BenchmarkSlot compares the time from when a slot is taken, which is attached already,
// to the first byte of its process with bare calls that attach and start. The goal is
// 1.15 × those.
func BenchmarkSlot(b *testing.B) {
	const n = 4
	x, l := benchExecutions(b)
	ctx := x.rt.with(b.Context())
	side := func(use func(handle string) (took time.Duration)) time.Duration {
		var sum time.Duration
		for range n {
			l.Key = launchKey()
			handle, _, err := x.Create(ctx, l)
			if err != nil {
				b.Fatal(err)
			}
			sum += use(handle)
			if err := x.Remove(ctx, handle); err != nil {
				b.Fatal(err)
			}
		}
		return sum / n
	}
	bare := func() time.Duration {
		return side(func(handle string) time.Duration {
			out, begun := newFirst(), time.Now()
			h, _ := bareAttach(ctx, b, x, handle, out)
			if err := containers.Start(ctx, handle, nil); err != nil {
				b.Fatal(err)
			}
			_, _ = h.Write([]byte("hello"))
			<-out.came
			defer h.Close()
			return time.Since(begun)
		})
	}
	ours := func() time.Duration {
		return side(func(handle string) time.Duration {
			out := newFirst()
			a, err := x.Attach(ctx, handle, out, newFirst())
			if err != nil {
				b.Fatal(err)
			}
			begun := time.Now()
			if err := x.Start(ctx, handle); err != nil {
				b.Fatal(err)
			}
			_, _ = a.Write([]byte("hello"))
			<-out.came
			return time.Since(begun)
		})
	}
	inTurns(b, bare, ours, 115)
}
