// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// said is what a process has written so far.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// again is a launch of another container.
func again(l plan.Launch) plan.Launch {
	l.Key = newKey()
	return l
}

// attached creates a container that is to run a script, and attaches to it.
func (s *stage) attached(t testing.TB, script string, stdout, stderr io.Writer) (handle string, a dispatch.Attached) {
	t.Helper()
	handle, _, err := s.Create(t.Context(), s.launch(script))
	must(t, err)
	a, err = s.Attach(t.Context(), handle, stdout, stderr)
	must(t, err)
	return handle, a
}

// execute runs a launch to its end, which must be good, and returns its stdout.
func (s *stage) execute(t testing.TB, l plan.Launch) string {
	t.Helper()
	out, errs, code, err := s.try(t.Context(), l)
	must(t, err)
	if code != 0 || errs != "" {
		t.Fatalf("exit status %d, stderr %q", code, errs)
	}
	return out
}

// try runs a launch to its end.
func (s *stage) try(ctx context.Context, l plan.Launch) (stdout, stderr string, code int, err error) {
	handle, _, err := s.Create(ctx, l)
	if err != nil {
		return "", "", 0, err
	}
	defer func() { err = errors.Join(err, s.Executions.Remove(context.WithoutCancel(ctx), handle)) }()
	var out, errs said
	a, err := s.Attach(ctx, handle, &out, &errs)
	if err != nil {
		return "", "", 0, err
	}
	err = s.Start(ctx, handle)
	_ = a.CloseWrite() // a process may have ended before
	if err != nil {
		return "", "", 0, err
	}
	if code, err = s.Wait(ctx, handle); err == nil {
		err = a.Wait()
	}
	return out.String(), errs.String(), code, err
}

// TestExecutionEnvironment: what a process has in its environment is this and
// nothing else; an image can have much.
func TestExecutionEnvironment(t *testing.T) {
	s := newStage(t, nil)
	bundle := map[string]string{"/etc/ssl/certs/ca-certificates.crt": "none\n"}
	ca := []string{
		"CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt", "GIT_SSL_CAINFO=/etc/ssl/certs/ca-certificates.crt",
		"NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt", "REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
		"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
	}
	changes := []string{"ENV PATH=/image", "ENV OF_IMAGE=1", "ENV HOME=/image", "ENV TERM=vt100"}
	for _, tt := range []struct {
		name  string
		image podmantest.ImageOptions
		env   []plan.EnvVar // of the spec
		want  []string
	}{
		{
			"bundle",
			podmantest.ImageOptions{Busybox: true, Files: bundle, Changes: changes},
			[]plan.EnvVar{{Name: "HOME", Value: "/tmp"}, {Name: "PATH", Value: "/bin"}, {Name: "TWICE", Value: "spec"}},
			append([]string{"CLRK_METADATA_URL=http://10.0.0.1/v1", "HOME=/tmp", "PATH=/bin", "TWICE=spec"}, ca...),
		},
		{
			"no bundle",
			podmantest.ImageOptions{Busybox: true, Changes: changes},
			[]plan.EnvVar{{Name: "HOME", Value: "/tmp"}, {Name: "PATH", Value: "/bin"}, {Name: "EMPTY"}, {Name: "SSL_CERT_FILE", Value: "/mine"}},
			[]string{"CLRK_METADATA_URL=http://10.0.0.1/v1", "EMPTY=", "HOME=/tmp", "PATH=/bin", "SSL_CERT_FILE=/mine", "TWICE=launch"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := podmantest.Image(t, "environment-"+strings.ReplaceAll(tt.name, " ", "-"), tt.image)
			l := with(s.launch("cat /proc/self/environ"), func(l *plan.Launch, c *plan.ContainerSpec) {
				l.Env = []plan.EnvVar{{Name: "CLRK_METADATA_URL", Value: "http://10.0.0.1/v1"}, {Name: "TWICE", Value: "launch"}}
				c.Image, c.Env, c.Main.Command = image, tt.env, []string{"/bin/cat", "/proc/self/environ"}
			})
			got := strings.Split(strings.TrimSuffix(s.execute(t, l), "\x00"), "\x00")
			got = slices.DeleteFunc(got, func(v string) bool { return strings.HasPrefix(v, "HOSTNAME=") && len(v) == len("HOSTNAME=")+12 })
			slices.Sort(got)
			want := slices.Clone(tt.want)
			slices.Sort(want)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("beside HOSTNAME (-want +got):\n%s", d)
			}
		})
	}
}

