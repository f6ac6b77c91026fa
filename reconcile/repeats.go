// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

const (
	// repeatWithin is how soon after a replacement the next one for the same
	// fields is a repetition of it.
	repeatWithin = 5 * time.Second
	// repeatFree is how many repetitions in a row are done at once.
	repeatFree = 4
	// repeatMost bounds the wait before each later one.
	repeatMost = time.Minute
)

// repeats are the resources that passes replace again and again because something
// else is asked for each time, such as of an agent that writes into the folder
// that it is made from: to the loop each is an edit of the workspace. They are
// done later and later; see flaps for what the same desired state brings about.
type repeats map[plan.ID]*repeat

// repeat is what was done last to one resource.
type repeat struct {
	change plan.Change
	ended  time.Time // zero: it is under way
	again  bool      // it is to be done once more
	count  int       // in a row
	until  time.Time // when the next is done; zero = at once
}

// begin books what a pass is to do.
func (rs repeats) begin(changes []plan.Change) {
	for _, c := range changes {
		if len(c.ReplacePaths) == 0 || c.ID.Kind == plan.TaskAgent { // which is made of no folder
			continue
		}
		if rs[c.ID] == nil {
			rs[c.ID] = &repeat{}
		}
		r := rs[c.ID]
		r.change, r.ended, r.again = c, time.Time{}, false
	}
}

// end books how a pass ended. What failed is no repetition.
func (rs repeats) end(o Outcome, now time.Time) {
	done := doneIn(o)
	maps.DeleteFunc(rs, func(id plan.ID, r *repeat) bool { return r.ended.IsZero() && !done[id] })
	for _, r := range rs {
		if r.ended.IsZero() {
			r.ended = now
		}
	}
}

// see counts what p, a plan for d, is to do again, and returns what of it is to
// wait.
func (rs repeats) see(p plan.Plan, d plan.Desired, now time.Time) []plan.Backoff {
	wanted := map[plan.ID]plan.Change{}
	for _, c := range p.Changes {
		wanted[c.ID] = c
	}
	var waits []plan.Backoff
	for id, r := range rs {
		c, ok := wanted[id]
		switch {
		case !ok && !r.late(now):
			r.again = false
			continue // it may still come
		case !ok, !slices.Equal(c.ReplacePaths, r.change.ReplacePaths), !r.again && r.late(now):
			delete(rs, id)
			continue
		case !r.again:
			r.again = true
			if r.count++; r.count > repeatFree {
				r.until = now.Add(min(backoffDelay(r.count-repeatFree), repeatMost))
			}
		}
		if r.until.After(now) {
			waits = append(waits, plan.Backoff{
				ID: id, Digest: asked(id, d, nil).digest, Until: r.until,
				Detail: "it is asked for otherwise each time it is made, in " + strings.Join(c.ReplacePaths, ", "),
			})
		}
	}
	slices.SortFunc(waits, func(a, b plan.Backoff) int { return a.ID.Compare(b.ID) })
	return waits
}

// late reports whether the last one ended too long ago for one that begins now to
// be a repetition.
func (r *repeat) late(now time.Time) bool {
	return !r.ended.IsZero() && now.After(r.ended.Add(repeatWithin))
}

// mergeUnsettled adds those of other resources.
func mergeUnsettled(list, more []Unsettled) []Unsettled {
	for _, u := range more {
		if !slices.ContainsFunc(list, func(have Unsettled) bool { return have.ID == u.ID }) {
			list = append(list, u)
		}
	}
	return list
}

// unsettled returns those that are to be done again and again, sorted.
func (rs repeats) unsettled() []Unsettled {
	var out []Unsettled
	for id, r := range rs {
		if r.again && r.count > repeatFree {
			out = append(out, Unsettled{ID: id, Actions: r.change.Actions, Fields: r.change.ReplacePaths, Reasons: r.change.Reasons})
		}
	}
	slices.SortFunc(out, func(a, b Unsettled) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return out
}
