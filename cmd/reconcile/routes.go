// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync"
	"sync/atomic"
	"time"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// When to ask again for what is not ready: soon for what is on its way, later for
// what rests.
const (
	retrySoon  = time.Second
	retryLater = 10 * time.Second
)

// routes are the ways to instances: what the loop saw last, less what was told to
// stop since. They are worked out when somebody asks.
type routes struct {
	router   atomic.Pointer[dispatch.Router] // that is told what has ended; nil = none
	timeouts *routeTimeouts

	mu       sync.Mutex
	rt       *daemonRuntime // nil until there is a loop
	known    bool           // there was a look
	desired  plan.Desired
	observed plan.Observed
	plan     plan.Plan
	// leaving are containers that were told to stop, by handle, whether they have;
	// seen are those of them that an observation has shown since.
	leaving map[string]bool
	seen    []string

	made dispatch.Table     // of what is above; nil = to be made
	ids  map[string]plan.ID // of made, by handle
}

// open says where containers are. It comes before the first look.
func (s *routes) open(rt *daemonRuntime) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rt, s.leaving = rt, map[string]bool{}
}

// leave notes that a container is being stopped, or that this has been done.
func (s *routes) leave(handle string, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving[handle], s.made = done, nil
}

// left lists what has been stopped: an observation that begins now shows what
// became of it.
func (s *routes) left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for handle, done := range s.leaving {
		if done {
			out = append(out, handle)
		}
	}
	return out
}

// see notes that what was stopped is in what the next look tells of.
func (s *routes) see(handles []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, handles...)
}
