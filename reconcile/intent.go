// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"reflect"
	"slices"

	"reconcile/reconcile/plan"
)

// intent is what should be, as far as it is known.
type intent struct {
	loaded  Loaded
	loadErr error // nothing was loaded
	// desired is what is acted on, nil for nothing: what was loaded, or, while
	// that is not known, what was known last, of which nothing is pruned.
	desired *plan.Desired
}

// newIntent is what follows from what Load returned; good is what was known
// last, nil for nothing.
func newIntent(l Loaded, err error, good *plan.Desired) intent {
	in := intent{loaded: l}
	if err != nil {
		in.loadErr = fmt.Errorf("load workspace: %w", err)
	}
	switch {
	case in.known():
		in.desired = &in.loaded.Desired
	case good != nil:
		in.desired = in.supervised(*good)
	}
	return in
}

// known reports whether what should be is known.
func (in intent) known() bool { return in.loadErr == nil && !in.loaded.Fatal }

func (in intent) supervised(good plan.Desired) *plan.Desired {
	text := "the workspace has errors, and what it said before goes on"
	if in.loadErr != nil {
		text = "the workspace cannot be read, and what it said before goes on"
	}
	good.Partial = append(slices.Clone(good.Partial), plan.Reason{Code: plan.CodePartial, Text: text, Origin: good.Source})
	return &good
}

// sameDesired reports whether the same should be. Why part of it is unknown
// counts for what is pruned alone, see [bases].
func sameDesired(a, b plan.Desired) bool {
	a.Partial, b.Partial = nil, nil
	return reflect.DeepEqual(a, b)
}
