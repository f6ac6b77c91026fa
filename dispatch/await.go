// SPDX-License-Identifier: Apache-2.0

package dispatch

import "slices"

// claim is an execution that waits for a slot which is being made: that is there
// before a container of its own could be, and nothing is made twice.
type claim struct {
	slot chan *box // gets the slot once; nil = there will be none
}

// await returns a slot that is being made, once it is ready; nil = there is none for
// this execution, which has to do without.
func (e *execution) await() *box {
	c := e.claim()
	if c == nil {
		return nil
	}
	select {
	case b := <-c.slot:
		return b
	case <-e.ctx.Done():
	}
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	p := &e.st.pool
	p.claims = slices.DeleteFunc(p.claims, func(o *claim) bool { return o == c })
	select {
	case b := <-c.slot:
		return b // whoever has a slot ends it
	default:
		return nil
	}
}

// claim notes that the execution waits, if a slot is being made that nobody waits for.
func (e *execution) claim() *claim {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	p := &e.st.pool
	if p.stop == nil || e.kind != p.kind || p.trouble.fails > 0 || len(p.claims) >= p.making {
		return nil
	}
	c := &claim{slot: make(chan *box, 1)}
	p.claims = append(p.claims, c)
	return c
}

// hand gives a slot to who has waited longest for one. False: nobody waits. The mutex
// is held.
func (p *pool) hand(b *box) bool {
	if len(p.claims) == 0 {
		return false
	}
	p.claims[0].slot <- b
	p.claims = slices.Delete(p.claims, 0, 1)
	return true
}

// refuse has all but so many of those who wait do without. The mutex is held.
func (p *pool) refuse(but int) {
	for len(p.claims) > but {
		last := len(p.claims) - 1
		p.claims[last].slot <- nil
		p.claims = slices.Delete(p.claims, last, last+1)
	}
}
