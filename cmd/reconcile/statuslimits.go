// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// printLimits says what a container may use, and which of that nobody enforces.
func printLimits(w io.Writer, limits []reconcile.LimitStatus) {
	var enforced []string
	for _, l := range limits {
		if l.Enforced {
			enforced = append(enforced, limitText(l))
		}
	}
	if len(enforced) > 0 {
		fmt.Fprintf(w, "%-10s %s\n", "limits", strings.Join(enforced, ", "))
	}
	for _, l := range limits {
		if !l.Enforced {
			fmt.Fprintf(w, "%-10s %s, not enforced: %s\n", "limits", limitText(l), escape(l.Reason))
		}
	}
}

func limitText(l reconcile.LimitStatus) string {
	if l.Limit == plan.LimitMemory {
		return l.Value + " of memory"
	}
	return l.Value
}

// limitWarnings are about limits that somebody asks for and this host cannot
// enforce.
func limitWarnings(d plan.Desired, o plan.Observed) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, r := range d.Resources {
		if r.Spec.Container == nil {
			continue
		}
		for _, l := range r.Spec.Container.Limits() {
			why, vain := o.Unenforced[l]
			place, asked := r.Places[l.Place()]
			if !vain || !asked {
				continue
			}
			ds = append(ds, schema.Diagnostic{
				Severity: schema.Warning, Summary: "limit is not enforced", Pos: schema.ParsePos(place),
				Detail: fmt.Sprintf("%s: %s", r.ID, why),
				Hint:   "its containers run without it; `podman info` says what the host can limit",
			})
		}
	}
	return ds
}
