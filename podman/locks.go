// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"sync"
)

// locks are mutexes by name, for waiting that a context can end. The zero value
// is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	free chan struct{} // holds one token while nobody has the lock
	refs int
}

// lock waits for the name and returns what gives it back.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	k := l.held[name]
	if k == nil {
		k = &lock{free: make(chan struct{}, 1)}
		k.free <- struct{}{}
		l.held[name] = k
	}
	k.refs++
	l.mu.Unlock()

	select {
	case <-k.free:
		return func() { l.unlock(name, k) }, nil
	case <-ctx.Done():
		l.drop(name, k)
		return nil, context.Cause(ctx)
	}
}

// try is lock without waiting: it reports whether nobody else had the name.
func (l *locks) try(name string) (unlock func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[name] != nil {
		return nil, false
	}
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	k := &lock{free: make(chan struct{}, 1), refs: 1}
	l.held[name] = k
	return func() { l.unlock(name, k) }, true
}

func (l *locks) unlock(name string, k *lock) {
	k.free <- struct{}{}
	l.drop(name, k)
}

func (l *locks) drop(name string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.refs--; k.refs == 0 {
		delete(l.held, name)
	}
}
