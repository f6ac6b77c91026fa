// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Desired is everything that should be, as the workspace says it.
type Desired struct {
	Workspace string // DNS label
	Root      string // absolute path or URL of the workspace
	Revision  string // git commit, "+dirty" appended for uncommitted edits; "" without git
	// Source is the place (file:line:col) to name for what nothing in the
	// workspace asks for any more; "-" when empty.
	Source string

	Resources []Resource // sorted by ID, each ID once
	Approvals Approvals

	// Contents holds what the Digest of each File in Resources stands for, and
	// Sealed what each reference "doc:…" stands for. Both are too large, or too
	// secret, to be in a spec: they are never printed, saved or compared.
	Contents map[string][]byte
	Sealed   map[string]Sealed

	// Partial lists why part of the desired state is unknown. While it is not
	// empty nothing is pruned.
	Partial []Reason
	// Empty: the folder has neither a workspace file nor an object.
	Empty bool
	// NoFile: there is no workspace file. Manifest agents, which only one can
	// ask for, are not pruned then: it was lost rather than that somebody
	// ordered so.
	NoFile bool
	// Destroy: the wish is explicit that everything goes; the mass-delete brake
	// and Empty do not apply. Volumes, records and agents' folders stay unless
	// Volumes is set.
	Destroy bool
	Volumes bool
}

// Want says which state a resource should be in.
type Want string

// The wants. The zero value is for resources that merely exist: networks,
// volumes and secrets.
const (
	WantExists   Want = ""
	WantRunning  Want = "running"
	WantPrepared Want = "prepared"
	WantOnce     Want = "once"
	WantStopped  Want = "stopped"
)

// ReplaceMode says how a resource gets from an old object to a new one.
type ReplaceMode string

// The replace modes. StopFirst creates the new object beside the old one,
// stops and deletes the old one, then names and starts the new one.
const (
	StopFirst ReplaceMode = "stop-first"
	Overlap   ReplaceMode = "overlap"
	Finish    ReplaceMode = "finish"
	Never     ReplaceMode = "never" // an existing object stays, whatever its digest
)

// RestartPolicy says whether an exited container is drift.
type RestartPolicy string

// The restart policies.
const (
	RestartAlways    RestartPolicy = "always"
	RestartOnFailure RestartPolicy = "on-failure"
	RestartNever     RestartPolicy = "never"
)

// Restart is the restart rule of a resource.
type Restart struct {
	Policy RestartPolicy `json:"policy,omitempty"` // "" = always
	Max    int           `json:"max,omitempty"`    // restarts in all; 0 = no limit
	Curve  RestartCurve  `json:"curve,omitempty"`
	// Lifetime is how long a process may run: then it is stopped, and the policy
	// decides; 0 = no limit.
	Lifetime time.Duration `json:"lifetime,omitempty"`
}

// Resource is one thing that should be.
type Resource struct {
	ID     ID
	Name   string // the object's name at the runtime: for people, never parsed
	Origin string // file:line:col that asks for it
	Spec   Spec
	Needs  []Need
	Want   Want
	// Replace is StopFirst when empty.
	Replace ReplaceMode
	Restart Restart
	// StartTimeout bounds each step; 0 = the executor's default.
	StartTimeout time.Duration
	// Blocked: the resource is described but must not be acted on. What runs
	// under its ID goes on.
	Blocked []Reason
	// Keep protects the object from pruning (volumes).
	Keep bool
	// Hooks are what is run for the resource beside its own process, in the order
	// of the lifecycle.
	Hooks []Hook
	// Run says how a resource with WantOnce is run; nil for all others.
	Run *Run
	// Dispatch is of a TaskAgent, of which no container is made but for executions;
	// nil for all others.
	Dispatch *Dispatch
	// Own are folders of the host that are made for this resource alone: to
	// mount them is no grant.
	Own []string
	// Places say where fields of the spec are asked for, by their dotted path as in
	// [Change.ReplacePaths]; Origin where one is missing.
	Places map[string]string
}

// HookName is the name of a lifecycle hook, as manifests spell it.
type HookName string

