// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// How slots are made.
const (
	filling  = 2               // at once, for one agent
	fillTime = 2 * time.Minute // for one
	// requestsFirst is from when a slot is taken to when another is made, so that the
	// request has what it needs of the machine.
	requestsFirst = time.Millisecond
)

// How the container of an execution was had.
const (
	warmInitialised = "initialised"
	warmStarted     = "started"
)

// pool are the slots of an agent: containers that no execution has yet. Its
// Dispatcher's mutex guards it.
type pool struct {
	slots   []*slot // the oldest first
	making  int
	claims  []*claim  // the oldest first, and never more than are being made
	used    time.Time // when a request came last, or there was something new to make
	kind    string    // of the slots that are to be
	trouble trouble

	wake chan struct{}      // something has changed
	stop context.CancelFunc // of its keeper; nil = none
}

// trouble is why there are too few slots. Its zero value: there is none.
type trouble struct {
	fails   int       // in a row
	again   time.Time // not before that
	problem string    // the last
	dying   bool      // processes end before they are needed: that one was started says little
}

// slot is one container that is ready. It is attached.
type slot struct {
	*box
	kind string
	lost chan struct{} // closed once nothing is heard of it any more
	why  error         // once lost
}

var errEnded = errors.New("the process of a slot ended before it was needed")

// newSlot watches a container, and nudges its pool once nothing is heard of it.
func (d *Dispatcher) newSlot(b *box, kind string, p *pool) *slot {
	s := &slot{box: b, kind: kind, lost: make(chan struct{})}
	d.tasks.Go(func() {
		s.why = errEnded
		if err := b.attached.Wait(); err != nil {
			s.why = fmt.Errorf("a slot was not heard any more: %w", err)
		}
		close(s.lost)
		p.nudge()
	})
	return s
}

func (s *slot) isLost() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

func newPool() pool { return pool{wake: make(chan struct{}, 1)} }

// use notes a request.
func (p *pool) use() {
	p.used = time.Now()
	p.nudge()
}

func (p *pool) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// kindOf tells slots of an agent apart that cannot stand in for each other.
func kindOf(a plan.Agent) string {
	r := a.Revision
	b, _ := json.Marshal([]any{r.Number, r.Digest, r.Inputs, a.Mode, a.Warm.Started, a.Restarted}) // it is text, numbers and a time
	return string(b)
}

// SlotStatus is what there is of the slots of an agent.
type SlotStatus struct {
	Want    int    `json:"want"`              // how many are kept
	Ready   int    `json:"ready"`             // how many are there
	Started bool   `json:"started"`           // their processes run
	Problem string `json:"problem,omitempty"` // why there are none, for people; "" = nothing failed
}

func (st *agentState) slots() SlotStatus {
	p, warm := &st.pool, st.agent.Warm
	s := SlotStatus{Want: warm.Size, Started: warm.Size > 0 && warm.Started, Problem: p.trouble.problem}
	for _, one := range p.slots {
		if one.kind == st.kind && !one.isLost() {
			s.Ready++
		}
	}
	return s
}

// take returns a slot for an execution, which has it for itself; nil = there is
// none.
func (e *execution) take() *box {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	p := &e.st.pool
	for i, s := range p.slots {
		if s.kind != e.kind || s.isLost() {
			continue
		}
		p.slots = slices.Delete(p.slots, i, i+1)
		p.trouble = trouble{} // such slots are of use
		p.nudge()
		return s.box
	}
	return nil
}

// settlePool starts and ends the keeper of an agent's slots. The mutex is held.
func (d *Dispatcher) settlePool(st *agentState) {
	p := &st.pool
	if p.kind != st.kind {
		p.kind, p.used, p.trouble = st.kind, time.Now(), trouble{}
		p.refuse(0) // what is being made is of no use to them
	}
	wanted := st.present && st.agent.Warm.Size > 0
	if !wanted && p.stop != nil {
		p.stop()
	}
	if wanted && p.stop == nil {
		ctx, cancel := context.WithCancel(d.loops)
		p.stop = cancel
		d.tasks.Go(func() { d.keep(ctx, st) })
	}
	p.nudge()
}

