// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// What failed is tried again after backoffFirst, doubled with each failure up
// to backoffMost. It is forgotten when nothing has failed for backoffForget.
const (
	backoffFirst  = time.Second
	backoffMost   = 5 * time.Minute
	backoffForget = 2 * backoffMost
)

// backoffDelay is how long the try after n failures in a row waits.
func backoffDelay(n int) time.Duration {
	d := backoffFirst
	for range n - 1 {
		d *= 2
		if d >= backoffMost {
			d = backoffMost
			break
		}
	}
	return jitter(d)
}

// jitter is d, give or take a tenth, so that what began together does not go
// on together.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*2-1)*float64(d)/10)
}

// failures are the resources of which a step failed, by ID in its text form.
type failures map[string]*failure

// failure is what is known of the failing steps of one resource, and what was
// asked for then: when anything else is, they count for nothing.
type failure struct {
	id     plan.ID
	asked  request
	count  int // in a row
	until  time.Time
	at     time.Time // of the last
	detail string
	image  bool // no image can be had, see plan.ImageError
	// hooked is when a hook on the host failed, which may have changed what the
	// resource is made of. What the next look finds of that is not asked for by
	// anybody. Zero = no such hook failed, or that look has been.
	hooked time.Time
}

// add books a step that failed. Whatever else fails before the next try is of
// the same failure.
func (fs failures) add(s plan.Step, err error, d plan.Desired, inputs map[plan.Input]plan.Fact, now time.Time) {
	key := s.Target.String()
	f := fs[key]
	if f != nil && now.Before(f.until) {
		return
	}
	if f == nil {
		f = &failure{}
		fs[key] = f
	}
	f.id, f.at, f.detail, f.image = s.Target, now, err.Error(), isImageError(err)
	f.asked = asked(s.Target, d, inputs)
	if s.Op == plan.OpHost {
		f.hooked = now
	}
	f.count++
	f.until = now.Add(backoffDelay(f.count))
}

func isImageError(err error) bool {
	var of *plan.ImageError
	return errors.As(err, &of)
}

// request is what is wanted of one resource.
type request struct {
	digest string
	want   plan.Want
	hooks  []string              // their digests
	inputs map[plan.Input]string // those that are known
}

// asked is what d wants of a resource.
func asked(id plan.ID, d plan.Desired, inputs map[plan.Input]plan.Fact) request {
	i := slices.IndexFunc(d.Resources, func(r plan.Resource) bool { return r.ID.Compare(id) == 0 })
	if i < 0 || d.Destroy {
		return request{}
	}
	r := d.Resources[i]
	q := request{digest: r.Spec.Digest(), want: r.Want, inputs: map[plan.Input]string{}}
	for _, h := range r.Hooks {
		q.hooks = append(q.hooks, h.Digest)
	}
	for _, in := range r.Spec.Inputs() {
		if f := inputs[in]; f.State == plan.FactKnown {
			q.inputs[in] = f.Value
		}
	}
	return q
}

// same reports whether now asks for what q asked for; an input that was not known
// once is no difference.
func (q request) same(now request) bool {
	if now.digest != q.digest || now.want != q.want || !slices.Equal(now.hooks, q.hooks) {
		return false
	}
	for in, value := range now.inputs {
		if was, ok := q.inputs[in]; ok && was != value {
			return false
		}
	}
	return true
}

// forget forgets what is old, and the failures of what is asked for otherwise in
// d, which a look found that began at a time. Those of which a hook is under way
// on the host, which may be what changed it, stay.
func (fs failures) forget(d plan.Desired, inputs map[plan.Input]plan.Fact, hooked map[plan.ID]bool, began, now time.Time) {
	maps.DeleteFunc(fs, func(_ string, f *failure) bool {
		if hooked[f.id] {
			return false
		}
		q := asked(f.id, d, inputs)
		if !f.hooked.IsZero() && q.digest != "" && q.want == f.asked.want {
			f.asked = q
			if !began.Before(f.hooked) {
				f.hooked = time.Time{}
			}
		}
		return now.Sub(f.until) > backoffForget || !f.asked.same(q)
	})
}

// facts is what the planner is told, sorted by ID.
func (fs failures) facts() []plan.Backoff {
	var out []plan.Backoff
	for _, f := range fs {
		out = append(out, plan.Backoff{ID: f.id, Digest: f.asked.digest, At: f.at, Until: f.until, Detail: oneLine(f.detail), Image: f.image})
	}
	slices.SortFunc(out, func(a, b plan.Backoff) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return out
}

// next is when the first of them may be tried again after now; zero = never.
func (fs failures) next(now time.Time) time.Time {
	var next time.Time
	for _, f := range fs {
		if f.until.After(now) {
			next = earlier(next, f.until)
		}
	}
	return next
}

// earlier returns the first of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
