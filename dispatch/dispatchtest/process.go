// SPDX-License-Identifier: Apache-2.0

package dispatchtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// bench is a target in a test.
type bench struct {
	Target
	t       *testing.T
	session string
}

func newBench(t *testing.T, target Target) *bench {
	return &bench{target, t, strings.ToLower(rand.Text())[:12]}
}

func (b *bench) context() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

// launch fills in a Launch.
func (b *bench) launch(script string, change func(*plan.Launch)) plan.Launch {
	l := b.Launch(b.t, script)
	return b.complete(l, change)
}

func (b *bench) complete(l plan.Launch, change func(*plan.Launch)) plan.Launch {
	var key [8]byte
	_, _ = rand.Read(key[:])
	l.Role, l.Session, l.Key, l.Execution, l.Revision = plan.RoleExecution, b.session, fmt.Sprintf("%x", key), "suite/"+b.t.Name(), l.Agent.Name+"-00001"
	l.Stdin = true
	if change != nil {
		change(&l)
	}
	return l
}

// process is a container in a test.
type process struct {
	*bench
	handle         string
	addresses      []netip.Addr
	attached       dispatch.Attached
	stdout, stderr buffer
}

// create makes a container, attached and not started.
func (b *bench) create(script string, change func(*plan.Launch)) *process {
	b.t.Helper()
	handle, addresses, err := b.Runtime.Create(b.context(), b.launch(script, change))
	if err != nil {
		b.t.Fatalf("create: %v", err)
	}
	p := &process{bench: b, handle: handle, addresses: addresses}
	b.t.Cleanup(func() { b.remove(handle) })
	if p.attached, err = b.Runtime.Attach(b.context(), handle, &p.stdout, &p.stderr); err != nil {
		b.t.Fatalf("attach: %v", err)
	}
	b.t.Cleanup(func() { _ = p.attached.Close() })
	return p
}

func (b *bench) remove(handle string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Runtime.Remove(ctx, handle); err != nil {
		b.t.Errorf("remove: %v", err)
	}
}

func (p *process) start() *process {
	p.t.Helper()
	if err := p.Runtime.Start(p.context(), p.handle); err != nil {
		p.t.Fatalf("start: %v", err)
	}
	return p
}

// feed writes to stdin and ends it.
func (p *process) feed(input []byte) {
	if len(input) > 0 {
		if _, err := p.attached.Write(input); err != nil {
			p.t.Errorf("write to stdin: %v", err)
		}
	}
	if err := p.attached.CloseWrite(); err != nil {
		p.t.Errorf("end stdin: %v", err)
	}
}

// ends waits for the end of the process, and of its output.
func (p *process) ends(want int) {
	p.t.Helper()
	code, err := p.Runtime.Wait(p.context(), p.handle)
	if err != nil || code != want {
		p.t.Errorf("the process ended with %d, %v, want %d", code, err, want)
	}
	if err := p.drained(); err != nil {
		p.t.Errorf("the output is not whole: %v", err)
	}
}

// drained waits for the end of the output.
func (p *process) drained() error {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.attached.Wait() }()
	select {
	case err := <-done:
		return err
	case <-p.context().Done():
		p.t.Fatal("the output does not end")
		return nil
	}
}

// says waits until stdout has a text in it.
func (p *process) says(text string) {
	p.t.Helper()
	for {
		more := p.stdout.more()
		if strings.Contains(p.stdout.String(), text) {
			return
		}
		select {
		case <-more:
		case <-p.context().Done():
			p.t.Fatalf("stdout is %q, without %q", p.stdout.String(), text)
		}
	}
}

// buffer is written to by one goroutine and read by another.
type buffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{}
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written != nil {
		close(b.written)
		b.written = nil
	}
	return b.b.Write(p)
}

// more is closed at the next write.
func (b *buffer) more() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written == nil {
		b.written = make(chan struct{})
	}
	return b.written
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
