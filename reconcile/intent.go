// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"fmt"
	"maps"
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
// counts for what is pruned alone, see [bases]; of the contents of files the specs
// have the digests.
func sameDesired(a, b plan.Desired) bool {
	if !maps.EqualFunc(a.Sealed, b.Sealed, sameSealed) {
		return false
	}
	a.Partial, b.Partial = nil, nil
	a.Contents, b.Contents = nil, nil
	a.Sealed, b.Sealed = nil, nil
	return reflect.DeepEqual(a, b)
}

// sameSealed reports whether two values are sealed alike, which says that they are
// the same, and not that they differ.
func sameSealed(a, b plan.Sealed) bool {
	return a.Format == b.Format && a.File == b.File && a.Namespace == b.Namespace && a.Name == b.Name &&
		a.Key == b.Key && bytes.Equal(a.Data, b.Data)
}