// TestExecutionRules: the file system is read-only but for /tmp and volumes, there
// is one capability, and the user and the folder of the image count.
func TestExecutionRules(t *testing.T) {
	s := newStage(t, nil)
	volume := volumeOf(t, 10)
	image := podmantest.Image(t, "rules", podmantest.ImageOptions{
		Busybox: true, Files: map[string]string{"/work/file": "here\n"}, Changes: []string{"WORKDIR /work", "USER 1000:1000", `CMD ["never"]`},
	})
	script := `cat file
id -u
touch /work/new 2>/dev/null || echo read-only
touch /tmp/new && echo tmp
grep -e CapBnd -e NoNewPrivs /proc/self/status | tr -d '\t'
grep ' /tmp ' /proc/mounts | sed 's/.* tmpfs //'
head -c 3 /state/below/file 2>/dev/null | wc -c`
	l := with(s.launch(script), func(_ *plan.Launch, c *plan.ContainerSpec) {
		c.Image, c.Memory, c.NanoCPUs = image, 64<<20, 500e6
		c.Mounts = append(slices.Clone(c.Mounts), plan.Mount{Type: plan.MountVolume, Source: volume, Target: "/state"})
	})
	got := s.execute(t, l)
	for _, want := range []string{
		"here\n1000\nread-only\ntmp\nNoNewPrivs:1\n", "CapBnd:0000000000000400\n", "size=102400k",
	} {
		if !strings.Contains(strings.ReplaceAll(got, "CapBnd:0000000000000400\nNoNewPrivs:1", "NoNewPrivs:1\nCapBnd:0000000000000400"), want) {
			t.Errorf("it said\n%s\nwithout %q", got, want)
		}
	}
	handle, _, err := s.Create(t.Context(), again(l))
	must(t, err)
	c, err := containers.Inspect(podmantest.Conn(t), handle, nil)
	must(t, err)
	if c.HostConfig.PidsLimit != 512 || c.HostConfig.LogConfig.Type != "none" || c.HostConfig.RestartPolicy.Name != "no" {
		t.Errorf("pids %d, log %s, restart %q", c.HostConfig.PidsLimit, c.HostConfig.LogConfig.Type, c.HostConfig.RestartPolicy.Name)
	}
	if c.HostConfig.Memory != 64<<20 || c.HostConfig.CpuQuota != 50000 {
		t.Errorf("memory %d, quota %d", c.HostConfig.Memory, c.HostConfig.CpuQuota)
	}
	if _, err := os.Stat(c.HostConfig.LogConfig.Path); c.HostConfig.LogConfig.Path != "" && err == nil {
		t.Errorf("there is a log at %s", c.HostConfig.LogConfig.Path)
	}
	// Whoever plans sees whose it is, and leaves it alone.
	for _, o := range s.observe(t).Objects {
		if o.Handle == handle && (o.Session != "one" || o.Role != plan.RoleExecution || o.ID.Name != l.Agent.Name || o.State != plan.StateCreated) {
			t.Errorf("it is observed as %+v", o)
		}
	}
	must(t, s.Executions.Remove(t.Context(), handle))

	// A volume that is gone is not made by Podman.
	_, _, err = s.Create(t.Context(), with(l, func(_ *plan.Launch, c *plan.ContainerSpec) {
		c.Mounts = []plan.Mount{{Type: plan.MountVolume, Source: "no-such", Target: "/state"}}
	}))
	if err == nil || !strings.Contains(err.Error(), "the volume no-such is gone") {
		t.Errorf("a volume that is gone: %v", err)
	}
}

