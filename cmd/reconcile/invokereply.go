// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// outcomeRejected: no execution was made. What else comes of an invocation is what
// comes of executions.
const outcomeRejected dispatch.Outcome = "rejected"

// invoked is what came of an invocation. Field names are part of the JSON output.
type invoked struct {
	FormatVersion string           `json:"format_version"`
	Agent         string           `json:"agent"` // as in taskagent/lab/word-count; what was typed, where that is none
	Execution     string           `json:"execution,omitempty"`
	Outcome       dispatch.Outcome `json:"outcome"`
	Status        int              `json:"status,omitempty"`    // of the answer; 0 = there was none
	ExitCode      *int             `json:"exit_code,omitempty"` // of the process, where it is known
	Code          string           `json:"code,omitempty"`      // why it is no success, as in X-Reconcile-Error
	Error         string           `json:"error,omitempty"`     // the same for people
	Headers       http.Header      `json:"headers,omitempty"`
	Trailers      http.Header      `json:"trailers,omitempty"`
	// Body is what the agent answered, where that is text, and else BodyBase64.
	Body       *string `json:"body,omitempty"`
	BodyBase64 []byte  `json:"body_base64,omitempty"`
}

func (i invoked) exitCode() int {
	switch i.Outcome {
	case dispatch.Succeeded:
		return plan.ExitDone
	case dispatch.TimedOut:
		return exitTimeout
	case outcomeRejected:
		return exitRejected
	case dispatch.Cancelled:
		return exitInterrupted
	}
	return plan.ExitFault
}

// outcome tells what comes of one request.
type outcome struct {
	app     *app
	agent   plan.ID
	maxTime time.Duration
	problem *problem // that was answered; nil = the agent has
	result  invoked
	body    bytes.Buffer // for JSON
}

// notInvoked tells of a request that was not sent. What is wrong with this host is
// an error like any other.
func (a *app) notInvoked(ctx context.Context, inv invocation, err error) error {
	out := &outcome{app: a, maxTime: inv.maxTime, result: invoked{Agent: inv.name}}
	_, rejected := errors.AsType[rejection](err)
	switch {
	case ctx.Err() != nil:
		out.cut(ctx)
	case rejected:
		out.result.Outcome, out.result.Error = outcomeRejected, err.Error()
	default:
		return err
	}
	return out.tell()
}

// take sends the request and tells what is answered. The error is the exit code,
// once all is told.
func (o *outcome) take(ctx context.Context, d door, req *http.Request) error {
	r := &o.result
	r.Agent = o.agent.String()
	res, err := o.send(ctx, d, req)
	if err != nil {
		r.Execution = req.Header.Get(dispatch.ExecutionHeader)
		if ctx.Err() != nil {
			o.cut(ctx)
		} else { // who was asked has gone, and may have begun
			r.Outcome, r.Error = dispatch.Failed, "no answer came: "+err.Error()
		}
		return o.tell()
	}
	defer res.Body.Close()
	r.Status, r.Headers, r.Execution = res.StatusCode, res.Header, res.Header.Get(dispatch.ExecutionHeader)
	err = o.read(res)
	o.judge(res)
	if err != nil && ctx.Err() != nil {
		o.cut(ctx)
	} else if err != nil {
		r.Outcome, r.Error = dispatch.Failed, err.Error()
	}
	return o.tell()
}

// maxProblem bounds what is read of an answer that is no agent's, in bytes.
const maxProblem = 1 << 20

// A daemon that has just begun takes no requests yet.
const (
	beginLimit = 15 * time.Second // for it to
	beginAgain = 200 * time.Millisecond
)

