// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"reconcile/reconcile/plan"
)

// PassRun is a run that was started in a pass, or that a pass found ended.
// Field names are part of the JSON output.
type PassRun struct {
	ID       plan.ID       `json:"id"`
	Run      string        `json:"run"` // its key
	Name     string        `json:"name"`
	Phase    plan.RunPhase `json:"phase"` // Running, Completed or Failed
	Reason   string        `json:"reason,omitempty"`
	ExitCode *int          `json:"exit_code,omitempty"`
}
