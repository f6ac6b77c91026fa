// SPDX-License-Identifier: Apache-2.0

package reconcile

import "reconcile/reconcile/plan"

// LimitStatus is one limit on what a container may use. Field names are part of the
// JSON output.
type LimitStatus struct {
	Limit    plan.Limit `json:"limit"`
	Value    string     `json:"value"` // as in "64 MiB"
	Enforced bool       `json:"enforced"`
	Reason   string     `json:"reason,omitempty"` // why it is not
}

// limitsOf are the limits of a resource that should be.
func limitsOf(r plan.Resource, unenforced map[plan.Limit]string) []LimitStatus {
	if r.Spec.Container == nil {
		return nil
	}
	var out []LimitStatus
	for _, l := range r.Spec.Container.Limits() {
		why, vain := unenforced[l]
		out = append(out, LimitStatus{Limit: l, Value: r.Spec.Container.LimitText(l), Enforced: !vain, Reason: why})
	}
	return out
}
