// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"reconcile/dispatch"
	"reconcile/podman"
	"reconcile/reconcile/plan"
)

// lateExecutions are the containers of executions at a Podman that is opened when
// it is there. It implements dispatch.Runtime.
type lateExecutions struct {
	rt      *daemonRuntime
	options podman.ExecutionOptions

	mu   sync.Mutex
	made *podman.Executions // nil = not yet
}

var _ dispatch.Runtime = (*lateExecutions)(nil)

// get returns what there is at the Podman of the daemon.
func (x *lateExecutions) get(ctx context.Context) (*podman.Executions, error) {
	rt, err := x.rt.get(ctx)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made == nil {
		x.made = rt.Executions(x.options)
	}
	return x.made, nil
}

// Listen has the host heard in a network.
func (x *lateExecutions) Listen(ctx context.Context, network string) ([]net.Listener, []netip.AddrPort, error) {
	e, err := x.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	return e.Listen(ctx, network)
}

// Create makes a container.
func (x *lateExecutions) Create(ctx context.Context, l plan.Launch) (string, []netip.Addr, error) {
	e, err := x.get(ctx)
	if err != nil {
		return "", nil, err
	}
	return e.Create(ctx, l)
}

// Attach connects to the streams of a container.
func (x *lateExecutions) Attach(ctx context.Context, handle string, stdout, stderr io.Writer) (dispatch.Attached, error) {
	e, err := x.get(ctx)
	if err != nil {
		return nil, err
	}
	return e.Attach(ctx, handle, stdout, stderr)
}

// Start starts the process.
func (x *lateExecutions) Start(ctx context.Context, handle string) error {
	e, err := x.get(ctx)
	if err != nil {
		return err
	}
	return e.Start(ctx, handle)
}

// Wait waits for its end.
func (x *lateExecutions) Wait(ctx context.Context, handle string) (int, error) {
	e, err := x.get(ctx)
	if err != nil {
		return 0, err
	}
	return e.Wait(ctx, handle)
}

// Signal sends it a signal.
func (x *lateExecutions) Signal(ctx context.Context, handle, signal string) error {
	e, err := x.get(ctx)
	if err != nil {
		return err
	}
	return e.Signal(ctx, handle, signal)
}

// Remove removes a container.
func (x *lateExecutions) Remove(ctx context.Context, handle string) error {
	e, err := x.get(ctx)
	if err != nil {
		return err
	}
	return e.Remove(ctx, handle)
}

// sweepRetry is how long a Podman that nobody else needs is left alone that could
// not be opened.
const sweepRetry = 10 * time.Second

// Sweep removes what others have left. It waits for a Podman, of which the loop
// tells when it is away.
func (x *lateExecutions) Sweep(ctx context.Context, session string) ([]string, error) {
	for {
		e, err := x.get(ctx)
		if err == nil {
			return e.Sweep(ctx, session)
		}
		select {
		case <-x.rt.there:
		case <-time.After(sweepRetry):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Used is how large a volume is.
func (x *lateExecutions) Used(ctx context.Context, volume string) (int64, error) {
	e, err := x.get(ctx)
	if err != nil {
		return 0, err
	}
	return e.Used(ctx, volume)
}