// TestExecutionImage: one that has gone from the host is pulled anew by the digest
// that the revision has, and a local one is named.
func TestExecutionImage(t *testing.T) {
	s := newStage(t, nil)
	conn := podmantest.Conn(t)
	ref, digest := podmantest.Registry(t).Push(t, "agent:1", podmantest.ImageOptions{Busybox: true})
	ref = strings.TrimSuffix(ref, "@"+digest)
	l := with(s.launch("echo here"), func(l *plan.Launch, c *plan.ContainerSpec) { c.Image, l.Image = ref, digest })
	for range 2 { // the second time, it is thought to be there
		if got := s.execute(t, again(l)); got != "here\n" {
			t.Errorf("it said %q", got)
		}
		found, err := images.GetImage(conn, ref, nil)
		must(t, err)
		if _, errs := images.Remove(conn, []string{found.ID}, new(images.RemoveOptions).WithForce(true)); len(errs) > 0 {
			t.Fatal(errs)
		}
	}
	if got := s.execute(t, again(l)); got != "here\n" {
		t.Errorf("it said %q", got)
	}

	local := podmantest.Image(t, "brief", podmantest.ImageOptions{Busybox: true, Changes: []string{"LABEL brief=1"}})
	found, err := images.GetImage(conn, local, nil)
	must(t, err)
	l = with(l, func(l *plan.Launch, c *plan.ContainerSpec) { c.Image, l.Image = local, "sha256:"+found.ID })
	s.execute(t, l)
	if _, errs := images.Remove(conn, []string{local}, new(images.RemoveOptions).WithForce(true)); len(errs) > 0 {
		t.Fatal(errs)
	}
	_, _, err = s.Create(t.Context(), l)
	if err == nil || err.Error() != "image "+local+" is not on this host any more; build it again" {
		t.Errorf("an image that is gone: %v", err)
	}
}

// TestExecutionCut: whenever a creation is cut off, nothing is left.
func TestExecutionCut(t *testing.T) {
	s := newStage(t, nil)
	s.execute(t, s.launch("true"))
	begun := time.Now()
	handle, _, err := s.Create(t.Context(), s.launch("true"))
	must(t, err)
	whole := time.Since(begun)
	must(t, s.Executions.Remove(t.Context(), handle))
	const cuts = 8
	for i := range cuts {
		ctx, cancel := context.WithTimeoutCause(t.Context(), whole*time.Duration(i+1)/cuts, fmt.Errorf("cut %d", i))
		handle, _, err := s.Create(ctx, s.launch("true"))
		if err == nil {
			must(t, s.Executions.Remove(t.Context(), handle))
		} else if !strings.Contains(err.Error(), fmt.Sprintf("cut %d", i)) {
			t.Errorf("cut %d: %v", i, err)
		}
		cancel()
	}
	if names, err := s.Sweep(t.Context(), "other"); len(names) > 0 || err != nil {
		t.Errorf("left %q, %v", names, err)
	}
}

