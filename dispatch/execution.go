// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"reconcile/reconcile/plan"
)

// execution is one run of an agent, from when its request is accepted until its
// container is gone.
type execution struct {
	d     *Dispatcher
	st    *agentState
	agent plan.Agent // as it was when the request was accepted
	kind  string     // of the slots that are of use to it
	event *event
	noted Execution     // when it was accepted
	info  Execution     // for the goroutine that runs it
	entry Entry         // once begun; nil = its log is not kept
	begun chan struct{} // closed once the journal was told of it
	// live: the reply is sent as it is written.
	live bool

	ctx      context.Context // ends with the cause why it is to end
	cancel   context.CancelCauseFunc
	deadline *time.Timer

	replies chan *reply   // the one that its client gets
	status  atomic.Int32  // of it; 0 = there is none yet
	post    atomic.Int32  // how far it is, where it comes through the metadata service
	served  chan struct{} // closed once the client has got it
	decided chan struct{} // closed once info says how it ended

	useless sync.WaitGroup // containers that are being removed beside its own

	// The Dispatcher's mutex guards these.
	released bool
	over     bool
	now      Execution // info, for others
}

// offer answers the client with r, unless it was answered.
func (e *execution) offer(r *reply) bool {
	if !e.status.CompareAndSwap(0, int32(r.status)) {
		r.discard()
		return false
	}
	e.replies <- r
	return true
}

// run makes the container, runs it, and removes it. It is for a goroutine of its
// own, since an execution may outlive its client.
func (e *execution) run() {
	defer e.forget()
	defer e.useless.Wait()
	b, err := e.launch()
	if err != nil {
		e.fail(err)
		e.finish(nil)
		<-e.served
		return
	}
	e.attend(b)
	e.finish(b)
	b.end()
	<-e.served
	b.out.discard()
	select {
	case r := <-e.replies:
		r.discard() // nobody was there to take it
	default:
	}
}

// begin notes the execution. One whose log cannot be kept goes on without.
func (e *execution) begin(as Execution) {
	defer close(e.begun)
	entry, err := e.d.opt.Journal.Begin(as)
	if err != nil {
		e.d.opt.Log.Warn("the log of an execution is not kept", "agent", e.noted.Agent, "execution", e.noted.ID, "err", err)
		return
	}
	e.entry = entry
}

// launch returns the container with the process started: a slot, or one of its own.
// A process that was not started before is once the execution is noted.
func (e *execution) launch() (*box, error) {
	b := e.take()
	if b == nil {
		e.publish()
		b = e.await()
	}
	if b != nil && b.started {
		e.info.Warm = warmStarted
		e.publish()
		e.assign(b)
		e.beginLater(b)
		return b, nil
	}
	go e.begin(e.noted)
	e.publish()
	defer context.AfterFunc(e.ctx, func() { // its client need not wait for the runtime
		_, r := e.interruption()
		e.offer(r)
	})()
	if b != nil {
		e.assign(b)
		err := e.start(b)
		if err == nil {
			e.info.Warm = warmInitialised
			e.publish()
			b.log.bind(e.entry)
			return b, nil
		}
		e.d.opt.Log.Warn("a slot was of no use", "agent", e.info.Agent, "err", err)
		if !errors.Is(err, net.ErrClosed) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err // its process may have seen the event
		}
	}
	b, err := e.d.make(e.ctx, e.agent, plan.RoleExecution, e.info.ID)
	if err != nil {
		return nil, err
	}
	e.assign(b)
	if err := e.start(b); err != nil {
		return nil, err
	}
	b.log.bind(e.entry)
	return b, nil
}

// assign lets a container find the event, before its process can ask for that.
func (e *execution) assign(b *box) {
	if b.door != nil {
		b.door.assign(e)
	}
}

// start starts the process of a container, which is removed when that fails.
func (e *execution) start(b *box) (err error) {
	if b.attached == nil {
		err = b.attach(e.ctx)
	}
	if err == nil {
		<-e.begun
		err = b.start(e.ctx)
	}
	if err != nil {
		e.useless.Go(b.drop)
	}
	return err
}

// publish shows others what is known.
func (e *execution) publish() {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	e.now = e.info
}

// attend feeds the process, and waits for it or for a reason to end it.
func (e *execution) attend(b *box) {
	if e.ctx.Err() != nil { // its client knows that
		e.interrupted(b)
		return
	}
	if e.live && b.mode != plan.DeliverMetadata {
		e.offer(&reply{status: http.StatusOK, contentType: e.contentType(), body: b.out, live: true, shared: true})
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		b.feed(e.event)
	}()
	select {
	case <-b.exited:
		e.exited(b)
	case <-b.flood:
		e.flooded(b)
	case <-e.ctx.Done():
		e.interrupted(b)
	}
	_ = b.attached.Close()
	<-fed
}

