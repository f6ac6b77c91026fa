// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// failedFor is how long a failure is remembered: somebody may have mended it.
	failedFor = 10 * time.Second
	// unusedFor is how long a value is remembered that nobody asks for.
	unusedFor = time.Hour
)

// memo remembers what was opened, by the digest of the ciphertext.
type memo struct {
	mu      *sync.Mutex
	entries map[[sha256.Size]byte]*entry
}

// entry is what became of one ciphertext.
type entry struct {
	turn chan struct{} // holds the right to read and write the rest of it
	done bool
	docs documents
	err  error
	at   time.Time // of err

	used time.Time // guarded by the memo
}

func newMemo() memo {
	return memo{mu: new(sync.Mutex), entries: map[[sha256.Size]byte]*entry{}}
}

// open returns what do returned for the digest, now or before. At any time at most
// one do runs for it.
func (m memo) open(ctx context.Context, digest [sha256.Size]byte, do func(context.Context) (documents, error)) (documents, error) {
	e := m.entry(digest)
	select {
	case <-e.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { e.turn <- struct{}{} }()
	if e.done && (e.err == nil || time.Since(e.at) < failedFor) {
		return e.docs, e.err
	}
	docs, err := do(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, err // which says nothing about the ciphertext
	}
	e.done, e.docs, e.err, e.at = true, docs, err, time.Now()
	return docs, err
}

func (m memo) entry(digest [sha256.Size]byte) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	e, ok := m.entries[digest]
	if !ok {
		for d, old := range m.entries {
			if now.Sub(old.used) > unusedFor {
				delete(m.entries, d)
			}
		}
		e = &entry{turn: make(chan struct{}, 1)}
		e.turn <- struct{}{}
		m.entries[digest] = e
	}
	e.used = now
	return e
}
