// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reconcile/reconcile/plan"
	"reconcile/render"
)

// origin is the place at the end of a line.
func origin(s style, at string) string {
	if at == "" {
		return ""
	}
	return "  " + s.dim(escape(at))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return escape(s)
}

// planCounts says what a plan does, in numbers.
func planCounts(p plan.Plan) string { return render.Counts(p) }
