// SPDX-License-Identifier: Apache-2.0

package plan

// Spec is what a resource should look like at the runtime. Exactly one field
// is set. Every field of every spec counts, but for Mount.From beside a
// TreeHash: its digest is over the canonical JSON of this type, so a field that
// must not count does not belong here.
//
// Here and in all types below, fields stand in the order of their JSON names:
// what encoding/json writes is then the canonical form.
type Spec struct {
	Container *ContainerSpec `json:"container,omitempty"`
	Image     *ImageSpec     `json:"image,omitempty"`
	Network   *NetworkSpec   `json:"network,omitempty"`
	Secret    *SecretSpec    `json:"secret,omitempty"`
	Volume    *VolumeSpec    `json:"volume,omitempty"`
}

// ContainerSpec describes one container. Values that are only known on the
// host (image digest, secret fingerprints, chosen ports) are not in it: they
// are inputs, bound by the planner.
type ContainerSpec struct {
	// Aliases are DNS names on Network.
	Aliases []string `json:"aliases,omitempty"`
	// Beside runs next to the main process under the helper (manifest `agent`
	// beside `start`).
	Beside *Process `json:"beside,omitempty"`
	// CABundle sets the CA variables when the image has that bundle.
	CABundle bool     `json:"caBundle,omitempty"`
	CapAdd   []string `json:"capAdd,omitempty"`
	CapDrop  []string `json:"capDrop,omitempty"`
	Env      []EnvVar `json:"env,omitempty"` // sorted by name, each name once
	// EnvFrom are references "keys:NAME": each key of them is a variable.
	EnvFrom []string `json:"envFrom,omitempty"`
	// Helper makes /Agent/agent-server PID 1; it starts Main. Without Main's
	// Command and Args it runs the default supervisor.
	Helper bool `json:"helper,omitempty"`
	// Image is a full reference: registry/repository:tag or @digest.
	Image string `json:"image"`
	// Installed: the container is made of what the install hook made of Image, the
	// image with the ID Image/NAME, NAME being that of the resource, and the
	// generation to which the container is bound: the last one that was made.
	Installed bool              `json:"installed,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`   // the user's own
	Liveness  *Probe            `json:"liveness,omitempty"` // run by the helper
	// Main is the main process.
	Main     Process `json:"main"`
	Memory   int64   `json:"memory,omitempty"`   // bytes; 0 = no limit
	Mounts   []Mount `json:"mounts,omitempty"`   // sorted by target
	NanoCPUs int64   `json:"nanoCPUs,omitempty"` // 1e9 = one core; 0 = no limit
	Network  string  `json:"network,omitempty"`  // name of the network; "" = none
	// NoImageEnv drops the image's own ENV.
	NoImageEnv      bool   `json:"noImageEnv,omitempty"`
	NoNewPrivileges bool   `json:"noNewPrivileges,omitempty"`
	PidsLimit       int64  `json:"pidsLimit,omitempty"` // 0 = the runtime's default
	Ports           []Port `json:"ports,omitempty"`     // as written; HostPort 0 = chosen by the runtime
	ReadOnlyRoot    bool   `json:"readOnlyRoot,omitempty"`
	Readiness       *Probe `json:"readiness,omitempty"` // run by the helper
	// SecretFiles are sorted by target.
	SecretFiles []SecretFile `json:"secretFiles,omitempty"`
	StopTimeout int          `json:"stopTimeout,omitempty"` // seconds between SIGTERM and SIGKILL; 0 = 10
	// Task: the main process runs once, and its variable TASK_NAME is the name of
	// the run.
	Task    *TaskSpec `json:"task,omitempty"`
	User    string    `json:"user,omitempty"`    // "" = the image's
	WorkDir string    `json:"workDir,omitempty"` // "" = the image's
}

// Probe is a script that the helper runs in the working directory again and
// again; exit status 0 is success. Times are in milliseconds.
type Probe struct {
	FailureThreshold int    `json:"failureThreshold"` // failures in a row until it fails, ≥ 1
	InitialDelay     int64  `json:"initialDelay"`     // before the first run
	Interval         int64  `json:"interval"`         // between the begin of runs, > 0
	Script           string `json:"script"`           // a bare file name
	SuccessThreshold int    `json:"successThreshold"` // successes in a row until it passes, ≥ 1
	Timeout          int64  `json:"timeout"`          // of a run, > 0
}

// ImageSpec is an image that an install hook makes: Commands run in a disposable
// container of Base that has the mounts, the network and the user of the
// instance, and what is left of its files is committed. All that is not here
// (mounts, network, user) is taken from the resource Of and does not count.
type ImageSpec struct {
	Base     string   `json:"base"`          // a full reference, an input
	Commands []string `json:"commands"`      // each run by /bin/sh -c, in order, until one fails
	Env      []EnvVar `json:"env,omitempty"` // as in ContainerSpec
	Of       string   `json:"of"`            // the ID of the instance, as text
	TreeHash string   `json:"treeHash,omitempty"`
}

