// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/gofrs/flock"
)

// mirror is a copy of a remote repository, to one depth and by one backend:
//
//	DIR/<24 hex of the URL>/<class>/lock
//	                               /state.json
//	                               /3.git       the current generation
//	                               /damaged     names a generation that could not be read
//	                               /used        its time is that of the last use, to the day
//
// Whoever writes holds the lock. Readers do not: they find the generation in
// state.json, and look again when an object is not there.
type mirror struct {
	s     *Store
	u     URL
	class string // go-1, go-full, git-1, …
	dir   string
	// frozen: it is only read, in the folder of a read-only store.
	frozen bool
}

const fullClass = "full"

// class names the backend and the depth of a source's mirror.
func (src Source) class() string {
	switch {
	case src.Depth < 0:
		return src.backend() + "-" + fullClass
	case src.Depth > 1:
		return src.backend() + "-" + strconv.Itoa(src.Depth)
	}
	return src.backend() + "-1"
}

func (src Source) backend() string {
	if src.Exec {
		return "git"
	}
	return "go"
}

func backendOf(class string) string {
	backend, _, _ := strings.Cut(class, "-")
	return backend
}

// depth is how much is fetched at a time; 0 = all history.
func (m *mirror) depth() int {
	_, depth, _ := strings.Cut(m.class, "-")
	n, _ := strconv.Atoi(depth) // "full" is 0
	return n
}

// serves reports whether a mirror of this class has all that a source of the
// other wants: at least as much history, by the same backend.
func serves(class, other string) bool {
	backend, depth, _ := strings.Cut(class, "-")
	wantBackend, wantDepth, _ := strings.Cut(other, "-")
	return backend == wantBackend && (depth == fullClass || wantDepth == "1" || depth == wantDepth)
}

// folder is where the mirrors of a URL are in the folder of a store.
func (u URL) folder() string {
	sum := sha256.Sum256([]byte(u.String()))
	return hex.EncodeToString(sum[:12])
}

// mirror returns the one that a fetch writes to.
func (s *Store) mirror(u URL, class string) *mirror {
	root := s.opt.Dir
	if s.opt.ReadOnly {
		root = s.temp
	}
	return &mirror{s: s, u: u, class: class, dir: filepath.Join(root, u.folder(), class)}
}

// copies returns the mirrors of a URL that there are, that of class first. Only
// those of its backend count: they differ in files that are in LFS. Without a
// class all do, those of the git program first.
func (s *Store) copies(u URL, class string) []*mirror {
	roots := []string{s.opt.Dir}
	if s.opt.ReadOnly {
		roots = append(roots, s.temp)
	}
	var found []*mirror
	for i, root := range roots {
		if root == "" {
			continue // a store of no mirrors, see OpenSource
		}
		entries, err := os.ReadDir(filepath.Join(root, u.folder()))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() && (class == "" || backendOf(e.Name()) == backendOf(class)) {
				found = append(found, &mirror{
					s: s, u: u, class: e.Name(), dir: filepath.Join(root, u.folder(), e.Name()), frozen: s.opt.ReadOnly && i == 0,
				})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *mirror) int {
		switch {
		case a.class == class && b.class != class:
			return -1
		case b.class == class && a.class != class:
			return 1
		}
		return 0
	})
	return found
}

// lock waits until nobody else writes to the mirror, in this process or in
// another.
func (m *mirror) lock(ctx context.Context) (unlock func(), err error) {
	leave, err := m.s.enter(ctx, m.dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		leave()
		return nil, fmt.Errorf("make mirror of %s: %w", m.u, err)
	}
	l := flock.New(filepath.Join(m.dir, "lock"), flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, 25*time.Millisecond); err != nil {
		leave()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: another process is at work on the mirror: %w", m.u, ctx.Err())
		}
		return nil, fmt.Errorf("lock mirror of %s: %w", m.u, err)
	}
	return func() {
		_ = l.Unlock() // the file stays: removing it would give two processes the lock
		leave()
	}, nil
}

// hold is lock for the state alone, of which a read-only store writes nothing.
func (m *mirror) hold(ctx context.Context) (release func(), err error) {
	if m.s.opt.ReadOnly {
		return m.s.enter(ctx, m.dir)
	}
	return m.lock(ctx)
}

// enter lets one goroutine at a time have a key.
func (s *Store) enter(ctx context.Context, key string) (leave func(), err error) {
	s.mu.Lock()
	gate, ok := s.gates[key]
	if !ok {
		gate = make(chan struct{}, 1)
		s.gates[key] = gate
	}
	s.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open opens the current generation.
func (m *mirror) open() (*Repo, error) {
	g, generation, err := m.openGit()
	if err != nil {
		return nil, err
	}
	return &Repo{
		path: filepath.Join(m.dir, generation), url: m.u, git: g,
		reopen: func() (*git.Repository, error) {
			g, now, err := m.openGit()
			generation = now
			return g, err
		},
		damaged: func() { m.suspect(generation) },
	}, nil
}

func (m *mirror) openGit() (g *git.Repository, generation string, err error) {
	st, err := m.load()
	if err != nil {
		return nil, "", err
	}
	if st.Generation == "" {
		return nil, "", fmt.Errorf("mirror of %s: %w", m.u, fs.ErrNotExist)
	}
	g, err = openMirror(filepath.Join(m.dir, st.Generation))
	if err != nil {
		return nil, "", fmt.Errorf("mirror of %s: %w", m.u, err)
	}
	return g, st.Generation, nil
}

// mirrorCache is how much of a mirror a reader keeps in memory. go-git's default
// is 96 MiB for each repository.
const mirrorCache = 8 * cache.MiByte

// openMirror keeps packs open that were read from, so that a reader goes on when
// the generation is removed, and each read need not find its pack again. They
// are closed with the garbage.
func openMirror(dir string) (*git.Repository, error) {
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err != nil {
		return nil, err
	}
	store := filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(mirrorCache), filesystem.Options{KeepDescriptors: true})
	return git.Open(store, nil)
}

