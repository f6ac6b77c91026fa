// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"reconcile/reconcile/plan"
)

// testReplace: a new object comes to be beside the running old one, and takes
// its name and its ports once that is gone.
func testReplace(t *testing.T, b *bench) {
	net := b.network()
	b.made(t, net)
	edit := func(c *plan.ContainerSpec) {
		c.Network, c.Aliases = b.resource(net).Name, []string{"a"}
		c.Ports = []plan.Port{{HostIP: "127.0.0.1", Container: 8080, Protocol: "tcp"}}
	}
	id := b.container("a", edit)
	old := b.running(t, id)
	if len(old.Ports) != 1 || old.Ports[0].HostPort == 0 {
		t.Fatalf("ports %v, want one with a host port", old.Ports)
	}

	create := b.createStep(b.observe(t), id)
	create.Name, create.Digest, create.Ports = create.Name+"-next", create.Digest+"-2", old.Ports
	next := b.do(t, create)
	if got := b.seen(t, old.Handle); got.State != plan.StateRunning {
		t.Fatalf("old object is %s beside the new one, want running", got.State)
	}
	b.do(t, on(plan.OpStop, old))
	b.do(t, on(plan.OpDelete, old))
	activate := on(plan.OpActivate, next)
	activate.Name = old.Name
	b.do(t, activate)
	b.do(t, on(plan.OpStart, next))
	b.do(t, on(plan.OpWait, next))

	got := b.seen(t, next.Handle)
	if got.State != plan.StateRunning || got.Name != old.Name || got.Digest != create.Digest || len(got.Drift) != 0 {
		t.Errorf("new object: state %s, name %s, digest %s, drift %v", got.State, got.Name, got.Digest, got.Drift)
	}
	if len(got.Ports) != 1 || got.Ports[0] != old.Ports[0] {
		t.Errorf("ports %v, want %v again", got.Ports, old.Ports)
	}
}

// testPorts: a port is as written, one that is not written is chosen at create,
// and it stays the same over stop and start.
func testPorts(t *testing.T, b *bench) {
	id := b.container("a", func(c *plan.ContainerSpec) {
		c.Ports = []plan.Port{
			{HostIP: "127.0.0.1", Container: 53, Protocol: "udp"},
			{HostIP: "127.0.0.1", Container: 8080, Protocol: "tcp"},
		}
	})
	obj := b.made(t, id)
	chosen := map[string]uint16{}
	for _, p := range obj.Ports {
		chosen[fmt.Sprintf("%s:%d/%s", p.HostIP, p.Container, p.Protocol)] = p.HostPort
	}
	if len(obj.Ports) != 2 || chosen["127.0.0.1:53/udp"] == 0 || chosen["127.0.0.1:8080/tcp"] == 0 {
		t.Fatalf("ports after create: %v, want both with a host port", obj.Ports)
	}
	for _, op := range []plan.Op{plan.OpStart, plan.OpStop, plan.OpStart} {
		b.do(t, on(op, obj))
		got := b.seen(t, obj.Handle)
		if len(got.Ports) != len(obj.Ports) {
			t.Fatalf("ports after %s: %v, want %v", op, got.Ports, obj.Ports)
		}
		for _, p := range got.Ports {
			if want := chosen[fmt.Sprintf("%s:%d/%s", p.HostIP, p.Container, p.Protocol)]; p.HostPort != want {
				t.Errorf("port after %s: %v, want host port %d", op, p, want)
			}
		}
	}
}

// testWait: a wait ends when the object is as far, fails when it never will be
// and stops when its context ends.
func testWait(t *testing.T, b *bench) {
	obj := b.running(t, b.container("a", nil))
	ready := on(plan.OpWait, obj)
	ready.Until = plan.UntilReady
	b.do(t, ready)

	finished := on(plan.OpWait, obj)
	finished.Until = plan.UntilFinished
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := b.Runtime.Do(ctx, finished, b.d); err == nil {
		t.Error("wait for the end of a running container: no error when its context ended")
	}
	if got := b.seen(t, obj.Handle); got.State != plan.StateRunning {
		t.Errorf("after a wait that was cut: state %s, want running", got.State)
	}

	b.do(t, on(plan.OpStop, obj))
	b.refuse(t, ready, obj.Name)
}

