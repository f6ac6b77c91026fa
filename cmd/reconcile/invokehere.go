// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"reconcile/control"
	"reconcile/dispatch"
	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// executionsDir is the journal of the executions of a workspace.
func (a *app) executionsDir(name string) string {
	return filepath.Join(a.workspaceDir(name), "data", "executions")
}

// openAgentHere has this process run the executions of a TaskAgent, until end is
// called. While somebody else has the workspace it waits; a daemon that comes up
// meanwhile is asked instead.
func (a *app) openAgentHere(ctx context.Context, src source, id plan.ID) (d door, end func() error, err error) {
	lock, c, err := a.awaitLock(ctx, src)
	if err != nil {
		return nil, nil, err
	}
	if c != nil {
		return c, func() error { return nil }, nil
	}
	h, err := a.newAgentHere(ctx, src, id)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Release())
	}
	return h, func() error { return errors.Join(h.close(ctx), lock.Release()) }, nil
}

// awaitLock takes the lock of a workspace, or finds its daemon.
func (a *app) awaitLock(ctx context.Context, src source) (*reconcile.Lock, *control.Client, error) {
	began := time.Now()
	for told := false; ; told = true {
		lock, err := a.takeLock(src.name, "reconcile invoke")
		held, ok := errors.AsType[*reconcile.LockedError](err)
		if !ok {
			return lock, nil, err
		}
		c, err := a.dialDaemon(ctx, src.root)
		if c != nil || err != nil {
			return nil, c, err
		}
		if held.Holder.Command == daemonCommand && time.Since(began) > daemonWait {
			return nil, nil, fmt.Errorf("%w, which does not answer", held)
		}
		if !told {
			fmt.Fprintln(a.std.err, "waiting: "+escape(held.Error()))
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w: %w", context.Cause(ctx), held)
		}
	}
}

const (
	closeNote = 2 * time.Second // how long what is left may take to end before that is told
	cutAfter  = time.Second     // from when nobody waits any more
)

// agentHere answers requests for one TaskAgent in this process.
type agentHere struct {
	notes      io.Writer
	runtime    io.Closer
	dispatcher *dispatch.Dispatcher
	stop       context.CancelFunc // of the dispatcher
	stopped    chan struct{}      // closed once nothing is left
	server     *http.Server
	served     chan struct{} // closed once the server has ended
	transport  *http.Transport
}

// newAgentHere opens Podman and dispatches. The caller holds the workspace's lock.
func (a *app) newAgentHere(ctx context.Context, src source, id plan.ID) (*agentHere, error) {
	store, err := reconcile.OpenStore(a.workspaceDir(src.name), false)
	if err != nil {
		return nil, err
	}
	records, err := store.LoadOf(id)
	if err != nil {
		return nil, err
	}
	agent, err := readyAgent(src.Desired, records, id)
	if err != nil {
		return nil, err
	}
	scratch, err := a.repliesDir(src.name)
	if err != nil {
		return nil, err
	}
	rt, err := a.openRuntime(ctx, src.name, store, func(podman.Progress) {})
	if err != nil {
		return nil, err
	}
	h := startAgent(ctx, agent, dispatch.DispatcherOptions{
		Runtime: rt.Executions(podman.ExecutionOptions{Workspace: src.name, Root: src.root}),
		Journal: dispatch.OpenFolder(a.executionsDir(src.name)),
		Scratch: scratch,
		Log:     a.logger(),
	})
	h.notes, h.runtime = a.std.err, rt
	select {
	case <-h.dispatcher.Opened():
		return h, nil
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), h.close(ctx))
	}
}

// startAgent dispatches requests for one agent, from when its dispatcher has opened.
func startAgent(ctx context.Context, agent plan.Agent, o dispatch.DispatcherOptions) *agentHere {
	o.DrainTimeout = agent.Timeout + time.Hour // its own timeout ends it before
	d := dispatch.NewDispatcher(o)
	d.Set([]plan.Agent{agent})
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &agentHere{dispatcher: d, stop: stop, stopped: make(chan struct{}), served: make(chan struct{})}
	go func() {
		defer close(h.stopped)
		_ = d.Run(running) // it has no error
	}()
	h.serve(d)
	return h
}

// readyAgent is an agent that answers requests, and does nothing by itself.
func readyAgent(d plan.Desired, records plan.Records, id plan.ID) (plan.Agent, error) {
	agent, ok := agentOf(plan.Agents(d, records), id)
	if !ok {
		return plan.Agent{}, rejectf("%s is not there any more", id)
	}
	agent.Schedule, agent.Warm = "", plan.WarmPool{}
	return agent, noRevision(agent)
}

// serve connects a client of this process with a handler: what a request means is
// what it means at a listener.
func (h *agentHere) serve(to http.Handler) {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	h.server = &http.Server{Handler: to, ReadHeaderTimeout: time.Minute}
	h.transport = &http.Transport{DialContext: l.dial, DisableKeepAlives: true, DisableCompression: true}
	go func() {
		defer close(h.served)
		_ = h.server.Serve(l) // it ends with close
	}()
}

// Do implements [door].
func (h *agentHere) Do(req *http.Request) (*http.Response, error) { return h.transport.RoundTrip(req) }

// close returns once nothing is left. An execution that has answered and goes on may
// go on until ctx ends.
func (h *agentHere) close(ctx context.Context) error {
	h.stop()
	select {
	case <-h.stopped:
	case <-time.After(closeNote):
		fmt.Fprintln(h.notes, "waiting for the execution to end")
		h.await(ctx)
	case <-ctx.Done():
		h.await(ctx)
	}
	err := h.server.Close()
	<-h.served
	return errors.Join(err, h.runtime.Close())
}

// await waits until nothing is left. Once ctx has ended, that is brought about: of what
// has answered, since all else has lost its client and ends for that.
func (h *agentHere) await(ctx context.Context) {
	select {
	case <-h.stopped:
		return
	case <-ctx.Done():
	}
	select {
	case <-h.stopped:
		return
	case <-time.After(cutAfter):
	}
	h.dispatcher.Cut()
	<-h.stopped
}

// pipeListener accepts connections of this process.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return patientPipe{here}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// patientPipe is the end of a client. Who rejects a request answers before all of it has
// come: what nobody reads any more can be written, so that the answer is read.
type patientPipe struct{ net.Conn }

func (c patientPipe) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		return len(p), nil
	}
	return n, err
}

// Accept implements [net.Listener].
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }
