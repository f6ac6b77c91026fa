// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// maxBody bounds a request: it is a few flags.
const maxBody = 1 << 20

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
		if !decode(w, r, &req) {
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
		if decode(w, r, &req) {
			servePass(w, r, d, req)
		}
	})
	return mux
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
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

// servePass answers at once and then line by line.
func servePass(w http.ResponseWriter, r *http.Request, d Daemon, req PassRequest) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := &lines{enc: json.NewEncoder(w), flush: http.NewResponseController(w).Flush}
	out.send(line{})
	stop := out.keepAlive(keepAlive)
	code, err := d.Pass(r.Context(), req, stream{out, "stdout"}, stream{out, "stderr"})
	stop()
	end := line{ExitCode: &code}
	if err != nil {
		no := asRefusal(err)
		end = line{ExitCode: &no.Code, Error: no.Error}
	}
	out.send(end)
}

// lines writes the answer of a pass. What cannot be written is dropped: the
// client went away, and the pass does not care.
type lines struct {
	mu    sync.Mutex
	enc   *json.Encoder
	flush func() error
	gone  bool
}

func (l *lines) send(x line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	err := l.enc.Encode(x)
	l.gone = errors.Join(err, l.flush()) != nil
}

// keepAlive sends empty lines until the returned function is called.
func (l *lines) keepAlive(every time.Duration) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				l.send(line{})
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
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
