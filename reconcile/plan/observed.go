// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"time"
)

// Observed is everything that is, at one moment.
type Observed struct {
	// Objects are ours: they carry our labels and our workspace. Sorted by ID,
	// then creation, then handle.
	Objects []Object
	// Foreign objects hold a name that a desired resource wants, without our
	// labels. Of their ID at least Kind is set, to the kind of that resource,
	// since containers, networks, volumes and secrets are named apart.
	Foreign []Object
	// Inputs holds a fact for every input that a desired resource has.
	Inputs map[Input]Fact
	// Incomplete lists what could not be observed. While it is not empty
	// nothing is pruned and nothing is created that may already exist.
	Incomplete []Reason

	Records Records
	// HostHooks is what became of the hooks that ran on this host, by resource.
	HostHooks map[ID]HostHook
	// Outcomes is how the commands of desired runs ended that have no container any
	// more, by resource and key, as far as that is still written down.
	Outcomes map[ID]map[string]Outcome
	// NoCommit: the runtime cannot make images, as install hooks need it.
	NoCommit bool
	// NoHostPaths: the runtime does not see the folders of this host. What mounts
	// one can be looked at, stopped and deleted, and nothing is heard of its probes.
	NoHostPaths bool
	// Unenforced says which limits this host cannot enforce, and why, in words for a
	// person. Containers are made without them.
	Unenforced map[Limit]string
	// Busy are IDs with a step under way, or with one since the objects were
	// looked at: what is known of them is no longer so. Nothing is planned for
	// them.
	Busy []ID
	// Backoff says what failed lately and is not to be tried again yet.
	Backoff []Backoff
	// Specs are specs by digest, as far as they are still known, for
	// before → after.
	Specs map[string]json.RawMessage
	// Converged are the IDs that existed after the last pass. It only tells
	// "missing" from "new" in a reason.
	Converged []ID
}

// AddOutcome adds to Outcomes how the run of id with the key ended.
func (o *Observed) AddOutcome(id ID, key string, how Outcome) {
	if o.Outcomes == nil {
		o.Outcomes = map[ID]map[string]Outcome{}
	}
	if o.Outcomes[id] == nil {
		o.Outcomes[id] = map[string]Outcome{}
	}
	o.Outcomes[id][key] = how
}

// FactState says how much is known about an input.
type FactState string

// The states of a fact.
const (
	FactKnown   FactState = "known"
	FactUnknown FactState = "unknown" // cannot be known here; never a change
	FactMissing FactState = "missing" // known not to exist; blocks its user
)

// Fact is what is known about one input.
type Fact struct {
	State  FactState
	Value  string // FactKnown: what would be bound now
	Detail string // FactUnknown, FactMissing: why, in words for a person
	// Local: the image is on the host already, so prepare pulls nothing.
	Local bool
}

// State is the state of an object.
type State string

// The states. Networks, volumes and secrets are StateExists.
const (
	StateExists  State = "exists"
	StateCreated State = "created" // never started
	StateRunning State = "running"
	StatePaused  State = "paused"
	StateExited  State = "exited" // started and stopped again, for whatever reason
	StateBroken  State = "broken" // the runtime lost track of it; only delete helps
)

// Role is the kind of owner an object has, fixed at creation.
type Role string

// The roles.
const (
	RoleInstance Role = "instance" // a container the planner owns
	RoleSupport  Role = "support"  // network, volume or secret
	RoleImage    Role = "image"    // an image of our own making

	// Containers of a dispatch session. They are never planned for.
	RoleExecution Role = "execution" // one execution of a TaskAgent
	RoleSlot      Role = "slot"      // an execution that will come
	RoleRelay     Role = "relay"     // what brings executions to the host that cannot reach it
)