// testNetwork: networks are made and deleted by their handles, again and again.
func testNetwork(t *testing.T, b *bench) {
	id := b.network()
	create := b.createStep(b.observe(t), id)
	obj := b.do(t, create)
	if again := b.do(t, create); again.Handle != obj.Handle {
		t.Errorf("second create made %s beside %s", again.Handle, obj.Handle)
	}
	user := b.running(t, b.container("a", func(c *plan.ContainerSpec) { c.Network = obj.Name }))
	if len(user.Drift) != 0 {
		t.Errorf("drift %v, want none", user.Drift)
	}
	b.refuse(t, on(plan.OpDelete, obj), obj.Name)
	if got := b.seen(t, user.Handle); got.State != plan.StateRunning || len(got.Drift) != 0 {
		t.Errorf("user of a network that was to be deleted: state %s, drift %v", got.State, got.Drift)
	}

	b.do(t, on(plan.OpStop, user))
	b.do(t, on(plan.OpDelete, user))
	b.do(t, on(plan.OpDelete, obj))
	b.do(t, on(plan.OpDelete, obj))
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("objects %v, want none", left)
	}
}

// testDetached: a container off its network has drifted, and says so.
func testDetached(t *testing.T, b *bench) {
	net := b.made(t, b.network())
	obj := b.running(t, b.container("a", func(c *plan.ContainerSpec) { c.Network = net.Name }))
	b.Detach(t, obj.Handle, net.Name)
	got := b.seen(t, obj.Handle)
	if len(got.Drift) != 1 || got.Drift[0].Code != plan.CodeDetached || got.Drift[0].Text == "" {
		t.Errorf("drift %v, want one reason %s", got.Drift, plan.CodeDetached)
	}
}

// testVolume: volumes are made and deleted by their handles.
func testVolume(t *testing.T, b *bench) {
	vol := b.volume("data")
	create := b.createStep(b.observe(t), vol)
	obj := b.do(t, create)
	if again := b.do(t, create); again.Handle != obj.Handle {
		t.Errorf("second create made %s beside %s", again.Handle, obj.Handle)
	}
	user := b.running(t, b.container("a", func(c *plan.ContainerSpec) {
		c.Mounts = []plan.Mount{{Type: plan.MountVolume, Source: obj.Name, Target: "/data"}}
	}))
	b.refuse(t, on(plan.OpDelete, obj), obj.Name)
	b.do(t, on(plan.OpStop, user))
	b.do(t, on(plan.OpDelete, user))
	if got := b.seen(t, obj.Handle); got.State != plan.StateExists {
		t.Errorf("volume after its user is gone: state %s, want exists", got.State)
	}
	b.do(t, on(plan.OpDelete, obj))
	b.do(t, on(plan.OpDelete, obj))
}

// testMount: prepare makes host folders that are missing and leaves those that
// are there alone.
func testMount(t *testing.T, b *bench) {
	if !b.Runtime.Capabilities().HostPaths {
		t.Log("the runtime does not see folders of this host")
		return
	}
	missing, present := filepath.Join(b.Dir, "new", "work"), filepath.Join(b.Dir, "old")
	if err := os.Mkdir(present, 0o755); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(present, "kept")
	if err := os.WriteFile(kept, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.running(t, b.container("a", func(c *plan.ContainerSpec) {
		c.Mounts = []plan.Mount{
			{Type: plan.MountDir, Source: missing, Target: "/mnt/new"},
			{Type: plan.MountDir, Source: present, Target: "/mnt/old", ReadOnly: true},
		}
	}))
	if info, err := os.Stat(missing); err != nil || !info.IsDir() {
		t.Errorf("stat %s: %v, want a folder", missing, err)
	}
	if got, err := os.ReadFile(kept); err != nil || string(got) != "x" {
		t.Errorf("read %s: %q, %v; want what was there", kept, got, err)
	}
}

// testMissingImage: an image that is nowhere is a fact, and cannot be prepared.
func testMissingImage(t *testing.T, b *bench) {
	const ref = "localhost/no-such-image:never"
	id := b.container("a", func(c *plan.ContainerSpec) { c.Image = ref })
	fact := b.observe(t).Inputs[plan.Input{Kind: plan.InputImage, Name: ref}]
	if fact.State != plan.FactMissing || fact.Detail == "" || fact.Local {
		t.Errorf("fact %+v, want missing with a detail", fact)
	}
	b.refuse(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id}, ref)
}

