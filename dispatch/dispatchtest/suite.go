// SPDX-License-Identifier: Apache-2.0

package dispatchtest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// Target is a runtime that is held to the contract.
type Target struct {
	// Runtime is made once; what is left of it is the target's to clean up.
	Runtime dispatch.Runtime
	// Launch returns what a container is made of that runs a script, one of this
	// package: agent, name, spec and image. The spec has a network, and no variables.
	Launch func(t *testing.T, script string) plan.Launch
	// Missing is a Launch of an image that cannot be had.
	Missing func(t *testing.T) plan.Launch
	// Exists reports whether there is a container.
	Exists func(t *testing.T, handle string) bool
	// Volume returns the name of a volume that holds so many bytes at least.
	Volume func(t *testing.T, bytes int64) string
}

// Run holds a runtime to its contract.
func Run(t *testing.T, target Target) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"Streams", streams},
		{"NoStdin", noStdin},
		{"ClosedStdout", closedStdout},
		{"Unread", unread},
		{"ExitStatus", exitStatus},
		{"Signals", signals},
		{"Remove", remove},
		{"CloseAttached", closeAttached},
		{"Unheard", unheard},
		{"Environment", environment},
		{"Listen", listen},
		{"Sweep", sweep},
		{"CreateFails", createFails},
		{"Used", used},
		{"Parallel", parallel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBench(t, target)) })
	}
}

// Listen holds a runtime to the part of its contract that is about networks.
func Listen(t *testing.T, target Target) { listen(t, newBench(t, target)) }

// What is written before anything is read, on both streams and of any size, comes
// as it was.
func streams(t *testing.T, b *bench) {
	p := b.create(Flood, nil).start()
	input := pattern(5 << 20)
	p.feed(input)
	p.ends(0)
	if got := p.stdout.String(); got != string(input) {
		t.Errorf("stdout has %d bytes that are not the %d of stdin", len(got), len(input))
	}
	if got := p.stderr.String(); got != strings.Repeat("\x00", flood) {
		t.Errorf("stderr has %d bytes, want %d zeros", len(got), flood)
	}
	p = b.create(Both, nil).start()
	p.feed(nil)
	p.ends(0)
	if p.stdout.String() != "out\n" || p.stderr.String() != "err\n" {
		t.Errorf("got %q and %q", p.stdout.String(), p.stderr.String())
	}
}

// A process that is given no stdin reads its end at once.
func noStdin(t *testing.T, b *bench) {
	p := b.create(Cat, func(l *plan.Launch) { l.Stdin = false }).start()
	p.ends(0)
	if got := p.stdout.String(); got != "" {
		t.Errorf("it wrote %q", got)
	}
}

// A process may close stdout long before it ends.
func closedStdout(t *testing.T, b *bench) {
	p := b.create(Shut, nil).start()
	p.says("out\n")
	p.feed(pattern(1 << 20))
	p.ends(4)
	if got := p.stdout.String(); got != "out\n" {
		t.Errorf("it wrote %q", got)
	}
}

// What a process does not read keeps nobody waiting once it has ended.
func unread(t *testing.T, b *bench) {
	p := b.create(Exit, nil)
	wrote := make(chan struct{})
	p.start()
	go func() {
		defer close(wrote)
		for _, err := p.attached.Write(pattern(1 << 20)); err == nil; {
			_, err = p.attached.Write(pattern(1 << 20))
		}
	}()
	p.ends(3)
	_ = p.attached.Close()
	select {
	case <-wrote:
	case <-p.context().Done():
		t.Error("a write to stdin waits for a process that has ended")
	}
}

func exitStatus(t *testing.T, b *bench) {
	p := b.create(Exit, nil).start()
	p.feed(nil)
	p.ends(3)
	code, err := b.Runtime.Wait(b.context(), p.handle)
	if code != 3 || err != nil {
		t.Errorf("asked again, it ended with %d, %v", code, err)
	}
}

