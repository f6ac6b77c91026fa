// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/google/go-cmp/cmp"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// TestProcess: Command replaces ENTRYPOINT, Args replaces CMD, and CMD counts
// only where the spec says so.
func TestProcess(t *testing.T) {
	both := podmantest.Image(t, "both", podmantest.ImageOptions{Changes: []string{`ENTRYPOINT ["/bin/tool","args"]`, `CMD ["cmd"]`}})
	onlyCmd := podmantest.Image(t, "only-cmd", podmantest.ImageOptions{Changes: []string{`CMD ["/bin/tool","args","from-cmd"]`}})
	for _, tt := range []struct {
		name, image string
		main        plan.Process
		want        string // "" = it cannot be prepared
	}{
		{"the image's own", both, plan.Process{ImageCmd: true}, `["cmd"]`},
		{"entrypoint alone", both, plan.Process{}, `[]`},
		{"args", both, plan.Process{Args: []string{"a", "b c"}, ImageCmd: true}, `["a","b c"]`},
		{"command", both, plan.Process{Command: []string{"/bin/tool", "args", "x"}}, `["x"]`},
		{"command and args", both, plan.Process{Command: []string{"/bin/tool", "args"}, Args: []string{"y"}}, `["y"]`},
		{"command drops cmd", both, plan.Process{Command: []string{"/bin/tool", "args"}, ImageCmd: true}, `[]`},
		{"cmd of an image without entrypoint", onlyCmd, plan.Process{ImageCmd: true}, `["from-cmd"]`},
		{"args of an image without entrypoint", onlyCmd, plan.Process{Args: []string{"/bin/tool", "args", "z"}}, `["z"]`},
		{"nothing to run", onlyCmd, plan.Process{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, nil)
			id := b.want("a", plan.ContainerSpec{Image: tt.image, Main: tt.main})
			if tt.want == "" {
				b.refuse(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id, Bound: b.step(t, id).Bound}, "NoEntrypoint")
				return
			}
			if got := strings.TrimSpace(b.run(t, id)); got != tt.want {
				t.Errorf("args %s, want %s", got, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	image := podmantest.Image(t, "env", podmantest.ImageOptions{Changes: []string{"ENV PATH=/bin", "ENV FROM_IMAGE=i", "ENV BOTH=i"}})
	env := []plan.EnvVar{{Name: "BOTH", Value: "spec"}, {Name: "EMPTY"}, {Name: "MULTI", Value: "a\nb=c \"d\" $E"}}
	print := tool("env", "FROM_IMAGE", "BOTH", "EMPTY", "MULTI", "PATH", "http_proxy", "SSL_CERT_FILE")
	t.Setenv("http_proxy", "http://user:pw@proxy.invalid:1") // the operator's
	for _, tt := range []struct {
		name string
		edit func(*plan.ContainerSpec)
		want string
	}{
		{"image's and spec's", func(*plan.ContainerSpec) {}, "BOTH=spec\nEMPTY=\nFROM_IMAGE=i\nMULTI=a\nb=c \"d\" $E\nPATH=/bin\n"},
		{
			"without the image's", func(c *plan.ContainerSpec) { c.NoImageEnv = true },
			"BOTH=spec\nEMPTY=\nMULTI=a\nb=c \"d\" $E\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
		},
		{"no bundle in the image", func(c *plan.ContainerSpec) { c.Env, c.CABundle = nil, true }, "BOTH=i\nFROM_IMAGE=i\nPATH=/bin\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, nil)
			spec := plan.ContainerSpec{Image: image, Main: print, Env: env}
			tt.edit(&spec)
			if got := b.run(t, b.want("a", spec)); got != tt.want {
				t.Errorf("environment %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCABundle: the variables are set where the image has the bundle, the
// spec's own win, and looking leaves nothing behind.
func TestCABundle(t *testing.T) {
	image := podmantest.Image(t, "ca", podmantest.ImageOptions{Files: map[string]string{"/etc/ssl/certs/ca-certificates.crt": "x"}})
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{
		Image: image, CABundle: true, Main: tool("env", "SSL_CERT_FILE", "CURL_CA_BUNDLE"),
		Env: []plan.EnvVar{{Name: "CURL_CA_BUNDLE", Value: "/mine"}},
	})
	if got, want := b.run(t, id), "CURL_CA_BUNDLE=/mine\nSSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\n"; got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
	list, err := containers.List(podmantest.Conn(t), new(containers.ListOptions).WithAll(true))
	must(t, err)
	for _, c := range list {
		if strings.HasPrefix(c.Names[0], "reconcile-probe-") {
			t.Errorf("%s was left behind", c.Names[0])
		}
	}
}

// TestPorts: a port that nobody chose is chosen once and can be taken again.
func TestPorts(t *testing.T) {
	b := newBed(t, nil)
	b.create(t, b.wantNetwork())
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	fixed := uint16(free.Addr().(*net.TCPAddr).Port)
	must(t, free.Close())
	id := b.want("a", plan.ContainerSpec{
		Image: toolImage(t), Main: tool("http", ":7000"), Network: b.d.Workspace, Aliases: []string{"a"},
		Ports: []plan.Port{
			{HostIP: "127.0.0.1", Container: 7000, Protocol: "tcp"},
			{HostIP: "127.0.0.1", HostPort: fixed, Container: 7000, Protocol: "tcp"},
			{HostIP: "127.0.0.1", Container: 53, Protocol: "udp"},
		},
	})
	obj := b.start(t, id)
	if len(obj.Ports) != 3 || obj.Ports[0].Protocol != "udp" || obj.Ports[0].HostPort == 0 {
		t.Fatalf("ports %v, want three with host ports, sorted", obj.Ports)
	}
	if diff := cmp.Diff(obj.Ports, b.object(t, id).Ports); diff != "" {
		t.Errorf("ports of create and observe differ:\n%s", diff)
	}
	for _, p := range obj.Ports[1:] {
		answers(t, fmt.Sprintf("http://127.0.0.1:%d/x", p.HostPort))
	}

	b.do(t, on(plan.OpDelete, obj))
	step := b.step(t, id)
	step.Ports = obj.Ports
	again := b.do(t, step)
	b.do(t, on(plan.OpStart, again))
	if diff := cmp.Diff(obj.Ports, b.object(t, id).Ports); diff != "" {
		t.Errorf("ports of the replacement (-want +got):\n%s", diff)
	}

	taken := b.want("b", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause"), Network: b.d.Workspace, Ports: obj.Ports[1:2]})
	second := b.create(t, taken)
	b.refuse(t, on(plan.OpStart, second), "a port is taken")
}

// answers asks until the server in the container is up.
func answers(t *testing.T, url string) {
	t.Helper()
	for {
		r, err := http.Get(url)
		if err == nil {
			must(t, r.Body.Close())
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestDNS: instances reach each other by alias.
func TestDNS(t *testing.T) {
	b := newBed(t, nil)
	b.create(t, b.wantNetwork())
	b.start(t, b.want("server", plan.ContainerSpec{
		Image: toolImage(t), Main: tool("http", ":80"), Network: b.d.Workspace, Aliases: []string{"web"},
		Env: []plan.EnvVar{{Name: "NAME", Value: "n1"}},
	}))
	got := b.run(t, b.want("client", plan.ContainerSpec{Image: toolImage(t), Main: tool("get", "http://web/p"), Network: b.d.Workspace}))
	if !strings.Contains(got, "/p n1") {
		t.Errorf("answer %q", got)
	}
}

func TestLimitsAndSecurity(t *testing.T) {
	b := newBed(t, nil)
	obj := b.start(t, b.want("a", plan.ContainerSpec{
		Image: toolImage(t), Main: tool("pause"), ReadOnlyRoot: true, CapDrop: []string{"all"}, CapAdd: []string{"NET_BIND_SERVICE"},
		NoNewPrivileges: true, PidsLimit: 64, Memory: 64 << 20, NanoCPUs: 500e6, StopTimeout: 3,
		Mounts: []plan.Mount{{Type: plan.MountTmpfs, Target: "/tmp", SizeBytes: 1 << 20}},
		Labels: map[string]string{"team": "x", "reconcile.owner": "somebody"},
	}))
	c, err := containers.Inspect(podmantest.Conn(t), obj.Handle, nil)
	must(t, err)
	type limits struct {
		ReadOnly       bool
		Pids           int64
		Memory, Quota  int64
		StopTimeout    uint
		Restart, Team  string
		Owner, Network string
		Caps           []string
	}
	got := limits{
		c.HostConfig.ReadonlyRootfs, c.HostConfig.PidsLimit, c.HostConfig.Memory, c.HostConfig.CpuQuota, c.Config.StopTimeout,
		c.HostConfig.RestartPolicy.Name, c.Config.Labels["team"], c.Config.Labels["reconcile.owner"], c.HostConfig.NetworkMode, c.EffectiveCaps,
	}
	want := limits{true, 64, 64 << 20, 50000, 3, "no", "x", "owner-1", "none", []string{"CAP_NET_BIND_SERVICE"}}
	if got.Restart == "" {
		got.Restart = "no"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	out := b.run(t, b.want("writer", plan.ContainerSpec{
		Image: toolImage(t), Main: tool("seq", "write", "/tmp/f", "tmp", "--", "cat", "/tmp/f"), ReadOnlyRoot: true,
		Mounts: []plan.Mount{{Type: plan.MountTmpfs, Target: "/tmp", SizeBytes: 1 << 20}},
	}))
	if out != "tmp" {
		t.Errorf("output %q", out)
	}
	for _, dir := range []string{"/bin/f", "/run/f", "/var/tmp/f"} {
		id := b.want("ro", plan.ContainerSpec{Image: toolImage(t), Main: tool("write", dir, "x"), ReadOnlyRoot: true})
		obj := b.start(t, id)
		wait := on(plan.OpWait, obj)
		wait.Until = plan.UntilFinished
		b.refuse(t, wait, "exited with code 1")
		b.do(t, on(plan.OpDelete, obj))
	}
}

// TestStop: SIGTERM first, SIGKILL after the timeout.
func TestStop(t *testing.T) {
	b := newBed(t, nil)
	polite := b.start(t, b.want("polite", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause")}))
	deaf := b.start(t, b.want("deaf", plan.ContainerSpec{Image: toolImage(t), Main: tool("ignoreterm"), StopTimeout: 1}))
	for b.logs(t, deaf.Handle) == "" { // it does not ignore signals yet
		time.Sleep(5 * time.Millisecond)
	}
	b.do(t, on(plan.OpStop, polite))
	b.do(t, on(plan.OpStop, deaf))
	if got := b.object(t, polite.ID); got.State != plan.StateExited || got.ExitCode != 0 {
		t.Errorf("polite: %s, code %d; want exited with 0", got.State, got.ExitCode)
	}
	if got := b.object(t, deaf.ID); got.State != plan.StateExited || got.ExitCode != 137 {
		t.Errorf("deaf: %s, code %d; want exited with 137", got.State, got.ExitCode)
	}
}

// TestExitedEarly: a container that ends instead of being ready says why.
func TestExitedEarly(t *testing.T) {
	b := newBed(t, nil)
	obj := b.start(t, b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("seq", "echo", "no config", "--", "exit", "3")}))
	finished := on(plan.OpWait, obj)
	finished.Until = plan.UntilFinished
	b.refuse(t, finished, "exited with code 3", "it said last:\n  no config")
	b.refuse(t, on(plan.OpWait, obj), "exited with code 3")
}
