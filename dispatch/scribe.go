// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"slices"
	"sync"
	"time"
)

// gathering is how long the journal waits for more before it is written. What a
// killed dispatcher did within that is not in it, unless a process had to be started
// for it.
const gathering = 10 * time.Millisecond

// scribe writes the journal of executions that nobody waits for, in the order in
// which it is asked to: one goroutine, which ends when there is nothing to write.
type scribe struct {
	mu     sync.Mutex
	due    []func()
	writes bool // the goroutine is there
}

// later has something written. It is called while d.tasks is waited for.
func (d *Dispatcher) later(write func()) {
	s := &d.scribe
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due = append(s.due, write)
	if !s.writes {
		s.writes = true
		d.tasks.Go(s.run)
	}
}

func (s *scribe) run() {
	time.Sleep(gathering)
	for {
		s.mu.Lock()
		due := s.due
		s.due = nil
		s.writes = len(due) > 0
		s.mu.Unlock()
		if len(due) == 0 {
			return
		}
		for _, write := range due {
			write()
		}
	}
}

// beginLater notes an execution whose process does not wait for that. It may have
// ended by then, and is left out where so many others have since that it would not
// be kept: so what waits here is bounded.
func (e *execution) beginLater(b *box) {
	e.d.later(func() {
		if as := e.known(); e.forgotten() {
			close(e.begun)
		} else {
			e.begin(as)
		}
		b.log.bind(e.entry)
	})
}

// known is the execution as it ended, or as it was accepted.
func (e *execution) known() Execution {
	select {
	case <-e.decided:
		return e.info
	default:
		return e.noted
	}
}

// forgotten reports whether an execution has ended and is none of the last ones.
func (e *execution) forgotten() bool {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	return e.over && !slices.ContainsFunc(e.st.recent, func(o Execution) bool { return o.Key == e.info.Key })
}
