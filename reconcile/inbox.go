// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"slices"
	"sync"
)

// errLoopEnded answers those who wait for a pass of a loop that has ended.
var errLoopEnded = errors.New("the reconciler is shutting down")

// inbox takes what other goroutines ask of a loop.
type inbox struct {
	mu      sync.Mutex
	causes  []Cause // each once, in the order they came
	waiters []waiter
	asides  []*aside
	closed  bool
	wake    chan struct{} // holds a token while there is something to take
}

// waiter is told the record of one pass. It has room for it.
type waiter chan PassRecord

// put asks for a look, on behalf of w if it is not nil.
func (b *inbox) put(c Cause, w waiter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errLoopEnded
	}
	b.causes = addCauses(b.causes, c)
	if w != nil {
		b.waiters = append(b.waiters, w)
	}
	b.nudge()
	return nil
}

func (b *inbox) nudge() {
	select {
	case b.wake <- struct{}{}:
	default: // there is a token already
	}
}

// take empties the inbox.
func (b *inbox) take() ([]Cause, []waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	causes, waiters := b.causes, b.waiters
	b.causes, b.waiters = nil, nil
	return causes, waiters
}

// close refuses what comes from now on, and returns who waits still.
func (b *inbox) close() []waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	waiters := b.waiters
	b.causes, b.waiters = nil, nil
	return waiters
}

// addCauses appends the causes that are not in the list.
func addCauses(list []Cause, more ...Cause) []Cause {
	for _, c := range more {
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}