// keep has the slots of an agent made and dropped until ctx ends. None is left then.
func (d *Dispatcher) keep(ctx context.Context, st *agentState) {
	for ctx.Err() == nil {
		drop, fill, next := d.due(st, time.Now())
		for _, s := range drop {
			d.tasks.Go(s.drop)
		}
		for range fill {
			d.tasks.Go(func() { d.fill(ctx, st) })
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-st.pool.wake:
			time.Sleep(requestsFirst)
		case <-timer:
		case <-ctx.Done():
		}
	}
	d.mu.Lock()
	left := st.pool.slots
	st.pool.slots, st.pool.stop, st.pool.trouble = nil, nil, trouble{}
	st.pool.refuse(0)
	if d.draining || d.loops.Err() != nil {
		st.pool.stop = func() {} // there is no other
	} else {
		d.settlePool(st) // it may have been wanted again meanwhile
	}
	d.drop(st)
	d.mu.Unlock()
	for _, s := range left {
		d.tasks.Go(s.drop)
	}
}

// due says which slots are to go, how many are to be made, and when to look again.
func (d *Dispatcher) due(st *agentState, now time.Time) (drop []*slot, fill int, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, a := &st.pool, st.agent
	want := a.Warm.Size
	unneeded := p.used.Add(a.Warm.TTL)
	if a.Revision.Number == 0 || a.Stopped || !st.present || !now.Before(unneeded) {
		want = 0
	} else {
		next = unneeded
	}
	var keep []*slot
	for _, s := range p.slots {
		lost := s.isLost()
		if lost && s.kind == p.kind {
			p.trouble.add(now, s.why)
		}
		if s.kind != p.kind || lost || len(keep) >= want {
			drop = append(drop, s)
			continue
		}
		keep = append(keep, s)
	}
	p.slots = keep
	if now.Before(p.trouble.again) {
		if want > len(keep) && (next.IsZero() || p.trouble.again.Before(next)) {
			next = p.trouble.again
		}
		return drop, 0, next
	}
	fill = max(0, min(want-len(keep)-(p.making-len(p.claims)), filling-p.making))
	p.making += fill
	return drop, fill, next
}

// add has the next attempt wait: 1, 2, 4 … 60 seconds.
func (t *trouble) add(now time.Time, err error) {
	t.problem, t.dying = err.Error(), errors.Is(err, errEnded)
	if now.Before(t.again) {
		return // of the same attempt, or of what was there before
	}
	t.again = now.Add(min(time.Second<<min(t.fails, 6), time.Minute))
	t.fails++
}

// fill makes one slot.
func (d *Dispatcher) fill(ctx context.Context, st *agentState) {
	d.mu.Lock()
	a, kind := st.agent, st.kind
	d.mu.Unlock()
	making, cancel := context.WithTimeout(ctx, fillTime)
	defer cancel()
	b, err := d.ready(making, a)
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &st.pool
	p.making--
	p.nudge()
	if err != nil {
		p.refuse(0)
	}
	defer func() { p.refuse(p.making) }()
	switch {
	case err != nil && ctx.Err() == nil && kind == p.kind:
		p.trouble.add(time.Now(), fmt.Errorf("make a slot: %w", err))
		d.opt.Log.Warn("a slot was not made", "agent", a.ID, "err", err)
	case err != nil: // nobody wants it any more
	case ctx.Err() != nil || kind != p.kind:
		d.tasks.Go(b.drop)
	default:
		if b.gone() || !p.hand(b) {
			p.slots = append(p.slots, d.newSlot(b, kind, p))
		}
		if !p.trouble.dying {
			p.trouble = trouble{}
		}
	}
}

// ready makes a container that waits for an execution.
func (d *Dispatcher) ready(ctx context.Context, a plan.Agent) (*box, error) {
	b, err := d.make(ctx, a, plan.RoleSlot, "")
	if err != nil {
		return nil, err
	}
	if err = b.attach(ctx); err == nil && a.Warm.Started {
		err = b.start(ctx)
	}
	if err != nil {
		b.drop()
		return nil, err
	}
	return b, nil
}