// Process is a command in the terms of an image: Command replaces ENTRYPOINT,
// Args replaces CMD.
type Process struct {
	Args []string `json:"args,omitempty"`
	// Command nil means the image's ENTRYPOINT.
	Command []string `json:"command,omitempty"`
	// ImageCmd appends the image's CMD when Args is empty and Command is nil.
	ImageCmd bool `json:"imageCmd,omitempty"`
}

// EnvVar is one variable: a literal value, or a secret whose value only the
// runtime reads, at creation.
type EnvVar struct {
	Name   string `json:"name"`
	Secret string `json:"secret,omitempty"` // a secret reference, see [Input]
	Value  string `json:"value,omitempty"`
}

// SecretFile is a secret as a file that belongs to the user of the container, or,
// for a reference "keys:NAME", a folder with a file for each key. Only the runtime
// reads the value, at creation.
type SecretFile struct {
	Mode   uint32 `json:"mode"`   // permission bits
	Ref    string `json:"ref"`    // a secret reference, see [Input]
	Target string `json:"target"` // absolute path in the container
}

// TaskSpec is what the helper does for a command that runs once. Times are in
// milliseconds.
type TaskSpec struct {
	// Dir is an absolute folder of the host, with one folder for each run, named by
	// its key: what its files are made in, its log and its outcome.
	Dir string `json:"dir"`
	// KeepAlive is how long the container stays after the command has ended.
	KeepAlive int64 `json:"keepAlive,omitempty"`
	// Timeout ends the command, by SIGTERM first; 0 = none.
	Timeout int64 `json:"timeout,omitempty"`
}

// MountType says how the source of a mount comes to be.
type MountType string

// Mount types.
const (
	// MountFiles is a private folder, or a private file, made of Files once for each
	// run in TaskSpec.Dir; it belongs to the user of the container. It has no Source.
	MountFiles  MountType = "files"
	MountDir    MountType = "dir"    // host folder; created when missing, owned by the image's user
	MountCopy   MountType = "copy"   // private writable copy of From in a folder below Source, made once per TreeHash
	MountHelper MountType = "helper" // the helper folder, read only
	MountTmpfs  MountType = "tmpfs"  // memory, SizeBytes large
	MountVolume MountType = "volume" // named volume Source
)

// Mount is one mount of a container.
type Mount struct {
	// Files are what a MountFiles is made of, sorted by path, each path once and
	// none below another that is a file.
	Files []File `json:"files,omitempty"`
	// From is what a MountCopy is made of, and TreeHash its content: an absolute
	// folder, or git+file:///REPOSITORY#TREE for a folder of a git repository, TREE
	// being git's hash of that folder.
	From     string `json:"from,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	// Relabel asks for an SELinux relabel of the source ("z" or "Z").
	Relabel   string    `json:"relabel,omitempty"`
	SizeBytes int64     `json:"sizeBytes,omitempty"`
	Source    string    `json:"source,omitempty"` // absolute host path or volume name
	Target    string    `json:"target"`           // absolute path in the container
	TreeHash  string    `json:"treeHash,omitempty"`
	Type      MountType `json:"type"`
}

// File is a file or a folder of a MountFiles.
type File struct {
	// Digest is sha256:HEX of the content of a file, which is in Desired.Contents;
	// "" for a folder.
	Digest string `json:"digest,omitempty"`
	// From and TreeHash are of a folder that is copied, as in [Mount].
	From     string `json:"from,omitempty"`
	Mode     uint32 `json:"mode,omitempty"` // permission bits of a file; 0 = 0644
	Path     string `json:"path"`           // slash path below the target; "" = the target itself
	TreeHash string `json:"treeHash,omitempty"`
}

// Port publishes a container port on the host.
type Port struct {
	Container uint16 `json:"container"`
	HostIP    string `json:"hostIP"`
	HostPort  uint16 `json:"hostPort"` // 0: chosen once, recorded, and taken again by a replacement
	Protocol  string `json:"protocol"` // tcp or udp
}

// NetworkSpec is the bridge network of a workspace, with DNS.
type NetworkSpec struct {
	DNS    bool   `json:"dns"`
	Driver string `json:"driver"` // bridge
	// IPv6: it has such addresses as well.
	IPv6 bool `json:"ipv6,omitempty"`
}

// SecretSpec is a secret that the runtime keeps for us, made of a secret
// reference (see [InputSecret]).
type SecretSpec struct {
	Ref string `json:"ref"`
}

// VolumeSpec is a named volume.
type VolumeSpec struct{}
