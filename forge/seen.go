// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"container/list"
	"sync"
	"time"
)

// seen remembers the newest deliveries for a while.
type seen struct {
	mu    sync.Mutex
	order list.List // of seenEntry, newest first
	byKey map[string]*list.Element
}

type seenEntry struct {
	keys []string
	at   time.Time
}

// add remembers a delivery under its keys. It is false where one of them is
// known already.
func (s *seen) add(keys []string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.order.Back(); e != nil && (now.Sub(e.Value.(seenEntry).at) > memory || s.order.Len() >= maxRemembered); e = s.order.Back() {
		for _, k := range e.Value.(seenEntry).keys {
			delete(s.byKey, k)
		}
		s.order.Remove(e)
	}
	for _, k := range keys {
		if s.byKey[k] != nil {
			return false
		}
	}
	if s.byKey == nil {
		s.byKey = map[string]*list.Element{}
	}
	e := s.order.PushFront(seenEntry{keys, now})
	for _, k := range keys {
		s.byKey[k] = e
	}
	return true
}