// send sends the request, again while the daemon has yet to look at its workspace.
// What is said in the place of an agent is in o.problem then.
func (o *outcome) send(ctx context.Context, d door, req *http.Request) (*http.Response, error) {
	for began := time.Now(); ; {
		res, err := d.Do(req)
		if err != nil {
			return nil, err
		}
		o.problem = problemOf(res)
		if !o.problem.begins() || time.Since(began) > beginLimit {
			return res, nil
		}
		res.Body.Close()
		select {
		case <-time.After(beginAgain):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
}

// read passes on what the agent answers. What is said in its place is no output of
// it, but the reason.
func (o *outcome) read(res *http.Response) error {
	if p := o.problem; p != nil {
		o.result.Error = p.Error
		if p.Execution == "" {
			o.result.Execution = ""
		}
		return nil
	}
	w := o.app.std.out
	if o.app.output == formatJSON {
		w = &o.body
	} else {
		o.introduce(res.Header)
	}
	body := io.Reader(res.Body)
	if said := o.said(res); said != "" {
		begin := make([]byte, len(said))
		n, err := io.ReadFull(body, begin)
		if err == nil && string(begin) == said {
			return nil // there was no output, and this stands for it
		}
		body = io.MultiReader(bytes.NewReader(begin[:n]), body)
	}
	to := &taker{w: w}
	switch _, err := io.Copy(to, body); {
	case to.err != nil:
		return fmt.Errorf("the answer cannot be passed on: %w", to.err)
	case err != nil:
		return fmt.Errorf("the answer is not whole: %w", err)
	}
	return nil
}

// taker remembers why a write failed.
type taker struct {
	w   io.Writer
	err error
}

// Write implements [io.Writer].
func (t *taker) Write(p []byte) (n int, err error) {
	n, t.err = t.w.Write(p)
	return n, t.err
}

// said is all of what is answered for an agent that has failed without a word; ""
// = this answer is longer, or shorter.
func (o *outcome) said(res *http.Response) string {
	text := fmt.Sprintf("%s: %s\n", o.agent.Name, endedWith(res.Header.Get(dispatch.ExitHeader)))
	if res.Header.Get(dispatch.ErrorHeader) != dispatch.CodeExit || res.ContentLength != int64(len(text)) {
		return ""
	}
	return text
}

func endedWith(status string) string { return "it ended with status " + status }

// problem is what is answered in the place of an agent.
type problem struct {
	Error     string `json:"error"`
	Execution string `json:"execution"` // "" = there was none
}

// problemOf is what is answered in the place of an agent; nil = it is the agent's.
func problemOf(res *http.Response) *problem {
	code := res.Header.Get(dispatch.ErrorHeader)
	own := code != "" && code != dispatch.CodeExit && res.Header.Get("Content-Type") == jsonType && res.Header.Get("Cache-Control") == "no-store"
	foreign := code == "" && res.StatusCode >= 300
	if !own && !foreign {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	p := new(problem)
	if err := json.Unmarshal(text, p); err != nil || p.Error == "" || foreign {
		return &problem{Error: fmt.Sprintf("the daemon answered %s; it may be of another version", res.Status)}
	}
	return p
}

// begins reports whether a daemon has said that it has yet to look.
func (p *problem) begins() bool {
	return p != nil && p.Execution == "" && strings.HasPrefix(p.Error, "it is not known yet")
}

// introduce tells of which execution what follows is, and what its client may want
// to know.
func (o *outcome) introduce(h http.Header) {
	if id := o.result.Execution; id != "" {
		fmt.Fprintln(o.app.std.err, "execution "+escape(id))
	}
	for _, hint := range h.Values(dispatch.HintHeader) {
		fmt.Fprintln(o.app.std.err, "hint: "+escape(hint))
	}
}

// judge says what the answer means.
func (o *outcome) judge(res *http.Response) {
	r := &o.result
	r.Trailers = res.Trailer
	ended := func(name string) string {
		if v := res.Trailer.Get(name); v != "" {
			return v
		}
		return res.Header.Get(name)
	}
	if n, err := strconv.Atoi(ended(dispatch.ExitHeader)); err == nil {
		r.ExitCode = &n
	}
	r.Code = ended(dispatch.ErrorHeader)
	switch {
	case r.Status/100 == 2 && r.Code == "":
		r.Outcome = dispatch.Succeeded
	case r.Status == http.StatusGatewayTimeout || r.Code == dispatch.CodeTimeout:
		r.Outcome = dispatch.TimedOut
	case r.Execution == "" && r.Status != http.StatusBadGateway:
		r.Outcome = outcomeRejected
	default:
		r.Outcome = dispatch.Failed
	}
	if r.Outcome == dispatch.Succeeded || r.Error != "" {
		return
	}
	switch {
	case r.Code == dispatch.CodeTimeout:
		r.Error = "it was not done within its timeout"
	case r.Code == dispatch.CodeNotReady:
		r.Error = "it was stopped before it was done"
	case r.ExitCode != nil && *r.ExitCode != 0:
		r.Error = endedWith(strconv.Itoa(*r.ExitCode))
	default:
		r.Error = fmt.Sprintf("it failed (%s)", res.Status)
	}
}

// cut says that nobody waits for the answer any more.
func (o *outcome) cut(ctx context.Context) {
	r := &o.result
	if errors.Is(context.Cause(ctx), errMaxTime) {
		r.Outcome, r.Error = dispatch.TimedOut, fmt.Sprintf("it was not done after %v; it is cancelled", o.maxTime)
		return
	}
	r.Outcome, r.Error = dispatch.Cancelled, "interrupted; it is cancelled"
}

// tell prints what came of it, and returns the exit code.
func (o *outcome) tell() error {
	r, a := &o.result, o.app
	if a.output == formatJSON {
		r.FormatVersion = plan.FormatVersion
		if text := o.body.String(); utf8.ValidString(text) && r.Status != 0 {
			r.Body = &text
		} else {
			r.BodyBase64 = o.body.Bytes()
		}
		if err := a.printJSON(r); err != nil {
			return err
		}
		return exitWith(r.exitCode())
	}
	if r.Error == "" {
		return exitWith(r.exitCode())
	}
	about := r.Error
	if name := o.agent.Name; name != "" && !strings.HasPrefix(about, name+": ") && !strings.HasPrefix(about, name+" ") {
		about = name + ": " + about
	}
	fmt.Fprintln(a.std.err, "error: "+escapeLines(about))
	if r.Execution != "" {
		fmt.Fprintf(a.std.err, "hint: `reconcile logs %s --execution %s` shows what it wrote\n", escape(nameOf(o.agent)), escape(r.Execution))
	}
	return exitWith(r.exitCode())
}
