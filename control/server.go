// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds of requests: a few flags, and of a pass a kept plan too.
const (
	maxBody = 1 << 20
	maxPass = 96 << 20
)

// keepAlive is how often a pass that has nothing to say shows that it lives.
const keepAlive = 15 * time.Second

// Handler serves d.
func Handler(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, func(w http.ResponseWriter, r *http.Request) {
		st, err := d.Status(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(st)
	})
	mux.HandleFunc("POST "+pathRefresh, func(w http.ResponseWriter, r *http.Request) {
		var req RefreshRequest
		if !decode(w, r, maxBody, &req) {
			return
		}
		if err := d.Refresh(r.Context(), req); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+pathPass, func(w http.ResponseWriter, r *http.Request) {
		var req PassRequest
		if decode(w, r, maxPass, &req) {
			servePass(w, r, d, req)
		}
	})
	mux.HandleFunc("GET "+pathExecutions, func(w http.ResponseWriter, r *http.Request) { serveExecutions(w, r, d) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, pathAgents) { // the mux would tidy up paths that are not ours
			d.Invoke(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func decode(w http.ResponseWriter, r *http.Request, limit int64, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	dec.DisallowUnknownFields() // a newer client must not believe that it was understood
	if err := dec.Decode(into); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(refusal{Error: "the daemon does not understand the request: " + err.Error(), Code: 1})
		return false
	}
	return true
}

// refusal is the body of every answer that is no success.
type refusal struct {
	Error string `json:"error"`
	Code  int    `json:"code"`
}

func asRefusal(err error) refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return refusal{r.Text, r.Code}
	}
	return refusal{err.Error(), 1}
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(asRefusal(err))
}

// servePass answers at once and then line by line. The pass neither ends with
// its client nor waits for one that does not read.
func servePass(w http.ResponseWriter, r *http.Request, d Daemon, req PassRequest) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := &lines{wake: make(chan struct{}, 1)}
	out.send(line{})
	go func() {
		code, err := d.Pass(r.Context(), req, stream{out, "stdout"}, stream{out, "stderr"})
		end := line{ExitCode: &code}
		if err != nil {
			no := asRefusal(err)
			end = line{ExitCode: &no.Code, Error: no.Error}
		}
		out.send(end)
		out.close()
	}()
	out.writeTo(w)
}

// Bounds of what a client may leave unread, and for how long.
const (
	maxUnread  = 4 << 20
	readWithin = 10 * time.Second
)

// lines is the answer of a pass between who makes it and who writes it. What a
// client does not read is dropped: it went away, and the pass does not care.
type lines struct {
	wake chan struct{} // holds one: there is something to write

	mu     sync.Mutex
	queue  []line
	size   int  // of the texts in the queue, in bytes
	gone   bool // nobody reads any more
	closed bool // nothing follows
}

func (l *lines) send(x line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size += len(x.Text); l.size > maxUnread {
		l.gone, l.queue = true, nil
	}
	if !l.gone {
		l.queue = append(l.queue, x)
	}
	l.nudge()
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.nudge()
}

func (l *lines) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take empties the queue; more = something may follow.
func (l *lines) take() (batch []line, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, l.queue, l.size = l.queue, nil, 0
	return batch, !l.closed
}

// writeTo writes until the answer is closed, and now and then a line without
// anything, which says that the pass goes on.
func (l *lines) writeTo(w http.ResponseWriter) {
	enc, ctl := json.NewEncoder(w), http.NewResponseController(w)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for more := true; more; {
		var batch []line
		select {
		case <-l.wake:
			batch, more = l.take()
		case <-tick.C:
			batch = []line{{}}
		}
		if err := write(enc, ctl, batch); err != nil {
			l.mu.Lock()
			l.gone, l.queue = true, nil
			l.mu.Unlock()
		}
	}
}

func write(enc *json.Encoder, ctl *http.ResponseController, batch []line) error {
	if len(batch) == 0 {
		return nil
	}
	if err := ctl.SetWriteDeadline(time.Now().Add(readWithin)); err != nil {
		return err
	}
	for _, x := range batch {
		if err := enc.Encode(x); err != nil {
			return err
		}
	}
	return ctl.Flush()
}

// stream is one of the two outputs of a pass.
type stream struct {
	to   *lines
	name string
}

func (s stream) Write(b []byte) (int, error) {
	s.to.send(line{Stream: s.name, Text: string(b)})
	return len(b), nil
}
