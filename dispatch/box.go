// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"reconcile/reconcile/plan"
)

// How long a process may take, and what is asked of the runtime.
const (
	grace       = 5 * time.Second  // between SIGTERM and SIGKILL
	outputGrace = 5 * time.Second  // from the end of a process to that of its output
	killGrace   = 10 * time.Second // from SIGKILL to the end
	removal     = time.Minute      // of a container
)

// box is one container, from its creation to its removal, with all that its
// process writes. It is used for one execution at most.
type box struct {
	d        *Dispatcher
	launch   plan.Launch
	mode     plan.DeliveryMode
	handle   string
	door     *door    // nil = it cannot reach the metadata service
	attached Attached // nil = not yet
	started  bool     // so is the process
	out      *spool
	log      *logSink
	stdout   *logStream
	stderr   *logStream
	flood    chan struct{} // closed when it writes more than out takes

	exited chan struct{} // closed once the process has ended, and its output is whole
	exit   int           // of the process, once exited
	err    error         // why exit is not known, once exited
}

// make creates a container for an agent, and opens its door.
func (d *Dispatcher) make(ctx context.Context, a plan.Agent, role plan.Role, execution string) (*box, error) {
	ref, bound := a.Revision.Image()
	if a.Revision.Spec.Container == nil || ref == "" {
		return nil, errors.New("the revision has no container")
	}
	b := &box{
		d: d, mode: a.Mode,
		launch: plan.Launch{
			Agent: a.ID, Role: role, Session: d.opt.Session, Name: a.Name, Key: newKey(), Execution: execution,
			Revision: a.Revision.Name(), Spec: a.Revision.Spec.Container, Image: bound, Stdin: a.Mode != plan.DeliverMetadata,
		},
		log:    &logSink{},
		flood:  make(chan struct{}),
		exited: make(chan struct{}),
	}
	b.out = &spool{dir: d.opt.Scratch, limit: d.opt.MaxReply, over: func() { close(b.flood) }}
	at, err := d.metadata.listen(ctx, b.launch.Spec.Network)
	switch {
	case err != nil && a.Mode == plan.DeliverMetadata:
		return nil, fmt.Errorf("the metadata service: %w", err)
	case err != nil: // such an agent can do without
		d.opt.Log.Warn("an agent has no metadata service", "agent", a.ID, "err", err)
	}
	token := newToken()
	b.launch.Env = at.env(token)
	handle, addresses, err := d.opt.Runtime.Create(ctx, b.launch)
	if err != nil {
		b.out.discard()
		return nil, fmt.Errorf("create the container: %w", err)
	}
	b.handle = handle
	if len(b.launch.Env) > 0 {
		b.door = d.metadata.open(token, addresses)
	}
	return b, nil
}

// attach connects to the process that will be.
func (b *box) attach(ctx context.Context) error {
	b.stdout, b.stderr = b.log.stream("stdout"), b.log.stream("stderr")
	var body io.Writer = &tee{b.out, b.stdout}
	if b.mode == plan.DeliverMetadata {
		body = b.stdout // the reply comes another way
	}
	attached, err := b.d.opt.Runtime.Attach(ctx, b.handle, body, b.stderr)
	if err != nil {
		return fmt.Errorf("attach to the container: %w", err)
	}
	b.attached = attached
	return nil
}

// start starts the process of a box that is attached. Whatever comes of it, the
// caller ends the box.
func (b *box) start(ctx context.Context) error {
	if err := b.d.opt.Runtime.Start(ctx, b.handle); err != nil {
		_ = b.attached.Close()
		_ = b.attached.Wait()
		return fmt.Errorf("start the container: %w", err)
	}
	b.started = true
	b.d.tasks.Go(func() {
		// Nothing ends it but the end of the process: it must be known.
		b.exit, b.err = b.d.opt.Runtime.Wait(context.WithoutCancel(ctx), b.handle)
		late := time.AfterFunc(outputGrace, func() { _ = b.attached.Close() })
		missing := b.attached.Wait()
		if !late.Stop() {
			missing = errors.Join(missing, errors.New("the output goes on after the process has ended"))
		}
		_ = b.attached.Close()
		b.stdout.close()
		b.stderr.close()
		b.out.end(missing)
		close(b.exited)
	})
	return nil
}

// tee writes to two writers that do not fail.
type tee struct {
	to  *spool
	log *logStream
}

func (t *tee) Write(p []byte) (int, error) {
	_, _ = t.log.Write(p)
	return t.to.Write(p)
}

// feed writes an event to the process. It returns when nobody reads it any more.
func (b *box) feed(e *event) {
	if b.launch.Stdin {
		_ = e.writeJSON(b.attached) // who does not read has no use for it
		_ = b.attached.CloseWrite()
	}
}

// gone reports whether the process has ended.
func (b *box) gone() bool {
	select {
	case <-b.exited:
		return true
	default:
		return false
	}
}

// stop has the process end: by SIGTERM, and after the grace by SIGKILL.
func (b *box) stop(ctx context.Context) {
	for _, step := range []struct {
		signal string
		within time.Duration
	}{{Terminate, grace}, {Kill, killGrace}} {
		if b.gone() {
			return
		}
		sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), step.within)
		if err := b.d.opt.Runtime.Signal(sending, b.handle, step.signal); err != nil {
			b.d.opt.Log.Warn("a process was not told to end", "agent", b.launch.Agent, "signal", step.signal, "err", err)
		}
		select {
		case <-b.exited:
		case <-sending.Done():
		}
		cancel()
	}
}

// end removes the container, whatever it does. What it wrote is still there.
func (b *box) end() {
	if b.door != nil {
		b.door.shut()
	}
	b.remove()
	if b.attached != nil {
		_ = b.attached.Close()
	}
}

// drop ends a container that is of no use to any execution.
func (b *box) drop() {
	b.end()
	b.out.discard()
}

// remove removes the container. It has a time of its own, since nothing else would
// remove it before the next session; a dispatcher that ends leaves it to that one
// where the runtime is away.
func (b *box) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), removal)
	defer cancel()
	defer context.AfterFunc(b.d.loops, func() { time.AfterFunc(killGrace, cancel) })()
	for wait := time.Second; ; wait *= 2 {
		err := b.d.opt.Runtime.Remove(ctx, b.handle)
		if err == nil {
			return
		}
		b.d.opt.Log.Warn("a container was not removed", "agent", b.launch.Agent, "container", b.handle, "err", err)
		if !pause(ctx, wait) {
			return
		}
	}
}
