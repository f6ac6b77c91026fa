// SPDX-License-Identifier: Apache-2.0

package schema

// Kind names a kind of document.
type Kind string

// The kinds. Manifest has no apiVersion: it is what a manifest.* file holds.
const (
	KindManifest    Kind = "Manifest"
	KindWorkspace   Kind = "Workspace"
	KindContext     Kind = "Context"
	KindTask        Kind = "Task"
	KindAgent       Kind = "Agent"
	KindCronTask    Kind = "CronTask"
	KindConfigMap   Kind = "ConfigMap"
	KindSecret      Kind = "Secret"
	KindTaskAgent   Kind = "TaskAgent"
	KindDaemonAgent Kind = "DaemonAgent"
)

// Value is a decoded scalar with its place. The zero value is an absent field.
type Value[T any] struct {
	V   T
	Pos Pos
}

// IsSet reports whether the field was present in the source.
func (v Value[T]) IsSet() bool { return v.Pos != Pos{} }

// The scalars of the formats.
type (
	Str   = Value[string]
	Int   = Value[int64]
	Float = Value[float64]
	Bool  = Value[bool]
)

// Meta is metadata shared by all kinds but manifests.
type Meta struct {
	Name        Str
	Namespace   Str // "default" when absent
	Labels      map[string]string
	Annotations map[string]string
}

// Document is one object of a known kind.
type Document struct {
	Kind       Kind
	APIVersion string
	Meta       Meta // zero for a Manifest
	Pos        Pos  // of the document's first field
	// Object is *Manifest, *Workspace, *Context, *Task, *Agent, *CronTask,
	// *ConfigMap, *Secret, *TaskAgent or *DaemonAgent.
	Object any
	// Invalid marks a document with errors: its identity can be used, its
	// object must not be acted on.
	Invalid bool
	// Unified is the shape that policy.cue constrains; nil unless asked for by
	// Options.Unified.
	Unified *Node
}

// Manifest is a Ploinky agent: manifest.json, manifest.yaml or manifest.cue.
// Spellings are unified: lists and strings, aliases of fields, env in either
// form, and the active profile merged over it.
type Manifest struct {
	Pos         Pos
	Container   Str
	Preinstall  []Str
	Install     []Str
	Postinstall []Str
	Update      []Str
	CLI         Str // cli, else commands.cli; unset when ""
	Agent       Str // agent, else commands.run; unset when ""
	Start       Str // unset when ""
	About       Str
	Env         []EnvVar // in source order; of one name the later wins
	Expose      []EnvVar // Ref or Default set
	Enable      []Enable
	Repos       []Repo // in source order
	Volumes     []Volume
	Ports       []Port // in source order
	Health      *Health
	Profiles    []Str // the names of all, in source order
}

// EnvVar is one entry of env or expose.
type EnvVar struct {
	Name     Str
	VarName  string // the workspace variable to look up; Name when not given
	Default  *Str   // nil: no default
	Required bool
	Ref      string // expose {name, ref}: the workspace variable; "" for env
}

// Enable is one parsed entry `REF [global | devel REPO] [no-wait] [as ALIAS]`.
type Enable struct {
	Text   string // as written
	Repo   string // of repo/agent or repo:agent; "" for a bare name
	Agent  string
	Mode   EnableMode
	Devel  string // the REPO of devel
	NoWait bool
	Alias  string // "" = none
	Pos    Pos
}

// EnableMode is the scope of an enable entry.
type EnableMode string

// The scopes.
const (
	EnableLocal  EnableMode = ""
	EnableGlobal EnableMode = "global"
	EnableDevel  EnableMode = "devel"
)

// Repo is one entry of a repos map.
type Repo struct {
	Name  Str
	URL   Str // a git URL, or a local folder (absolute, or relative to the workspace root)
	Ref   Str
	Path  Str
	Depth Int
	Git   Str // go or exec
	// SecretRef names the credentials of the remote.
	SecretRef Str
}

// Volume is one entry of volumes.
type Volume struct {
	Host      Str // as written
	Container string
	ReadOnly  bool
	Options   []string // anything else after the container path, e.g. z
}

// Port is one published port.
type Port struct {
	HostIP    string // "" = 127.0.0.1
	Host      uint16 // 0 = chosen
	Container uint16
	Protocol  string // tcp or udp
	Pos       Pos
}

// Health is the health block of a manifest.
type Health struct {
	Liveness  *Probe
	Readiness *Probe
	Pos       Pos
}

// Probe is one probe; defaults are filled in. Times are in seconds.
type Probe struct {
	Script           Str
	Interval         float64
	Timeout          float64
	InitialDelay     float64
	FailureThreshold int
	SuccessThreshold int
	Pos              Pos
}

// Workspace is the workspace file.
type Workspace struct {
	Pos     Pos
	Name    Str
	Repos   []Repo
	Enable  []Enable
	Vars    []Var // in source order
	Expose  []Expose
	Policy  Policy
	Profile Str
	// HooksTimeout is hooks.timeout in seconds; 0 = not given.
	HooksTimeout Float
	// TasksTTL is tasks.ttlSecondsAfterFinished.
	TasksTTL  Int
	ImagesPin Bool
	// NetworkIPv6: the network has IPv6 addresses as well.
	NetworkIPv6 Bool
}

// Var is one workspace variable: exactly one of Value, Env and Secret is set.
type Var struct {
	Name   Str
	Value  Str // literal; exactly "$OTHER" refers to another variable
	Env    Str // a variable of the operator's environment
	Secret Str // a secret of the host
}

// Expose is one variable given to one agent or instance by the workspace.
type Expose struct {
	Agent Str
	Name  Str
	Value Str // literal or "$VAR"
}

// Policy is spec.policy of a workspace or a host's policy file; absent fields
// are unset.
type Policy struct {
	Pos              Pos
	Mounts           Str // none, workspace or any
	HostHooks        Str // deny, locked or allow
	PlaintextSecrets Str // deny or warn
	RequireApproval  Str // none or authority
	Registries       []Str
	FileURLs         Bool
	Relabel          Bool
}

// DaemonAgent is a CLRK DaemonAgent.
type DaemonAgent struct {
	Pos                Pos
	WorkerPoolRef      Str
	Template           Template
	RestartPolicy      Str // Always, OnFailure or Never; default filled in
	MaxRestarts        Int
	MaxLifetimeSeconds Int
}

// Template is template.spec of a TaskAgent or DaemonAgent.
type Template struct {
	Image   Str
	Command []string
	Args    []string
	Env     []NameValue
	Memory  Str // resources.memory: a quantity; MemoryBytes has its value
	CPU     Str
	// MemoryBytes and NanoCPUs are the limits in numbers; 0 = none.
	MemoryBytes int64
	NanoCPUs    int64
}

// NameValue is a literal environment variable.
type NameValue struct {
	Name  Str
	Value string
}
