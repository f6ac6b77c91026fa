// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"net/http"
	"time"
)

// stall is how long a client may leave its answer unread.
const stall = 10 * time.Minute

// patient is the answer to a client that reads it when it likes, as long as it
// reads.
type patient struct {
	http.ResponseWriter
	ctl     *http.ResponseController
	cutting context.Context
}

// patient has w, whose server has deadlines, wait for a client for as long as this
// dispatcher does. It is released when the answer is there.
func (e *execution) patient(w http.ResponseWriter) (_ http.ResponseWriter, release func() bool) {
	ctl := http.NewResponseController(w)
	left := time.Second // for who reads, to be told why
	if e.live {
		left = grace + killGrace
	}
	release = context.AfterFunc(e.d.cutting, func() { _ = ctl.SetWriteDeadline(time.Now().Add(left)) })
	return &patient{w, ctl, e.d.cutting}, release
}

// Unwrap is for [http.ResponseController].
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements [http.ResponseWriter].
func (p *patient) Write(b []byte) (int, error) {
	if p.cutting.Err() == nil {
		_ = p.ctl.SetWriteDeadline(time.Now().Add(stall))
	}
	return p.ResponseWriter.Write(b)
}