// exited says how a process that has ended by itself did.
func (e *execution) exited(b *box) {
	e.release()
	if b.err != nil {
		e.info.Outcome, e.info.Reason = Failed, "how it ended is not known: "+b.err.Error()
		e.offer(&reply{status: http.StatusBadGateway, code: CodeFailed, reason: e.info.Reason})
		return
	}
	code := b.exit
	e.info.Exit = &code
	missing := b.out.failed()
	switch {
	case code != 0:
		e.info.Outcome, e.info.Reason = Failed, fmt.Sprintf("it ended with status %d", code)
	case b.mode == plan.DeliverMetadata && e.post.Swap(postLate) != postWhole:
		e.info.Outcome, e.info.Reason = Failed, "it ended without a POST of its reply"
	case missing != nil:
		e.info.Outcome, e.info.Reason = Failed, "its output is not whole: "+missing.Error()
	default:
		e.info.Outcome = Succeeded
	}
	r := &reply{status: http.StatusOK, contentType: e.contentType(), exit: &code}
	if b.mode != plan.DeliverMetadata {
		r.body, r.shared = b.out, true
	}
	switch {
	case code != 0:
		r.status, r.code, r.reason = http.StatusInternalServerError, CodeExit, e.info.Reason
	case e.info.Outcome == Failed:
		r.status, r.code, r.reason, r.body = http.StatusBadGateway, CodeFailed, e.info.Reason, nil
	}
	e.offer(r)
}

// flooded ends a process that writes more than can be held.
func (e *execution) flooded(b *box) {
	err := b.out.failed()
	e.info.Outcome, e.info.Reason = Failed, "its output cannot be held: "+err.Error()
	if errors.Is(err, errTooMuch) && !e.live {
		e.info.Reason += "; with streaming.enabled it is sent as it is written"
	}
	e.offer(&reply{status: http.StatusBadGateway, code: CodeFailed, reason: e.info.Reason})
	e.halt(b)
}

// interrupted ends a process that is not to go on.
func (e *execution) interrupted(b *box) {
	e.cut()
	e.halt(b)
}

// halt ends the process. Whatever it says now comes too late.
func (e *execution) halt(b *box) {
	if b.door != nil {
		b.door.shut()
	}
	b.stop(e.ctx)
	if b.gone() && b.err == nil {
		code := b.exit
		e.info.Exit = &code
	}
	e.release()
}

// cut notes why an execution was not let go on, and answers its client.
func (e *execution) cut() {
	outcome, r := e.interruption()
	e.info.Outcome, e.info.Reason = outcome, r.reason
	e.offer(r)
}

// interruption is how an execution ends that is not let go on, and what its client
// gets.
func (e *execution) interruption() (Outcome, *reply) {
	unready := reply{status: http.StatusServiceUnavailable, code: CodeNotReady, retry: time.Second}
	switch cause := context.Cause(e.ctx); {
	case errors.Is(cause, errDeadline):
		return TimedOut, &reply{
			status: http.StatusGatewayTimeout, code: CodeTimeout,
			reason: fmt.Sprintf("it was not done after %v", e.agent.Timeout),
		}
	case errors.Is(cause, errClient):
		unready.reason = errClient.Error()
		return Cancelled, &unready
	}
	unready.reason = errStopped.Error()
	return Stopped, &unready
}

// fail is for an execution whose process did not start.
func (e *execution) fail(err error) {
	e.release()
	if e.ctx.Err() != nil {
		e.cut()
		return
	}
	e.info.Outcome, e.info.Reason = NotStarted, err.Error()
	e.offer(&reply{status: http.StatusBadGateway, code: CodeFailed, reason: e.info.Reason})
}

// finish notes how it ended. The box is nil where there is no process.
func (e *execution) finish(b *box) {
	e.info.Ended = time.Now()
	if e.info.Outcome != Cancelled {
		e.info.Status = int(e.status.Load())
	}
	close(e.decided)
	if b != nil && e.info.Warm == warmStarted {
		e.d.later(func() { e.end(b) })
	} else {
		e.end(b)
	}
	e.ended()
}

// end has the journal know how it ended.
func (e *execution) end(b *box) {
	<-e.begun
	if b != nil {
		if err := b.log.end(); err != nil {
			e.d.opt.Log.Warn("the log of an execution is not whole", "agent", e.info.Agent, "execution", e.info.ID, "err", err)
		}
	}
	if e.entry == nil {
		return
	}
	if err := e.entry.End(e.info); err != nil {
		e.d.opt.Log.Warn("the end of an execution is not kept", "agent", e.info.Agent, "execution", e.info.ID, "err", err)
	}
}

func (e *execution) contentType() string {
	if e.agent.ContentType != "" {
		return e.agent.ContentType
	}
	return "application/octet-stream"
}
