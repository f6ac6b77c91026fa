// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"time"

	"reconcile/reconcile/plan"
)

// The words of a resource that is run. Those of a run that has begun, or is to,
// are the phases, see [plan.RunPhase].
const (
	WordScheduled Word = "Scheduled" // a CronTask that has not been run yet
	WordSuspended Word = "Suspended" // the same, and it is not going to be
)

// RunStatus is one run. Field names are part of the JSON output.
type RunStatus struct {
	Run         string        `json:"run"` // its key
	Name        string        `json:"name"`
	Phase       plan.RunPhase `json:"phase"`
	PhaseReason string        `json:"reason,omitempty"`
	ExitCode    *int          `json:"exit_code,omitempty"`
	Queued      time.Time     `json:"queued,omitzero"` // since when, while it is
	Started     time.Time     `json:"started,omitzero"`
	Finished    time.Time     `json:"finished,omitzero"`

	Container string            `json:"container,omitempty"` // its handle
	Actual    string            `json:"actual,omitempty"`    // a plan.State; "" = its container is gone
	Digest    string            `json:"digest,omitempty"`    // of the spec it was made from
	Inputs    map[string]string `json:"inputs,omitempty"`
	Image     string            `json:"image,omitempty"` // reference
	// Kept: something of it is left on the host.
	Kept bool `json:"kept"`
}
