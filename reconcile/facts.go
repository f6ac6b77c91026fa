// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"

	"reconcile/reconcile/plan"
)

// Facts are what a loop knows and nobody else can find out: what helpers report to
// it, and what failed under it. Field names are part of the JSON form.
type Facts struct {
	Health  map[string]plan.Health `json:"health,omitempty"` // by the handle of the object
	Backoff []plan.Backoff         `json:"backoff,omitempty"`
}

// healthOf is what probes say of the objects.
func healthOf(objects []plan.Object) map[string]plan.Health {
	var out map[string]plan.Health
	for _, obj := range objects {
		if obj.Health == nil {
			continue
		}
		if out == nil {
			out = map[string]plan.Health{}
		}
		out[obj.Handle] = *obj.Health
	}
	return out
}

// WithFacts has r observe what f says as well.
func WithFacts(r Reader, f Facts) Reader { return factReader{r, f} }

type factReader struct {
	reader Reader
	facts  Facts
}

// Observe observes.
func (r factReader) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	o, err := r.reader.Observe(ctx, d)
	if err != nil {
		return o, err
	}
	o.Objects = slices.Clone(o.Objects)
	for i, obj := range o.Objects {
		if h, ok := r.facts.Health[obj.Handle]; ok && obj.Health == nil && obj.State == plan.StateRunning {
			o.Objects[i].Health = &h
		}
	}
	o.Backoff = slices.Concat(o.Backoff, r.facts.Backoff)
	return o, nil
}
