// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"sync"
	"sync/atomic"

	"reconcile/reconcile/plan"
)

// Options is what a Runtime needs to know. The zero value observes; creating
// objects needs StateDir, Owner and Version.
type Options struct {
	// URL of the service: unix:///path, tcp://host:port or ssh://user@host/path.
	// "" looks for one, see [Open].
	URL string
	// RunDir is where the socket of a private service goes. Its path must leave
	// room for a socket name within 108 bytes. "" = no private service.
	RunDir string
	// Binary is the podman to start a private service with; "" = podman in PATH.
	Binary string

	// StateDir is the root of the state directory. Below it are the helper folder,
	// the folders of runs (see plan.RunsDir) and whatever mounts name.
	StateDir string
	// Helper returns the content of the helper folder: file name → bytes. Files
	// that start with an ELF header or "#!" are made executable. It is called when
	// the folder is written, so that nobody holds megabytes; nil = there is none.
	Helper func() (map[string][]byte, error)

	// ChannelDir is where the sockets go that helpers report their probes at, a
	// folder for each instance. It must leave room for a socket name as RunDir does.
	// "" = probes are not heard of, and what has one is ready when it runs.
	ChannelDir string
	// HookLog opens what the output of a hook of target goes to, anew for each run;
	// nil = nowhere. What is written has no control characters but line feeds and
	// tabs, and no values of secrets.
	HookLog func(target plan.ID, hook plan.HookName) (io.WriteCloser, error)

	// OpenSource opens what a plan.Mount is copied from; nil opens folders of
	// this host. The caller calls close when it has read the files.
	OpenSource func(from string) (files fs.FS, close func() error, err error)
	// Unseal opens a value of a Secret document; nil opens none.
	Unseal func(ctx context.Context, s plan.Sealed) ([]byte, error)

	// SecretsDir holds one file per secret; "" = none.
	SecretsDir string
	// HostKey keys the fingerprints of secrets that are files or variables; nil
	// makes them unknown.
	HostKey []byte
	// LookupEnv reads the operator's environment; nil = it is empty.
	LookupEnv func(string) (string, bool)

	// AuthFile holds registry credentials; "" = where Podman looks for it.
	AuthFile string
	// Digests remembers digests of tags between passes; nil remembers them for
	// one pass.
	Digests *DigestMemory

	// Owner is the id of the record store, Version the version of the tool:
	// both go into labels.
	Owner   string
	Version string

	// MetadataPort returns the port at which the host is heard in networks, and keeps
	// it: choose finds one, or 0. nil = any.
	MetadataPort func(choose func() uint16) (uint16, error)
	// DaemonEnv are the variables of a DaemonAgent that can reach the host at the
	// addresses; nil = none.
	DaemonEnv func(at []netip.AddrPort) []plan.EnvVar
	// Relay: the host is heard in networks through containers there, also where it
	// could be reached directly. Only tests set it: a Podman that is
	// not root's needs no telling.
	Relay bool

	// Progress is told what a long step does; nil = nobody. It is called from
	// several goroutines at once.
	Progress func(Progress)

	onlyLook bool // see OpenReader
}

// Progress is one line about a step under way.
type Progress struct {
	Target plan.ID
	Op     plan.Op
	Text   string // what happens now, e.g. "pull docker.io/library/redis: copying blob sha256:1f…"
}

// Runtime is Podman behind one service. Its methods may be called by several
// goroutines at once. It implements reconcile.Runtime.
type Runtime struct {
	opt     Options
	url     string
	remote  bool // the service does not see this host's folders
	link    atomic.Pointer[link]
	opening sync.Mutex // held while a link is replaced or closed
	closed  bool       // guarded by opening

	images   imageMemory
	folders  locks        // by path
	uses     sync.RWMutex // held for reading while a container is made, for writing while secrets and copies that none uses are removed
	ephemKey []byte

	mu            sync.Mutex
	workspace     string                       // as last observed, "" before
	seen          map[string]identity          // handle → labels as last observed
	foreign       map[string]bool              // handles that held a name we want when last observed
	made          map[madeKey]string           // handle of what the last create step made
	claimed       map[uint16]bool              // host ports that were considered for a container
	refs          map[string]plan.Fact         // image reference → fact as last observed
	secretLabels  map[string]map[string]string // by secret ID, for services whose lists lack them
	helperDirs    map[string]bool              // helper folders that are up to date
	prepared      map[string]bool              // copies that were made or found for a container
	runs          map[string]runBegun          // by handle
	awaited       []string                     // the outcomes of runs that go on
	channelsSwept bool
	heard         map[string]heardIn // by network
	hooking       map[string]bool    // names of containers of install hooks that this Runtime runs

	channels channels

	sweeping sync.Mutex
	swept    bool // guarded by sweeping
}

// madeKey is what a create step makes: the object of a target, or one of its runs.
type madeKey struct {
	target plan.ID
	run    string
}

// Open finds the service and connects to it. The first of these that is given
// or answers is taken:
//
//   - Options.URL
//   - $CONTAINER_HOST
//   - $XDG_RUNTIME_DIR/podman/podman.sock
//   - /run/podman/podman.sock
//   - a private `podman system service` on a socket below Options.RunDir, which
//     is ended by Close
//
// The first two are somebody's choice: when they do not answer, nothing else is
// tried. The error names all that was tried and why it would not do.
func Open(ctx context.Context, opt Options) (*Runtime, error) {
	if opt.LookupEnv == nil {
		opt.LookupEnv = func(string) (string, bool) { return "", false }
	}
	if opt.OpenSource == nil {
		opt.OpenSource = openFolder
	}
	if opt.Progress == nil {
		opt.Progress = func(Progress) {}
	}
	if opt.Digests == nil {
		opt.Digests = new(DigestMemory)
	}
	found, err := connect(ctx, opt)
	if err != nil {
		return nil, err
	}
	first, err := newLink(found.conn, found.url, found.service)
	if err == nil {
		err = opt.guard(found.conn)
	}
	if err != nil {
		if found.service != nil {
			_ = found.service.stop()
		}
		return nil, err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	r := &Runtime{
		opt: opt, url: found.url, remote: found.remote, ephemKey: key,
		seen: map[string]identity{}, foreign: map[string]bool{}, made: map[madeKey]string{}, claimed: map[uint16]bool{}, refs: map[string]plan.Fact{},
		helperDirs: map[string]bool{}, prepared: map[string]bool{}, secretLabels: map[string]map[string]string{},
		hooking: map[string]bool{}, runs: map[string]runBegun{}, heard: map[string]heardIn{},
	}
	if !opt.onlyLook && !found.remote {
		r.channels.dir = opt.ChannelDir
	}
	r.link.Store(first)
	return r, nil
}

// Close lets go of the service, and ends it if Open started it. Containers run
// on.
func (r *Runtime) Close() error {
	r.opening.Lock()
	defer r.opening.Unlock()
	r.closed = true
	r.channels.close()
	l := r.link.Load()
	l.closeIdle()
	if l.service == nil {
		return nil
	}
	return l.service.stop()
}

// Capabilities says what this service can do.
func (r *Runtime) Capabilities() plan.Capabilities {
	return plan.Capabilities{Name: "podman " + r.link.Load().version.String(), HostPaths: !r.remote}
}

// URL is where the service listens.
func (r *Runtime) URL() string { return r.url }
