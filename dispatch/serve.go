// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"reconcile/reconcile/plan"
)

// ServeHTTP answers a request for an agent, which its path or its [AgentHeader]
// names.
func (d *Dispatcher) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	id, err := target(req)
	if err != nil {
		(&rejection{http.StatusBadRequest, CodeRequest, err.Error()}).write(w, plan.ID{})
		return
	}
	d.Invoke(w, req, id)
}

// Invoke answers a request for the agent with the id, whatever the request says of
// that. It panics with [http.ErrAbortHandler], which is for the server, where the
// answer has begun and cannot be whole.
func (d *Dispatcher) Invoke(w http.ResponseWriter, req *http.Request, id plan.ID) {
	if err := d.serve(w, req, id, false); err != nil {
		d.opt.Log.Debug("a reply was cut", "agent", id, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// serve answers a request. With hold nothing is sent before the process has ended.
// The error says that the answer is not whole.
func (d *Dispatcher) serve(w http.ResponseWriter, req *http.Request, id plan.ID, hold bool) error {
	called, err := executionID(req.Header)
	if err != nil {
		(&rejection{http.StatusBadRequest, CodeRequest, err.Error()}).write(w, id)
		return nil
	}
	w.Header().Set(ExecutionHeader, called)
	e, rejected := d.accept(id, called, req.Header.Get(TriggerHeader))
	if rejected != nil {
		rejected.write(w, id)
		return nil
	}
	defer close(e.served)
	hints, rejected := e.read(w, req)
	if rejected != nil {
		e.forget()
		rejected.write(w, id)
		return nil
	}
	for _, h := range hints {
		w.Header().Add(HintHeader, h)
	}
	wrapped := accepts(req.Header, eventMedia)
	e.live = e.agent.Streaming && !hold && !wrapped
	w, release := e.patient(w)
	defer release()
	go e.run()
	select {
	case r := <-e.replies:
		defer r.discard()
		return e.answer(w, req, r, wrapped)
	case <-req.Context().Done():
		e.cancel(errClient)
		return nil
	}
}

// read takes the event of a request. The deadlines of the server are for what it
// answers itself; that of the execution bounds its body.
func (e *execution) read(w http.ResponseWriter, req *http.Request) ([]string, *rejection) {
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(e.info.Accepted.Add(e.agent.Timeout)) // where there are none, none have to go
	_ = ctl.SetWriteDeadline(time.Time{})
	event, hints, err := eventOf(req, e.info.Agent, e.info.ID, e.info.Revision)
	if err != nil {
		return nil, &rejection{http.StatusBadRequest, CodeRequest, err.Error()}
	}
	event.time = e.info.Accepted
	whole := context.AfterFunc(e.d.cutting, func() { _ = ctl.SetReadDeadline(time.Now()) })
	rejected := event.takeBody(req)
	if !whole() {
		return nil, &rejection{http.StatusServiceUnavailable, CodeNotReady, "the daemon is ending"}
	}
	if rejected != nil {
		return nil, rejected
	}
	_ = ctl.SetReadDeadline(time.Time{})
	if hint := event.typeHint(); hint != "" {
		hints = append(hints, hint)
	}
	e.event = event
	return hints, e.overState()
}

// overState is why an execution may not begin: what others have left in the volume
// of the agent.
func (e *execution) overState() *rejection {
	if e.agent.StateVolume == "" || e.agent.StateLimit <= 0 {
		return nil
	}
	used, err := e.d.opt.Runtime.Used(e.ctx, e.agent.StateVolume)
	switch {
	case err != nil:
		return &rejection{http.StatusBadGateway, CodeFailed, "how large its state is cannot be told: " + err.Error()}
	case used > e.agent.StateLimit:
		return &rejection{http.StatusInsufficientStorage, CodeState, fmt.Sprintf(
			"the volume %s holds %d bytes, and state.sizeLimitMB allows %d", e.agent.StateVolume, used, e.agent.StateLimit)}
	}
	return nil
}

// write answers instead of an execution.
func (r *rejection) write(w http.ResponseWriter, id plan.ID) {
	var retry time.Duration
	if r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests {
		retry = time.Second
	}
	p := problem{Code: r.code, Error: r.reason}
	if id.Name != "" {
		p.Agent = id.NamespacedName()
	}
	if r.status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // the rest of the body is not read
	}
	answer(w, r.status, p, retry)
}
