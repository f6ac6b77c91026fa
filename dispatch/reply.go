// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

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
		Agent: e.agent.ID.NamespacedName(), Execution: e.info.ID,
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
	sayRetry(w, r.retry)
	w.Header().Set("Content-Type", eventMedia)
	w.WriteHeader(r.status)
	return out.writeJSON(w)
}