// TestExecutionSweep: what is others' stays, whatever it looks like.
func TestExecutionSweep(t *testing.T) {
	s := newStage(t, nil)
	conn := podmantest.Conn(t)
	theirs := func(o podman.ExecutionOptions, rt *podman.Runtime) (handle string) {
		x := rt.Executions(o)
		handle, _, err := x.Create(t.Context(), s.launch("true"))
		must(t, err)
		t.Cleanup(func() {
			if _, err := x.Sweep(context.WithoutCancel(conn), ""); err != nil {
				t.Error(err)
			}
		})
		return handle
	}
	own := podman.ExecutionOptions{Workspace: s.d.Workspace, Root: s.d.Root}
	otherRoot, otherWorkspace := own, own
	otherRoot.Root, otherWorkspace.Workspace = "/elsewhere", s.d.Workspace+"-2"
	stay := []string{
		theirs(otherRoot, s.rt), theirs(otherWorkspace, s.rt),
		theirs(own, open(t, func(o *podman.Options) { o.Owner = "owner-2" })),
	}
	ours, _, err := s.Create(t.Context(), s.launch("true"))
	must(t, err)
	c, err := containers.Inspect(conn, ours, nil)
	must(t, err)
	committed, err := containers.Commit(conn, ours, new(containers.CommitOptions).WithRepo("localhost/committed"))
	must(t, err)
	stay = append(stay, foreign(t, "made-of-committed", committed.ID, nil))

	// What the storage alone knows is told by its name.
	half := leftover(t, c.Name[:len(c.Name)-1]+"x")
	_ = half
	must(t, s.Executions.Remove(t.Context(), ours))
	left := leftover(t, c.Name)
	names, err := s.Sweep(t.Context(), "other")
	must(t, err)
	if d := cmp.Diff([]string{c.Name}, names); d != "" {
		t.Errorf("swept (-want +got):\n%s", d)
	}
	for _, handle := range stay {
		there, err := containers.Exists(conn, handle, nil)
		must(t, err)
		if !there {
			t.Errorf("%s of others is gone", handle)
		}
	}
	list, err := containers.List(conn, new(containers.ListOptions).WithAll(true).WithExternal(true))
	must(t, err)
	var there []string
	for _, c := range list {
		if c.ID == left || c.ID == half {
			there = append(there, c.ID)
		}
	}
	if d := cmp.Diff([]string{half}, there); d != "" {
		t.Errorf("the storage has (-want +got):\n%s", d)
	}
	_, err = containers.Remove(conn, half, new(containers.RemoveOptions).WithForce(true))
	must(t, err)
}

// TestExecutionEndsWithRemoval: a process may end just when it is removed.
func TestExecutionEndsWithRemoval(t *testing.T) {
	s := newStage(t, nil)
	for range 10 {
		handle, a := s.attached(t, "cat", io.Discard, io.Discard)
		must(t, s.Start(t.Context(), handle))
		must(t, a.CloseWrite())
		must(t, s.Executions.Remove(t.Context(), handle))
	}
}

// TestExecutionUnreadInput: output is whole whatever becomes of the input.
func TestExecutionUnreadInput(t *testing.T) {
	s := newStage(t, nil)
	const size = 3 << 20
	for _, script := range []string{
		"head -c 3145728 /dev/zero; echo end >&2", "exec 0<&-; head -c 3145728 /dev/zero; echo end >&2",
	} {
		for range 3 {
			var out, errs said
			handle, a := s.attached(t, script, &out, &errs)
			must(t, s.Start(t.Context(), handle))
			wrote := make(chan error, 1)
			go func() {
				_, err := a.Write(make([]byte, 8<<20))
				wrote <- err
			}()
			code, err := s.Wait(t.Context(), handle)
			must(t, err)
			must(t, a.Wait())
			if <-wrote == nil {
				t.Error("somebody has read it")
			}
			if code != 0 || len(out.String()) != size || errs.String() != "end\n" {
				t.Errorf("%s: status %d, %d bytes, stderr %q", script, code, len(out.String()), errs.String())
			}
			must(t, s.Executions.Remove(t.Context(), handle))
		}
	}
}

// TestExecutionAtOnce: what a process writes as soon as it can is not lost, however
// busy the host is.
func TestExecutionAtOnce(t *testing.T) {
	s := newStage(t, nil)
	s.execute(t, s.launch("true"))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 6 {
				if out, errs, code, err := s.try(t.Context(), s.launch("echo out; echo err >&2; exit 3")); out != "out\n" || errs != "err\n" || code != 3 || err != nil {
					t.Errorf("stdout %q, stderr %q, exit status %d, %v", out, errs, code, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestExecutionGoroutines: nothing is left of what has run.
func TestExecutionGoroutines(t *testing.T) {
	s := newStage(t, nil)
	s.execute(t, s.launch("true"))
	before := runtime.NumGoroutine()
	for range 5 {
		s.execute(t, s.launch(dispatchtest.Cat))
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before+2; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