// suspect has the next fetch build the generation anew.
func (m *mirror) suspect(generation string) {
	if m.frozen {
		return
	}
	m.s.log.Warn("mirror cannot be read", "url", m.u.String(), "generation", generation)
	// Whether it can be noted or not, the reader is told of the error.
	_ = os.WriteFile(filepath.Join(m.dir, "damaged"), []byte(generation+"\n"), 0o600)
}

// health says what is wrong with the current generation, as far as can be told
// without reading it: "" = nothing.
func (m *mirror) health(st mirrorState) string {
	if b, err := os.ReadFile(filepath.Join(m.dir, "damaged")); err == nil && strings.TrimSpace(string(b)) == st.Generation {
		return "it could not be read"
	}
	have, err := packs(filepath.Join(m.dir, st.Generation))
	if err != nil {
		return err.Error()
	}
	for name, size := range st.Packs {
		if got, ok := have[name]; !ok || got != size {
			return "the pack " + name + " is not whole"
		}
	}
	return ""
}

// has reports whether a commit and its files' list can be read.
func (r *Repo) has(commit string) bool {
	c, err := r.git.CommitObject(plumbing.NewHash(commit))
	if err != nil {
		return false
	}
	_, err = object.GetTree(r.git.Storer, c.TreeHash)
	return err == nil && !r.lacksNote(commit)
}

// repo opens a repository of this host that has the commit of src: a mirror, or
// the repository itself when that is of this host.
func (s *Store) repo(src Source, commit string) (*Repo, error) {
	u, err := ParseURL(src.URL)
	if err != nil {
		return nil, err
	}
	return s.at(u, src, commit)
}

// inPlace: the repository is of this host and needs no mirror.
func (src Source) inPlace(u URL) bool { return u.Local() != "" && !src.Exec }

func (s *Store) at(u URL, src Source, commit string) (*Repo, error) {
	if src.inPlace(u) {
		r, err := Open(u.Local())
		if err != nil {
			return nil, err
		}
		if err := r.again(func(*git.Repository) error { return r.missing(commit) }); err != nil {
			return nil, err
		}
		return r, nil
	}
	if r := s.copyWith(u, src.class(), commit, true); r != nil {
		return r, nil
	}
	if r := s.copyWith(u, src.class(), commit, false); r != nil {
		return r, nil // what can be read of it is better than nothing
	}
	return nil, fmt.Errorf("%w: commit %s of %s", ErrNotHere, commit, u)
}

// copyWith opens a mirror for sources of a class that has the commit; whole, only one in which nothing
// is known to be broken. nil = there is none.
func (s *Store) copyWith(u URL, class, commit string, whole bool) *Repo {
	for _, m := range s.copies(u, class) {
		if !serves(m.class, class) {
			continue
		}
		st, err := m.load()
		if err != nil || st.Generation == "" || whole && m.health(st) != "" {
			continue
		}
		if r := m.with(commit); r != nil {
			return r
		}
	}
	return nil
}

// with opens the mirror if it has the commit. While another writes, a generation
// may go and a pack may come between two looks.
func (m *mirror) with(commit string) *Repo {
	for _, pause := range [...]time.Duration{0, 2 * time.Millisecond} {
		time.Sleep(pause)
		if r, err := m.open(); err == nil && r.has(commit) {
			return r
		}
	}
	return nil
}

func (r *Repo) missing(commit string) error {
	if !r.has(commit) {
		return fmt.Errorf("%w: commit %s of %s", ErrNotHere, commit, r.path)
	}
	return nil
}

// Each try of again comes after a pause: what writes to the repository is about
// to finish.
var pauses = [...]time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond}

// again does read, and once more with the repository opened anew when that
// fails: packs come and go under a reader. An error that stays is the
// repository's, which the mirror is told of.
func (r *Repo) again(read func(*git.Repository) error) error {
	err := read(r.git)
	if err == nil || !mayPass(err) {
		return err
	}
	for _, pause := range pauses {
		time.Sleep(pause)
		g, e := r.open()
		if e != nil {
			continue
		}
		r.git = g
		if err = read(g); err == nil {
			return nil
		}
	}
	if r.damaged != nil && !errors.Is(err, ErrNotHere) {
		r.damaged()
	}
	return err
}

func (r *Repo) open() (*git.Repository, error) {
	if r.reopen != nil {
		return r.reopen()
	}
	o, err := Open(r.path)
	if err != nil {
		return nil, err
	}
	return o.git, nil
}

// mayPass: the error is not of this process, or of who it is.
func mayPass(err error) bool {
	return !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errTooManyFiles)
}