// Object is one thing that is at the runtime.
type Object struct {
	ID     ID
	Handle string // the runtime's own name for it, never reused
	Name   string

	Workspace string
	Root      string
	Owner     string // id of the record store that made it
	Role      Role
	Run       string            // the key of the run that it is, see [Run]; "" = it is none
	Session   string            // the dispatch session it belongs to; such objects are never planned for
	Digest    string            // digest of the spec it was made from
	Inputs    map[string]string // Input.String() → value bound at creation
	Revision  string
	Version   string // of the tool that made it
	Keep      bool   // reconcile.keep: never stopped or deleted by a pass

	State    State
	ExitCode int
	Created  time.Time
	Started  time.Time // zero: never
	Finished time.Time // zero: not since the last start
	Image    string    // ID of the image it really uses
	Ports    []Port    // as published now
	// UsedBy names a container that is not ours and uses the image; "" = none
	// does. Such an image stays.
	UsedBy string
	// Drift lists in which ways the object departs from what it was made as,
	// apart from its state: detached from its network, other image. That an image
	// is CodeMissing says that what its install hook left beside it is gone.
	Drift []Reason
	// Health is what the helper reports of its probes; nil = it has none, or
	// nothing has been heard of it.
	Health *Health
	// Outcome is how the command of a run ended; nil = it has not, or nothing is
	// known of it but the ExitCode.
	Outcome *Outcome
}

// Health is what the probes of a container say.
type Health struct {
	Liveness  *ProbeState `json:"liveness,omitempty"`  // nil: it has no such probe
	Readiness *ProbeState `json:"readiness,omitempty"` // nil: it has no such probe
}

// alive is what the liveness probe says.
func (h *Health) alive() Verdict {
	if h == nil || h.Liveness == nil {
		return VerdictPending
	}
	return h.Liveness.Verdict
}

// Verdict is what a probe says once a threshold is reached.
type Verdict string

// The verdicts.
const (
	VerdictPending Verdict = "" // neither threshold has been reached yet
	VerdictPassing Verdict = "passing"
	VerdictFailing Verdict = "failing"
)

// ProbeState is how far a probe is.
type ProbeState struct {
	Verdict  Verdict   `json:"verdict,omitempty"`
	Since    time.Time `json:"since"`              // of the verdict
	Failures int       `json:"failures,omitempty"` // in a row
	Output   string    `json:"output,omitempty"`   // of the last run that failed, its end, at most 4 KiB
}

// HostHook is what this host remembers of a hook that ran on it.
type HostHook struct {
	Digest string        `json:"digest"` // of the hook, as the step had it
	State  HostHookState `json:"state"`
	Code   int           `json:"code,omitempty"` // exit code, when it failed
	At     time.Time     `json:"at"`             // of the state
	Detail string        `json:"detail,omitempty"`
}

// HostHookState says how far a hook on the host is.
type HostHookState string

// The states. HookRunning outlives the process that started the hook.
const (
	HookRunning HostHookState = "running"
	HookDone    HostHookState = "done"
	HookFailed  HostHookState = "failed"
)

// Backoff says that a step of a resource failed, for as long as the resource
// is asked for with the same digest. A step is a step of the resource, or the
// wait for it of something that needs it.
type Backoff struct {
	ID     ID
	Digest string    // of the desired spec; "" when nothing asked for it
	Until  time.Time // when to try again
	Detail string    // what failed, in words for a person
	At     time.Time // when it failed; zero = not known
	// Image: no image can be had, or nothing runs in it, however often it is tried.
	Image bool
}

// Records is what neither git nor the runtime can hold.
type Records struct {
	// Owner is the id of this record store; "" when it does not exist yet.
	Owner string
	// Accepted are ids of earlier record stores and roots whose objects were
	// taken over.
	Accepted []string
	Records  []Record // sorted by ID, kind, key
}

// RecordKind says what a record remembers.
type RecordKind string

