// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"io"
	"time"

	"reconcile/reconcile/plan"
)

// Journal keeps what is known of executions when their containers are gone. Its
// methods may be called from any goroutine. [OpenFolder] is one.
type Journal interface {
	// Begin notes an execution before its process starts. One whose process waits for
	// it in a slot may have its event already, and may even have ended: then e says
	// how. What is not ended when the journal is opened again is [Lost].
	Begin(e Execution) (Entry, error)
	// Recent are the last executions of an agent, the newest first, and none that
	// goes on.
	Recent(agent plan.ID) ([]Execution, error)
	// Cron is what [Journal.PutCron] was told last of an agent.
	Cron(agent plan.ID) (CronState, error)
	// PutCron is on disk before it returns.
	PutCron(agent plan.ID, s CronState) error
}

// Entry is an execution in a journal. What is written to it is its log, in the
// format k8s-file of Podman: lines TIME STREAM F|P TEXT.
type Entry interface {
	io.Writer
	// End notes how the execution ended, and closes the entry.
	End(e Execution) error
}

// kept is how many executions of an agent are remembered.
const kept = 50

// Outcome is how an execution ended.
type Outcome string

// The outcomes. Only Succeeded is a success.
const (
	Running    Outcome = "running"
	Succeeded  Outcome = "succeeded"
	Failed     Outcome = "failed"      // it ended with another status than 0, or without the reply
	TimedOut   Outcome = "timeout"     // it ran into its deadline
	Cancelled  Outcome = "cancelled"   // its client went away
	Stopped    Outcome = "stopped"     // the dispatcher ended
	NotStarted Outcome = "not-started" // its container could not be made or started
	Lost       Outcome = "lost"        // the dispatcher was killed
)

// Execution is one run of an agent, as it is kept.
type Execution struct {
	Agent    plan.ID   `json:"agent"`
	Key      string    `json:"key"` // 16 hex digits; no two executions have the same
	ID       string    `json:"id"`  // what the client may choose, so that it is not unique
	Revision string    `json:"revision"`
	Trigger  string    `json:"trigger,omitempty"` // X-Clrk-Trigger
	Accepted time.Time `json:"accepted"`
	Ended    time.Time `json:"ended,omitzero"`
	Outcome  Outcome   `json:"outcome"`
	Exit     *int      `json:"exit,omitempty"`   // of the process; nil = none is known
	Status   int       `json:"status,omitempty"` // of the reply; 0 = there was none
	// Warm is how the container was had: "" for one of its own, "initialised" or
	// "started" for a slot.
	Warm   string `json:"warm,omitempty"`
	Reason string `json:"reason,omitempty"` // for people; "" when it succeeded
}

// CronState is what is kept of the schedule of an agent.
type CronState struct {
	Slot    time.Time `json:"slot,omitzero"` // that was due last
	Outcome Outcome   `json:"outcome,omitempty"`
	Status  int       `json:"status,omitempty"` // of its reply
	// Reply is the begin of it, where it was no success.
	Reply     string `json:"reply,omitempty"`
	Execution string `json:"execution,omitempty"` // its id
	// Skipped is how many slots came, since the agent is there, while the run before
	// went on.
	Skipped int `json:"skipped,omitempty"`
}