func signals(t *testing.T, b *bench) {
	polite := b.create(Polite, nil).start()
	polite.says("ready")
	if err := b.Runtime.Signal(b.context(), polite.handle, dispatch.Terminate); err != nil {
		t.Errorf("terminate: %v", err)
	}
	polite.ends(7)
	if got := polite.stdout.String(); got != "ready\nbye\n" {
		t.Errorf("it wrote %q", got)
	}
	for _, s := range []string{dispatch.Terminate, dispatch.Kill} {
		if err := b.Runtime.Signal(b.context(), polite.handle, s); err != nil {
			t.Errorf("%s after the end: %v", s, err)
		}
	}
	deaf := b.create(Deaf, nil).start()
	deaf.says("ready")
	for _, s := range []string{dispatch.Terminate, dispatch.Kill} {
		if err := b.Runtime.Signal(b.context(), deaf.handle, s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	deaf.ends(128 + 9)
}

func remove(t *testing.T, b *bench) {
	for _, state := range []string{"created", "running", "ended"} {
		p := b.create(Deaf, nil)
		if state != "created" {
			p.start()
			p.says("ready")
		}
		if state == "ended" {
			if err := b.Runtime.Signal(b.context(), p.handle, dispatch.Kill); err != nil {
				t.Fatal(err)
			}
			p.ends(137)
		}
		if !b.Exists(t, p.handle) {
			t.Fatalf("%s: it does not exist", state)
		}
		waited := make(chan error, 1)
		if state == "running" {
			go func() {
				_, err := b.Runtime.Wait(b.context(), p.handle)
				waited <- err
			}()
		}
		b.remove(p.handle)
		if b.Exists(t, p.handle) {
			t.Errorf("%s: it is still there", state)
		}
		_ = p.drained()
		if state == "running" {
			// The exit status may be known before the removal is.
			if err := <-waited; err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: waiting ends with %v", state, err)
			}
		}
		b.remove(p.handle) // it is no error twice
		if _, err := b.Runtime.Wait(b.context(), p.handle); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: waiting for what is gone: %v", state, err)
		}
	}
}

// A connection that is closed keeps nobody waiting, and the process goes on.
func closeAttached(t *testing.T, b *bench) {
	p := b.create(Polite, nil).start()
	p.says("ready")
	for range 2 {
		_ = p.attached.Close()
	}
	_ = p.drained()
	if err := b.Runtime.Signal(b.context(), p.handle, dispatch.Terminate); err != nil {
		t.Error(err)
	}
	if code, err := b.Runtime.Wait(b.context(), p.handle); err != nil || code != 7 {
		t.Errorf("it ended with %d, %v", code, err)
	}
}

// A process that nobody would hear is not started, nor one that is gone.
func unheard(t *testing.T, b *bench) {
	p := b.create(Deaf, nil)
	_ = p.attached.Close()
	if err := b.Runtime.Start(b.context(), p.handle); !errors.Is(err, net.ErrClosed) {
		t.Errorf("with what is attached closed, its start ends with %v", err)
	}
	b.remove(p.handle)
	if err := b.Runtime.Start(b.context(), p.handle); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("once it is gone, its start ends with %v", err)
	}
}

// The variables of the spec win.
func environment(t *testing.T, b *bench) {
	p := b.create(Vars, func(l *plan.Launch) {
		l.Env = []plan.EnvVar{{Name: "ONE", Value: "1"}, {Name: "TWO", Value: "2"}}
		spec := *l.Spec
		spec.Env = append(slices.Clone(spec.Env), plan.EnvVar{Name: "TWO", Value: "two = \"2\""})
		l.Spec = &spec
	}).start()
	p.feed(nil)
	p.ends(0)
	if got, want := p.stdout.String(), "1,two = \"2\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Containers reach the host at the addresses that are told, before the first of
// them and after the last, and are known by their own.
func listen(t *testing.T, b *bench) {
	network := b.Launch(t, Fetch).Spec.Network
	listeners, at, err := b.Runtime.Listen(b.context(), network)
	if err != nil {
		t.Fatal(err)
	}
	from := make(chan netip.Addr, 1)
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if a, err := netip.ParseAddrPort(req.RemoteAddr); err == nil {
			from <- a.Addr().Unmap().WithZone("")
		}
		_, _ = io.WriteString(w, "hello "+req.URL.Path)
	})}
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() { _ = server.Serve(l) })
	}
	defer func() {
		_ = server.Close()
		serving.Wait()
	}()
	if len(at) == 0 {
		t.Fatal("there is no address")
	}
	for _, host := range at {
		for range 2 {
			p := b.create(Fetch, func(l *plan.Launch) {
				l.Env = []plan.EnvVar{{Name: "URL", Value: "http://" + host.String() + "/there"}}
			}).start()
			p.feed(nil)
			p.ends(0)
			if got := p.stdout.String(); got != "hello /there" {
				t.Errorf("%s: got %q, stderr %q", host, got, p.stderr.String())
				continue
			}
			if a := <-from; !slices.Contains(p.addresses, a) {
				t.Errorf("%s: it came from %v, which is none of %v", host, a, p.addresses)
			}
			b.remove(p.handle)
		}
	}
}

