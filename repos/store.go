// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Source is a repository at a ref, as somebody asks for it.
type Source struct {
	// URL is https, http, ssh, git@host:path or file. One with credentials in
	// it is refused.
	URL string
	// Ref is a branch, tag, whole reference or commit hash; "" = the default
	// branch.
	//
	// A commit hash is written with all of its 40 digits, but for a repository of
	// this host. It is never asked for again once it is here.
	Ref string
	// Commit pins the source: this commit is wanted, whatever Ref points to.
	Commit string
	// Depth is how much history the mirror has: 0 = 1 commit, -1 = that of all
	// branches and tags.
	Depth int
	// Exec uses the git binary instead of go-git: for LFS, partial clones and
	// huge repositories.
	Exec bool
	// SecretRef names the credentials; "" = those of the credentials file, or the
	// usual keys for ssh.
	SecretRef string
	// NoModules: submodules are not fetched, and are empty folders.
	NoModules bool
}

// Fetched is what could be had of a source.
type Fetched struct {
	// Commit is what the source stands for; "" = nothing can be had of it.
	Commit string
	// Err says why Commit is not, or may not be, what the remote has now. With a
	// Commit, that is the last good copy.
	Err error
	// Since is when the remote was last asked with success; zero = never.
	Since time.Time
	// OffRef: the pinned commit is no longer reachable from Ref.
	OffRef bool
}

// The errors that callers tell apart; those that [Store.Fetch] returns wrap one
// where it applies. All others are worth another try.
var (
	ErrURL      = errors.New("bad repository URL")        // the user's to mend
	ErrAuth     = errors.New("authentication failed")     // the user's to mend
	ErrNotFound = errors.New("repository not found")      // or not for us
	ErrNoRef    = errors.New("no such branch or tag")     // gone, or never there
	ErrNotHere  = errors.New("not fetched yet")           // [Store.Look] only
	ErrTooLarge = errors.New("repository is too large")   // see StoreOptions
	ErrNoGit    = errors.New("the git program is needed") // file:// with Exec, LFS
)

// StoreOptions say where mirrors are and how remotes are asked. Only Dir is
// required.
type StoreOptions struct {
	Dir string // of the mirrors; made when something is written
	// ReadOnly: Dir is never written to. What is fetched goes into a temporary
	// folder, which Close removes.
	ReadOnly bool
	Auth     Auth
	Timeout  time.Duration // of one source; 0 = 2 minutes
	Retries  int           // after the first try, for errors worth one; 0 = 2, -1 = none
	Parallel int           // sources at once; 0 = 8. Clones are at most 2 at once.
	MaxBytes int64         // of one pack; 0 = 2 GiB
	Log      *slog.Logger  // nil = silent
}

// Auth is where credentials come from.
type Auth struct {
	// Credentials is a file in the format of git-credential-store, one URL with
	// user and password or token a line, readable by its owner only; "" = none.
	Credentials string
	// Secret returns the secret that Source.SecretRef names; nil = there are none.
	Secret     func(name string) (Secret, error)
	SSHKey     string   // private key file; "" = the agent, then ~/.ssh/id_*
	KnownHosts []string // files; nil = ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
	// LookupEnv is where HOME and SSH_AUTH_SOCK come from; nil = os.LookupEnv.
	LookupEnv func(string) (string, bool)
}

// Store holds the mirrors of a host. Its methods may be called concurrently,
// and by several processes on one folder.
type Store struct {
	opt    StoreOptions
	log    *slog.Logger
	http   *http.Transport
	clones chan struct{} // a place for each that may run at once
	now    func() time.Time
	pause  time.Duration // before the second try; it doubles with each
	packs  int           // see maxPacks
	temp   string        // folder of a read-only store; may not exist

	mu      sync.Mutex
	gates   map[string]chan struct{} // see enter
	states  map[string]mirrorState   // of a read-only store, by mirror.key
	judged  map[judgement]bool       // of repositories that are read in place
	expired time.Time                // when old mirrors were last looked for
}

// maxClones is how many clones run at once: one of a large repository takes
// 400 MB of memory.
const maxClones = 2

// NewStore returns the store of the mirrors in o.Dir.
func NewStore(o StoreOptions) *Store {
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	switch {
	case o.Retries == 0:
		o.Retries = 2
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 2 << 30
	}
	s := &Store{
		opt: o, log: o.Log, http: newTransport(), clones: make(chan struct{}, maxClones),
		now: func() time.Time { return time.Now().UTC() }, pause: 500 * time.Millisecond, packs: maxPacks,
		gates: map[string]chan struct{}{}, states: map[string]mirrorState{}, judged: map[judgement]bool{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.ReadOnly {
		s.temp = filepath.Join(os.TempDir(), "reconcile-mirrors-"+rand.Text())
	}
	return s
}

// Close removes what a read-only store fetched.
func (s *Store) Close() error {
	s.http.CloseIdleConnections()
	if s.temp == "" {
		return nil
	}
	if err := os.RemoveAll(s.temp); err != nil {
		return fmt.Errorf("remove temporary mirrors: %w", err)
	}
	return nil
}

// Fetch asks the remotes, in parallel, brings what is missing into the mirrors,
// and returns what could be had of each source, in their order. A remote whose
// ref has not moved costs one listing.
//
// A commit counts as had when its submodules are, too. Of a source that cannot
// be had as it is now, the last good copy is returned beside the error.
func (s *Store) Fetch(ctx context.Context, sources []Source) []Fetched {
	s.expire()
	out := make([]Fetched, len(sources))
	var wg sync.WaitGroup
	running := make(chan struct{}, s.opt.Parallel)
	for _, g := range s.groups(sources, out) {
		wg.Go(func() {
			select {
			case running <- struct{}{}:
				defer func() { <-running }()
			case <-ctx.Done():
			}
			g.run(ctx)
		})
	}
	wg.Wait()
	return out
}

// Look is Fetch without the network: what the mirrors have. Its errors are those
// of the last fetch, or [ErrNotHere].
func (s *Store) Look(sources []Source) []Fetched {
	out := make([]Fetched, len(sources))
	for _, g := range s.groups(sources, out) {
		for _, j := range g.jobs {
			*j.out = s.look(j)
		}
	}
	return out
}

// FS returns the files of a commit that Fetch or Look returned for src, those
// of its submodules among them.
func (s *Store) FS(src Source, commit string) (*FS, error) {
	u, err := ParseURL(src.URL)
	if err != nil {
		return nil, err
	}
	repo, err := s.at(u, src, commit)
	if err != nil {
		return nil, err
	}
	files, err := repo.FS(commit)
	if err != nil {
		return nil, err
	}
	files.store = s
	if src.NoModules {
		_, err := files.Lstat(".gitmodules")
		files.hollow = err == nil
		return files, nil
	}
	if files.modules, err = s.modules(u, src, files, nil); err != nil {
		return nil, err
	}
	return files, nil
}
