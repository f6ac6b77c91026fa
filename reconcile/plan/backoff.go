// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
)

// compare puts the backoff that holds longest last.
func (b Backoff) compare(other Backoff) int {
	return cmp.Or(b.Until.Compare(other.Until), cmp.Compare(b.Digest, other.Digest), cmp.Compare(b.Detail, other.Detail))
}

// backedOff returns the hold on a resource of which a step failed lately, or
// nil. digest is that of what is asked for now.
func (v *view) backedOff(id ID, digest, origin string) *hold {
	b, ok := v.backoff[id]
	if !ok || b.Digest != digest || !b.Until.After(v.opts.Now) {
		return nil
	}
	text := fmt.Sprintf("next try at %s: %s", v.clock(b.Until), cmp.Or(b.Detail, "it failed"))
	return &hold{reasons: []Reason{{CodeBackoff, text, origin}}, until: b.Until}
}

// waitBackedOff returns the hold on d, which needs on as far as n says, while
// waiting for that failed lately, or nil.
func (v *view) waitBackedOff(d *decision, n Need, on *decision) *hold {
	if !d.starts() || n.Until == UntilExists || !on.runs() || n.Until == UntilFinished && on.succeeded() {
		return nil
	}
	return v.backedOff(n.On, on.digest, n.Origin)
}