// What other sessions have left goes, whatever it does; what is this one's stays.
func sweep(t *testing.T, b *bench) {
	slot := func(l *plan.Launch) { l.Role, l.Execution = plan.RoleSlot, "" }
	created, running := b.create(Deaf, slot), b.create(Deaf, nil).start()
	running.says("ready")
	old := b.session
	b.session += "2"
	ours := b.create(Deaf, slot)
	names, err := b.Runtime.Sweep(b.context(), b.session)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 2 || slices.Contains(names, "") {
		t.Errorf("removed %q, of the two of session %s", names, old)
	}
	if b.Exists(t, created.handle) || b.Exists(t, running.handle) || !b.Exists(t, ours.handle) {
		t.Errorf("there are %v %v, and ours %v", b.Exists(t, created.handle), b.Exists(t, running.handle), b.Exists(t, ours.handle))
	}
	if names, err := b.Runtime.Sweep(b.context(), b.session); len(names) > 0 || err != nil {
		t.Errorf("swept again: %q, %v", names, err)
	}
}

func createFails(t *testing.T, b *bench) {
	if handle, _, err := b.Runtime.Create(b.context(), b.complete(b.Missing(t), nil)); err == nil {
		b.remove(handle)
		t.Error("a container was made of an image that is not there")
	} else if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is not one line: %q", err)
	}
	ctx, cancel := context.WithCancel(b.context())
	cancel()
	if handle, _, err := b.Runtime.Create(ctx, b.launch(Cat, nil)); err == nil {
		b.remove(handle)
		t.Error("a container was made for nobody")
	}
	if names, err := b.Runtime.Sweep(b.context(), b.session+"2"); len(names) > 0 || err != nil {
		t.Errorf("left %q, %v", names, err)
	}
}

func used(t *testing.T, b *bench) {
	if n, err := b.Runtime.Used(b.context(), "no-such-volume-"+b.session); n != 0 || err != nil {
		t.Errorf("a volume that is not there holds %d, %v", n, err)
	}
	const size = 3 << 20
	if n, err := b.Runtime.Used(b.context(), b.Volume(t, size)); n < size || n > 2*size || err != nil {
		t.Errorf("a volume with %d bytes holds %d, %v", size, n, err)
	}
}

// Nothing of one container comes to another.
func parallel(t *testing.T, b *bench) {
	var wg sync.WaitGroup
	seen := make(chan netip.Addr, 4)
	for i := range cap(seen) {
		p := b.create(Cat, nil)
		wg.Go(func() {
			p.start()
			input := pattern(300<<10 + i)
			p.feed(input)
			p.ends(0)
			if p.stdout.String() != string(input) {
				t.Errorf("container %d: %d bytes that are not its own", i, len(p.stdout.String()))
			}
			if len(p.addresses) > 0 {
				seen <- p.addresses[0]
			}
		})
	}
	wg.Wait()
	close(seen)
	var all []netip.Addr
	for a := range seen {
		if slices.Contains(all, a) {
			t.Errorf("two containers have the address %v", a)
		}
		all = append(all, a)
	}
}
