// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
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
// that.
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
	if rejected := event.takeBody(req); rejected != nil {
		return nil, rejected
	}
	_ = ctl.SetReadDeadline(time.Time{})
	if event.form == formEncoded && event.contentType == "" {
		hints = append(hints, noTypeHint)
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
		p.Agent = namespaceOf(id) + "/" + id.Name
	}
	if r.status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // the rest of the body is not read
	}
	answer(w, r.status, p, retry)
}

// reply is what the client of an execution gets.
type reply struct {
	status       int
	code, reason string // of what is no success; they are sent where there is no body
	contentType  string // of body
	body         *spool // nil = none
	shared       bool   // body belongs to others
	live         bool   // body goes on, and is sent as it comes
	exit         *int   // of the process; nil = it goes on, or is not known
	retry        time.Duration
}

func (r *reply) discard() {
	if r.body != nil && !r.shared {
		r.body.discard()
	}
}

// answer sends a reply.
func (e *execution) answer(w http.ResponseWriter, req *http.Request, r *reply, wrapped bool) error {
	if r.exit != nil && *r.exit != 0 {
		w.Header().Set(ExitHeader, fmt.Sprint(*r.exit))
	}
	switch {
	case r.live:
		return e.stream(w, req, r)
	case wrapped:
		return e.wrap(w, r)
	case r.body != nil && (r.code == "" || r.body.written() > 0):
		return e.send(w, req, r)
	}
	e.explain(w, r)
	return nil
}

// explain sends the reason of a reply that has no body.
func (e *execution) explain(w http.ResponseWriter, r *reply) {
	if r.code == CodeExit {
		w.Header().Set(ErrorHeader, CodeExit)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(r.status)
		fmt.Fprintf(w, "%s: %s\n", e.agent.ID.Name, r.reason)
		return
	}
	answer(w, r.status, e.problem(r), r.retry)
}

func (e *execution) problem(r *reply) problem {
	return problem{
		Code: r.code, Error: e.agent.ID.Name + ": " + r.reason,
		Agent: namespaceOf(e.agent.ID) + "/" + e.agent.ID.Name, Execution: e.info.ID,
	}
}

// send sends a reply that is there as a whole.
func (e *execution) send(w http.ResponseWriter, req *http.Request, r *reply) error {
	if r.code != "" {
		w.Header().Set(ErrorHeader, r.code)
	}
	w.Header().Set("Content-Type", r.contentType)
	w.Header().Set("Content-Length", fmt.Sprint(r.body.written()))
	w.WriteHeader(r.status)
	return r.body.drain(req.Context(), w, nil)
}

// stream sends a reply as it comes, and then how the process ended.
func (e *execution) stream(w http.ResponseWriter, req *http.Request, r *reply) error {
	trailer := e.agent.Mode != plan.DeliverMetadata
	w.Header().Set("Content-Type", r.contentType)
	if trailer {
		w.Header()["Trailer"] = []string{ExitHeader, ErrorHeader}
	}
	w.WriteHeader(r.status)
	ctl := http.NewResponseController(w)
	err := r.body.drain(req.Context(), w, func() { _ = ctl.Flush() })
	if req.Context().Err() != nil {
		e.cancel(errClient)
		return nil
	}
	if err != nil || !trailer {
		return err
	}
	select {
	case <-e.decided:
	case <-req.Context().Done():
		e.cancel(errClient)
		return nil
	}
	if e.info.Exit != nil {
		w.Header().Set(ExitHeader, fmt.Sprint(*e.info.Exit))
	}
	if e.info.Outcome != Succeeded {
		w.Header().Set(ErrorHeader, codeOf(e.info))
	}
	return nil
}

// codeOf is the code of an execution that did not succeed.
func codeOf(e Execution) string {
	switch {
	case e.Outcome == TimedOut:
		return CodeTimeout
	case e.Outcome == Stopped:
		return CodeNotReady
	case e.Exit != nil && *e.Exit != 0:
		return CodeExit
	}
	return CodeFailed
}

// maxEvent bounds the body of a reply that is wrapped in an event, in bytes.
const maxEvent = maxBody

// wrap sends a reply as an event.
func (e *execution) wrap(w http.ResponseWriter, r *reply) error {
	out := &event{
		id: e.info.ID, source: e.event.source, kind: typeResponse, time: time.Now(),
		extensions: []attribute{{"clrkrevision", e.info.Revision}},
	}
	if r.exit != nil {
		out.extensions = slices.Insert(out.extensions, 0, attribute{"clrkexitcode", *r.exit})
	}
	if r.body != nil && (r.code == "" || r.body.written() > 0) {
		body, err := r.body.all(maxEvent)
		if err != nil {
			r = &reply{status: http.StatusBadGateway, code: CodeFailed, reason: "the reply cannot be an event: " + err.Error()}
		}
		out.body, out.contentType = body, r.contentType
	}
	if len(out.body) == 0 && r.code != "" {
		out.body, out.contentType = problemJSON(e.problem(r)), "application/json"
	}
	out.form = formOf(out.contentType, out.body)
	if out.form == formJSON && !validJSON(out.body) {
		out.form = formEncoded
	}
	if r.code != "" {
		w.Header().Set(ErrorHeader, r.code)
	}
	if r.retry > 0 {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", eventMedia)
	w.WriteHeader(r.status)
	return out.writeJSON(w)
}

// Ingress sends requests where they belong, by what comes first: the paths of the
// host itself, those below [Root], those below [AgentsRoot], and the header
// [AgentHeader] on any other. The rest is 400.
type Ingress struct {
	System http.Handler // /healthz, /readyz, /metrics
	Router http.Handler // what [Handles] is about
	Agents http.Handler // a [Dispatcher]
}

// ServeHTTP implements [http.Handler].
func (i Ingress) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case slices.Contains([]string{"/healthz", "/readyz", "/metrics"}, req.URL.Path):
		i.System.ServeHTTP(w, req)
	case Handles(req.URL):
		i.Router.ServeHTTP(w, req)
	case strings.HasPrefix(req.URL.Path, AgentsRoot), len(req.Header.Values(AgentHeader)) > 0:
		i.Agents.ServeHTTP(w, req)
	default:
		(&rejection{http.StatusBadRequest, CodeRequest, fmt.Sprintf(
			"nothing is at this path: want %s/INSTANCE, %sNAMESPACE/NAME, or the header %s: NAMESPACE/NAME", Root, AgentsRoot, AgentHeader)}).write(w, plan.ID{})
	}
}
