// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"time"
)

// Options is what [New] needs besides desired and observed.
type Options struct {
	Now time.Time
	// AllowMassDelete releases the mass-delete brake.
	AllowMassDelete bool
	// AcceptLostRecords treats objects of another record store as ours.
	AcceptLostRecords bool
	// Adopt treats objects of this workspace's name under another root as ours.
	Adopt bool
	// RequireApproval holds changes that grant what is not approved, also where
	// no policy asks for that.
	RequireApproval bool
	// Supervise has containers that exit again and again restarted later and
	// later, since somebody looks again at Plan.Wake. Without it they are
	// restarted at once.
	Supervise bool
}

// Plan is what to do and why. See [New].
type Plan struct {
	Workspace string
	Revision  string

	Changes   []Change // sorted by ID
	Drift     []Change // objects that departed from what they were made as; their repair is among Changes
	Held      []Change // what is not done, and why
	Refused   []Reason // policy stops of the whole pass; exit 3
	Authority []Grant  // what the changes let agents do that they could not before
	Unchanged int
	// Incomplete lists what was not known of desired or observed.
	Incomplete []Reason
	// Complete is false when anything desired could not be planned.
	Complete bool
	Steps    []Step // in a topological order, ties by ID
	// Wake is when to look again even if nothing is notified; zero = no need.
	Wake time.Time
}

// Action is what happens to a resource.
type Action string

// The actions.
const (
	ActionCreate  Action = "create"
	ActionReplace Action = "replace"
	ActionUpdate  Action = "update"
	ActionStart   Action = "start"
	ActionRestart Action = "restart"
	ActionStop    Action = "stop"
	ActionDelete  Action = "delete"
	ActionRun     Action = "run"
)

// Change is what happens to one resource, or is held back.
type Change struct {
	ID      ID
	Name    string
	Actions []Action
	Reasons []Reason // at least one
	// Before and After are specs as JSON; null where unknown or not applicable.
	Before json.RawMessage
	After  json.RawMessage
	// ReplacePaths are the fields that force a replacement, as dotted paths.
	ReplacePaths []string
	// Files are those of the container that differ. Views fill it in: a plan knows no
	// contents.
	Files []FileChange
	// Hook is the hook on the host that is run, or held for want of approval; nil =
	// there is none.
	Hook *HookChange
	// Policy: held by a policy rather than by a fault; exit 3 instead of 1.
	Policy bool
	// Benign: held as somebody wished; a plan with nothing else is empty.
	Benign bool
}

// FileChange is a file, or a folder, that differs.
type FileChange struct {
	Path   string `json:"path"`   // in the container
	Action Action `json:"action"` // create, update or delete
	Text   string `json:"text"`   // for people, as in "3 lines changed"
}

// HookChange is a hook on the host beside what was approved of it.
type HookChange struct {
	Hook
	Approved bool
	// Before are the commands that were approved last, where that is known.
	Before []string
}

// Reason says why, in a closed set of codes, with a text for people and the
// place that caused it.
type Reason struct {
	Code   Code   `json:"code"`
	Text   string `json:"text"`
	Origin string `json:"origin"` // file:line:col
}

// Op is the kind of a step.
type Op string

// The ops. Prepare pulls the image and makes folders; with an Object it only
// restores the folders that object was made with, since it has its image.
// Create runs the install hook when the target is an image, in a container of the
// base image that the prepare step of the instance has pulled. Exec runs a hook
// in the container Object, Host one on this host, without an Object.
// Activate gives one object its proper name.
const (
	OpPrepare  Op = "prepare"
	OpCreate   Op = "create"
	OpRecord   Op = "record"
	OpStart    Op = "start"
	OpWait     Op = "wait"
	OpStop     Op = "stop"
	OpDelete   Op = "delete"
	OpExec     Op = "exec"
	OpHost     Op = "host"
	OpActivate Op = "activate"
)

// Step is one node of the graph.
type Step struct {
	// ID is op:id[@handle][#what]; unique in a plan and stable between plans.
	// What tells apart the records, the hooks, the waits other than for readiness,
	// and the stop and start after hooks, which are "restart".
	ID     string
	Op     Op
	Target ID
	// Object is the handle of the object acted on; "" for the one that the
	// create step of Target in this plan makes.
	Object string
	// Until is how far a wait waits; UntilReady, UntilFinished or UntilIdle.
	Until Until
	// Name is the name to create or activate under.
	Name string
	// Digest and Bound are what a create writes into the labels.
	Digest string
	Bound  map[string]string // Input.String() → value
	Ports  []Port            // create: ports to publish, chosen ones filled in
	Record *Record           // record: what to write
	// Run is the key of the run that prepare, create, start, stop and delete are
	// for, see [Run]; "" for what is no run. A delete without an Object removes what
	// is left of the run on the host.
	Run string
	// RunName is what the run is called, TASK_NAME in its container.
	RunName string
	// Hook is what an exec or host runs. The Digest of one in a copy of the agent's
	// folder has the hash of its files added: by it the run is known, see [HostHook].
	Hook   *Hook
	After  []string // ids of the steps that must have succeeded
	Reason Reason
}
