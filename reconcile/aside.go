// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"
)

// aside is something for which a loop stands aside.
type aside struct {
	do   func(context.Context)
	done chan struct{} // closed when do has returned
}

// Alone has do run while the loop neither looks nor has a pass under way, nor
// begins any. It waits for the pass that is under way, and returns when do has
// returned; the loop then looks again. The context of do is the loop's, ctx bounds
// the wait for do to begin. An error says that do was not run.
func (l *Loop) Alone(ctx context.Context, do func(context.Context)) error {
	r := &aside{do: do, done: make(chan struct{})}
	if err := l.inbox.putAside(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		if l.inbox.withdraw(r) {
			return ctx.Err()
		}
	case <-l.ended:
		if l.inbox.withdraw(r) {
			return errLoopEnded
		}
	}
	<-r.done // it has begun
	return nil
}

// standAside begins what the loop is to stand aside for, if it can and there is
// something. To the loop it is a look: none other begins, and its end waits.
func (e *engine) standAside(ctx context.Context) bool {
	if e.looking || e.pass != nil || !e.x.idle() {
		return false
	}
	r := e.loop.inbox.takeAside()
	if r == nil {
		return false
	}
	e.looking = true
	go func() {
		r.do(ctx)
		close(r.done)
		e.looked <- look{aside: true}
	}()
	return true
}

// goOn looks at what has become of things while the loop stood aside.
func (e *engine) goOn() {
	e.looking, e.again = false, true
	e.countOn()
}

func (b *inbox) putAside(r *aside) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errLoopEnded
	}
	b.asides = append(b.asides, r)
	b.nudge()
	return nil
}

func (b *inbox) takeAside() *aside {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asides) == 0 {
		return nil
	}
	r := b.asides[0]
	b.asides = b.asides[1:]
	return r
}

// withdraw reports whether r had not begun; now it never will.
func (b *inbox) withdraw(r *aside) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.asides, r)
	if i < 0 {
		return false
	}
	b.asides = slices.Delete(b.asides, i, i+1)
	return true
}
