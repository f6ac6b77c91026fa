// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"reconcile/reconcile/plan"
)

// Memory is what earlier passes left, to be read. A [Store] is one.
type Memory interface {
	// Load returns what could be read beside its error.
	Load() (plan.Records, error)
	// Specs returns the specs with the digests, as far as they are known.
	Specs(digests []string) map[string]json.RawMessage
	// Converged returns the IDs that existed after the last pass.
	Converged() []plan.ID
}

// Observe returns what r sees, together with what m remembers, save for the
// specs, of which [DryRun] and [Pass] load what they need. Records that cannot
// be read make the observation incomplete; it is an error only when nothing
// could be observed at all.
func Observe(ctx context.Context, r Reader, m Memory, d plan.Desired) (plan.Observed, error) {
	o, err := r.Observe(ctx, d)
	if err != nil {
		return plan.Observed{}, fmt.Errorf("observe workspace %s: %w", d.Workspace, err)
	}
	o.Records, err = m.Load()
	for _, err := range split(err) {
		o.Incomplete = append(o.Incomplete, plan.Reason{Code: plan.CodeUnknown, Text: err.Error(), Origin: d.Source})
	}
	o.Converged = m.Converged()
	return o, nil
}

// DryRun plans and does nothing else: all it has of the runtime is a Reader,
// and all it has of the past is read.
func DryRun(ctx context.Context, r Reader, m Memory, d plan.Desired, o plan.Options) (plan.Plan, plan.Observed, error) {
	observed, err := Observe(ctx, r, m, d)
	if err != nil {
		return plan.Plan{}, plan.Observed{}, err
	}
	p, observed := decide(m, d, observed, o)
	return p, observed, nil
}

// decide plans, and plans again with the specs of what changes once it is
// known that anything does: a pass with nothing to do reads none.
func decide(m Memory, d plan.Desired, o plan.Observed, opts plan.Options) (plan.Plan, plan.Observed) {
	p := plan.New(d, o, opts)
	if len(p.Changes)+len(p.Held) == 0 {
		return p, o
	}
	changed := map[string]bool{}
	for _, c := range slices.Concat(p.Changes, p.Held) {
		changed[c.ID.String()] = true
	}
	var digests []string
	for _, obj := range o.Objects {
		if changed[obj.ID.String()] {
			digests = append(digests, obj.Digest)
		}
	}
	for id, digest := range ranLast(o.Records) {
		if changed[id.String()] {
			digests = append(digests, digest)
		}
	}
	if len(digests) == 0 {
		return p, o
	}
	o.Specs = m.Specs(digests)
	return plan.New(d, o, opts), o
}

// split returns the errors that were joined into err.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