// The kinds of records.
const (
	RecordPorts RecordKind = "ports" // Data: container port/protocol → host port
	// RecordRestarts has in Data "count", the restarts of this ID so far,
	// "streak", those since it last ran for long, and "digest", the spec they
	// were counted for: a new spec counts from zero. "stopped" is "true" after
	// it was stopped as somebody wished: its next start is no restart. "cause" is
	// why it was stopped otherwise, as the end of "it …"; "" = it exited by itself.
	// "finished" is the handle of a container that its restart rule leaves alone.
	RecordRestarts RecordKind = "restarts"
	// RecordBrake has in Data "held", "true" while the mass-delete brake keeps
	// the instance. Without it the brake would release itself as soon as enough
	// new instances stand beside those that are to go.
	RecordBrake RecordKind = "brake"
	// RecordApprovals has the keys of the grants that were approved on this host;
	// the values mean nothing. It is written by no plan.
	RecordApprovals RecordKind = "approvals"
	// RecordApprover has in Data "held", "true" once the instance could write the
	// lock file, until somebody has looked at what that approves.
	RecordApprover RecordKind = "approver"
	// RecordDisabled has in Data "disabled", "true" after somebody has disabled the
	// instance with a command, which the mass-delete brake lets pass. It is written
	// by no plan.
	RecordDisabled RecordKind = "disabled"
	// RecordWish is what somebody asked for with a command, at its At. Its Key is
	// one of the Wish constants; WishStop has in Data "wanted", "true" or "false".
	RecordWish RecordKind = "wish"
	// RecordHook is the last run of a hook in a container. Its Key is the hook's
	// name; Data has "container", the handle, "digest", that of the hook, and
	// "revision", the commit of the agent's repo. The container owes a restart
	// until it was started after At, which is when the record was written. With an
	// empty "container" it did not run, and says only what to compare with.
	//
	// In a plan a zero At stands for the moment of writing, and a Data without
	// "container" for the handle of the object of the step.
	RecordHook RecordKind = "hook"
	// RecordRun is a run, its Key that of the run; see [RunState]. Data has "phase" (a
	// [RunPhase]), "name", "order" (of runs of one ID, from 1) and "group"; once it was
	// created "container", "digest" and "inputs", those of its object; once it runs
	// "started", and once it has ended "finished", "reason", "detail" and "code", and "kept",
	// which is "true" until what is left of it on the host is removed. Of a run that
	// waits At is since when. Times are RFC 3339. In a plan a Data without "container"
	// stands for that of the object of the step.
	RecordRun RecordKind = "run"
	// RecordSlot is of a CronTask. Data has "last", the latest slot that was run or
	// skipped, in Unix seconds, "schedule", what it is a slot of, and "skipped", how
	// many were; "rerun" is the At of the last wish for a run beside them that there
	// has been one for.
	RecordSlot RecordKind = "slot"
	// RecordRevision is a revision of a TaskAgent that is ready, since At; see
	// [Revision]. Its Key is the number of it, in five digits at least; Data has
	// "digest" and "spec", what it is made from, and "inputs", what it is bound to.
	RecordRevision RecordKind = "revision"
	// RecordDispatch is of a TaskAgent that takes requests, or may once a revision of
	// it is ready. Data has its settings, see [Dispatch].
	RecordDispatch RecordKind = "dispatch"
)

// The keys of a [RecordWish]. Any of them but WishUpdate forgives a crash loop.
const (
	WishStop    = "stop"    // stopped while wanted, whatever else is desired
	WishRestart = "restart" // started after At
	WishRefresh = "refresh" // created after At
	WishUpdate  = "update"  // its update hook run after At
	WishRerun   = "rerun"   // run once more after At
)

// Record is one remembered fact. A record never says that an object exists.
type Record struct {
	ID   ID                `json:"id"`
	Kind RecordKind        `json:"kind"`
	Key  string            `json:"key,omitempty"`
	At   time.Time         `json:"at"`
	Data map[string]string `json:"data"`
	// Forget: the record is removed.
	Forget bool `json:"forget,omitempty"`
}

// Capabilities says what a runtime can do; what it lacks becomes a
// diagnostic, never a silent omission.
type Capabilities struct {
	Name      string // "podman 4.3.1"
	HostPaths bool   // the runtime sees this host's folders
}
