// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"

	"reconcile/reconcile/plan"
)

// daemonRuntime is Podman for as long as a daemon lives. It is opened when it is
// first needed: a daemon may begin before Podman does. It implements
// reconcile.Runtime.
type daemonRuntime struct {
	open  func(context.Context) (*hostRuntime, error)
	there chan struct{} // closed once it is opened

	mu sync.Mutex
	rt *hostRuntime
}

func newDaemonRuntime(open func(context.Context) (*hostRuntime, error)) *daemonRuntime {
	return &daemonRuntime{open: open, there: make(chan struct{})}
}

func (d *daemonRuntime) get(ctx context.Context) (*hostRuntime, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rt != nil {
		return d.rt, nil
	}
	rt, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	d.rt = rt
	close(d.there)
	return rt, nil
}

// Observe observes.
func (d *daemonRuntime) Observe(ctx context.Context, want plan.Desired) (plan.Observed, error) {
	rt, err := d.get(ctx)
	if err != nil {
		return plan.Observed{}, err
	}
	return rt.Observe(ctx, want)
}

// Do carries out one step.
func (d *daemonRuntime) Do(ctx context.Context, s plan.Step, want plan.Desired) (plan.Object, error) {
	rt, err := d.get(ctx)
	if err != nil {
		return plan.Object{}, err
	}
	return rt.Do(ctx, s, want)
}

// Capabilities says what the service can do; nothing while there is none.
func (d *daemonRuntime) Capabilities() plan.Capabilities {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rt == nil {
		return plan.Capabilities{Name: "podman"}
	}
	return d.rt.Capabilities()
}

// endpoint is the host:port at which a container answers.
func (d *daemonRuntime) endpoint(ctx context.Context, id plan.ID, handle string) (string, error) {
	rt, err := d.get(ctx)
	if err != nil {
		return "", err
	}
	return rt.Endpoint(ctx, id, handle)
}

// events tells of events from when the service is there until ctx ends.
func (d *daemonRuntime) events(ctx context.Context, notify func()) error {
	select {
	case <-d.there:
		return d.rt.Events(ctx, notify) // which is not set again
	case <-ctx.Done():
		return nil
	}
}

// close lets go of the service. Nothing uses it any more.
func (d *daemonRuntime) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rt == nil {
		return nil
	}
	return d.rt.Close()
}