// The hooks. Preinstall runs on the host before the resource is prepared, and
// again when its digest changes. Postinstall runs in each new container after
// its start, and in the present one when its digest changes; Update when asked
// for and when Revision changes. After either the container is restarted once.
// Install is no Hook but a resource, see [ImageSpec]; its name is for logs.
const (
	HookPreinstall  HookName = "preinstall"
	HookInstall     HookName = "install"
	HookPostinstall HookName = "postinstall"
	HookUpdate      HookName = "update"
)

// Hook is one lifecycle hook of a resource. What it runs with are references, as
// in a spec.
type Hook struct {
	Name     HookName `json:"name"`
	Commands []string `json:"commands"` // each run by a shell, in order, until one fails
	// Digest is sha256:HEX of what makes it another hook, see [HookDigest].
	Digest string `json:"digest"`
	// Files are the digests, sha256:HEX, of the files of the agent's folder that a
	// host hook names, by slash path.
	Files  map[string]string `json:"files,omitempty"`
	Origin string            `json:"origin"` // file:line:col
	// Dir is where a host hook runs: the agent's folder, or, when InCopy is set, the
	// copy of it that prepare makes (see [MountCopy]).
	Dir    string   `json:"dir,omitempty"`
	InCopy bool     `json:"inCopy,omitempty"`
	Env    []EnvVar `json:"env,omitempty"` // of a host hook
	// Locked: a host hook that must not run unless Approvals.Hooks has its digest.
	Locked   bool          `json:"locked,omitempty"`
	Revision string        `json:"revision,omitempty"` // the commit of the agent's repo; "" = it has none
	Timeout  time.Duration `json:"timeout"`            // > 0
}

// Host reports whether the hook runs on the host.
func (h Hook) Host() bool { return h.Name == HookPreinstall }

// Until says how far a needed resource must be.
type Until string

// The stages of a need.
const (
	UntilExists   Until = "exists"
	UntilReady    Until = "ready"
	UntilFinished Until = "finished"
	UntilIdle     Until = "idle"
)

// Need is an edge: the resource waits until On is as far as Until. A Bound
// need replaces the resource when On is replaced, and when the need was not
// bound yet as the resource was made.
type Need struct {
	On     ID
	Until  Until
	Bound  bool
	Origin string
}

// InputKind is the kind of fact a container is bound to at creation.
type InputKind string

// The kinds of inputs.
const (
	InputImage  InputKind = "image"  // value: manifest digest or, for a local image, its ID
	InputSecret InputKind = "secret" // value: fingerprint
	// InputNeed is bound by the planner itself for a bound need: the name is
	// the ID of what is needed, the value names its generation. No fact is
	// looked up for it.
	InputNeed InputKind = "need"
)

// Input names one fact that is bound at creation and kept in the
// reconcile.inputs label.
//
// The name of an image is its reference. The name of a secret is a secret
// reference: "secret:NAME" is looked up among the runtime's secrets, then in
// the secrets directory; "env:NAME" is a variable of the operator's
// environment; "key:NAME/KEY" is one value of a secret with several, the runtime's
// secret NAME.KEY, else its secret NAME, else the file NAME/KEY of the secrets
// directory; "keys:NAME" is all of those of the runtime's secrets NAME.* or, where
// there is none, of the files NAME/*; "doc:NAMESPACE/NAME/KEY" is one value of a
// document of the workspace, in Desired.Sealed.
type Input struct {
	Kind InputKind
	Name string
}

// String returns kind:name, the key used in the reconcile.inputs label.
func (i Input) String() string { return string(i.Kind) + ":" + i.Name }

// ParseInput is the inverse of [Input.String].
func ParseInput(s string) (Input, error) {
	kind, name, ok := strings.Cut(s, ":")
	if !ok || kind == "" || name == "" {
		return Input{}, fmt.Errorf("parse input %q: want kind:name", s)
	}
	return Input{Kind: InputKind(kind), Name: name}, nil
}

// Compare orders inputs by kind, then name.
func (i Input) Compare(other Input) int {
	return cmp.Or(cmp.Compare(i.Kind, other.Kind), cmp.Compare(i.Name, other.Name))
}

// MarshalText makes inputs usable as JSON map keys.
func (i Input) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (i *Input) UnmarshalText(b []byte) error {
	v, err := ParseInput(string(b))
	*i = v
	return err
}