// testMissingSecret: a secret that is nowhere is a fact.
func testMissingSecret(t *testing.T, b *bench) {
	const ref = "secret:no-such-secret-anywhere"
	b.container("a", func(c *plan.ContainerSpec) { c.Env = []plan.EnvVar{{Name: "KEY", Secret: ref}} })
	fact := b.observe(t).Inputs[plan.Input{Kind: plan.InputSecret, Name: ref}]
	if fact.State != plan.FactMissing || fact.Detail == "" {
		t.Errorf("fact %+v, want missing with a detail", fact)
	}
}

// testMovedInput: a create does not bind another image than was planned with.
func testMovedInput(t *testing.T, b *bench) {
	id := b.container("a", nil)
	b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id})
	create := b.createStep(b.observe(t), id)
	create.Bound[plan.Input{Kind: plan.InputImage, Name: b.Image}.String()] = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	b.refuse(t, create, "")
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("objects %v, want none", left)
	}
}

// testConcurrency: steps of different resources may run at once.
func testConcurrency(t *testing.T, b *bench) {
	net := b.made(t, b.network())
	var ids []plan.ID
	for i := range 6 {
		ids = append(ids, b.container(fmt.Sprintf("a%d", i), func(c *plan.ContainerSpec) {
			c.Network = net.Name
			c.Ports = []plan.Port{{HostIP: "127.0.0.1", Container: 8080, Protocol: "tcp"}}
		}))
	}
	o := b.observe(t)
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			if _, err := b.Runtime.Do(b.ctx, plan.Step{ID: "prepare:" + id.String(), Op: plan.OpPrepare, Target: id}, b.d); err != nil {
				errs[i] = err
				return
			}
			obj, err := b.Runtime.Do(b.ctx, b.createStep(o, id), b.d)
			if err == nil {
				_, err = b.Runtime.Do(b.ctx, on(plan.OpStart, obj), b.d)
			}
			errs[i] = err
		})
	}
	for range 3 {
		if _, err := b.Runtime.Observe(b.ctx, b.d); err != nil {
			t.Errorf("observe meanwhile: %v", err)
		}
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	seen, hostPorts := 0, map[uint16]bool{}
	for _, obj := range b.observe(t).Objects {
		if obj.State != plan.StateRunning {
			continue
		}
		seen++
		for _, p := range obj.Ports {
			hostPorts[p.HostPort] = true
		}
	}
	if seen != len(ids) || len(hostPorts) != len(ids) {
		t.Errorf("%d running with %d host ports, want %d of each", seen, len(hostPorts), len(ids))
	}
}

// testCancelled: nothing is begun after the context ended.
func testCancelled(t *testing.T, b *bench) {
	id := b.container("a", nil)
	create := b.createStep(b.observe(t), id)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.Runtime.Do(ctx, create, b.d); err == nil {
		t.Error("create with a cancelled context: no error")
	}
	if _, err := b.Runtime.Observe(ctx, b.d); err == nil {
		t.Error("observe with a cancelled context: no error")
	}
	if left := b.observe(t).Objects; len(left) != 0 {
		t.Errorf("objects %v, want none", left)
	}
}
