// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"
)

// Source is a repository at a ref, as somebody asks for it.
type Source struct {
	// URL is https, http, ssh, git@host:path or file. One with credentials in
	// it is refused.
	URL string
	// Ref is a branch, tag, whole reference or commit hash; "" = the default
	// branch.
	Ref string
	// Commit pins the source: this commit is wanted, whatever Ref points to.
	Commit string
	// Depth is how much history the mirror has: 0 = 1 commit, -1 = all.
	Depth int
	// Exec uses the git binary instead of go-git: for LFS, partial clones and
	// huge repositories.
	Exec bool
	// SecretRef names the credentials; "" = those of the credentials file.
	SecretRef string
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
	// Secret returns the content of a secret that Source.SecretRef names: a
	// private key (PEM), user:password, or a token; nil = there are none.
	Secret     func(name string) ([]byte, error)
	SSHKey     string   // private key file; "" = the agent, then ~/.ssh/id_*
	KnownHosts []string // files; nil = ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
	LookupEnv  func(string) (string, bool)
}

// Store holds the mirrors of a host. Its methods may be called concurrently,
// and by several processes on one folder.
type Store struct{ opt StoreOptions }

// NewStore returns the store of the mirrors in o.Dir.
func NewStore(o StoreOptions) *Store { return &Store{opt: o} }

// Close removes what a read-only store fetched.
func (s *Store) Close() error { return nil }

// Fetch asks the remotes, in parallel, brings what is missing into the mirrors,
// and returns what could be had of each source, in their order. A remote whose
// ref has not moved costs one listing.
func (s *Store) Fetch(ctx context.Context, sources []Source) []Fetched { panic("not built") }

// Look is Fetch without the network: what the mirrors have.
func (s *Store) Look(sources []Source) []Fetched { panic("not built") }

// FS returns the files of a commit that Fetch or Look returned for src.
func (s *Store) FS(src Source, commit string) (*FS, error) { panic("not built") }

// OpenSource opens what [FS.Source] named, as the function [OpenSource] does,
// and folders of mirrors, whichever generation of a mirror they are in by now.
func (s *Store) OpenSource(from string) (files fs.FS, close func() error, err error) {
	return OpenSource(from)
}

// LogEntry is one commit of a changelog.
type LogEntry struct {
	Commit  string
	Subject string // first line of the message
	Author  string
	Time    time.Time
}

// Log returns the commits that newer has and older lacks, newest first, at most
// limit, and whether there are more. It brings history into the mirror as far
// as that needs. An empty older means newer alone.
func (s *Store) Log(ctx context.Context, src Source, older, newer string, limit int) (log []LogEntry, more bool, err error) {
	panic("not built")
}
