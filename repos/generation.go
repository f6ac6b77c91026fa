// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"reconcile/atomicfile"
)

// maxPacks is after how many fetches a mirror is cloned afresh: each adds a
// pack, go-git cannot repack, and every look-up asks every pack.
const maxPacks = 50

var generationName = regexp.MustCompile(`^[1-9][0-9]*\.git$`)

// bring makes the wanted tips be in the mirror, whose lock the caller holds. Its
// generation is extended, or built anew when it is not whole or has too many
// packs; what was there stays until the new one is complete.
func (m *mirror) bring(ctx context.Context, r remote, l listing, tips []want) error {
	st, err := m.load()
	if err != nil {
		return err
	}
	m.sweep(st)
	if st.Generation != "" && len(st.Packs) < 2*m.s.packs { // a pack and its index
		why := m.health(st)
		if why == "" {
			done, err := m.extend(ctx, r, l, &st, tips)
			if done || err != nil && !errors.Is(err, errMirror) {
				return err
			}
			why = "objects are missing from it"
		}
		m.s.log.Warn("mirror is built anew", "url", m.u.String(), "because", why)
	}
	return m.rebuild(ctx, r, l, st, tips)
}

// errMirror is an error of the mirror, not of the remote.
var errMirror = errors.New("the mirror cannot be read")

// extend returns false when the generation lacks what it should have got.
func (m *mirror) extend(ctx context.Context, r remote, l listing, st *mirrorState, tips []want) (bool, error) {
	dir := filepath.Join(m.dir, st.Generation)
	missing := m.lacking(append(slices.Clone(tips), m.also(l)...))
	if len(missing) == 0 {
		return true, nil
	}
	if err := r.fetch(ctx, dir, wants{tips: missing, depth: m.depth(), haves: m.haves(*st)}); err != nil {
		return false, err
	}
	if left := m.lacking(tips); len(left) > 0 {
		return false, m.otherThings(left)
	}
	return true, m.commit(st, st.Generation, l)
}

// haves are commits that need not be sent again: in a mirror of one commit each
// the border of its history says so, in one of more the commits that it is for.
func (m *mirror) haves(st mirrorState) []string {
	if m.depth() < 2 {
		return st.Heads
	}
	r, err := m.open()
	if err != nil {
		return nil
	}
	var haves []string
	for _, e := range st.Entries {
		if e.Commit != "" && !slices.Contains(haves, e.Commit) && r.has(e.Commit) {
			haves = append(haves, e.Commit)
		}
	}
	return haves
}

// otherThings is an error when a tip is here and no commit, as tags of files
// are. A new clone would not change that.
func (m *mirror) otherThings(tips []want) error {
	r, err := m.open()
	if err != nil {
		return nil
	}
	for _, t := range tips {
		o, err := r.git.Storer.EncodedObject(plumbing.AnyObject, plumbing.NewHash(t.commit))
		if err == nil && o.Type() != plumbing.CommitObject {
			return fmt.Errorf("%s: %w: %s is not a commit", m.u, ErrNoRef, cmp.Or(t.name, t.commit))
		}
	}
	return nil
}

// also is what a mirror with history has beside what is wanted: all branches and
// tags. Tags of other things than commits do not matter.
func (m *mirror) also(l listing) []want {
	if m.depth() != 0 {
		return nil
	}
	var tips []want
	for _, name := range slices.Sorted(maps.Keys(l.refs)) {
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			tips = append(tips, want{name, l.refs[name]})
		}
	}
	return tips
}

// lacking returns the tips whose commit cannot be read.
func (m *mirror) lacking(tips []want) []want {
	r, err := m.open()
	if err != nil {
		return tips
	}
	return slices.DeleteFunc(slices.Clone(tips), func(t want) bool { return r.has(t.commit) })
}

// rebuild clones afresh what is wanted and what others asked for, and carries
// over what the remote no longer has.
func (m *mirror) rebuild(ctx context.Context, r remote, l listing, st mirrorState, tips []want) error {
	name := m.next(st)
	dir := filepath.Join(m.dir, name)
	if _, err := git.PlainInit(dir, true); err != nil {
		return fmt.Errorf("make mirror: %w", err)
	}
	all := append(slices.Clone(tips), m.also(l)...)
	keep := map[string]bool{}
	for key, e := range st.Entries {
		if m.s.now().Sub(e.Used) > unused {
			delete(st.Entries, key)
			continue
		}
		if e.Commit == "" || st.Generation == "" {
			continue
		}
		keep[e.Commit] = true
		if t, err := l.resolve(e.Ref); err == nil && (e.follows(key) || t.commit == e.Commit) {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil // there is nothing to have
	}
	err := m.clone(ctx, r, dir, wants{tips: all, depth: m.depth(), admit: m.s.admit})
	if err == nil {
		err = complete(dir, tips)
	}
	if err != nil {
		_ = os.RemoveAll(dir) // else the next fetch does
		return err
	}
	m.carry(filepath.Join(m.dir, st.Generation), dir, slices.Sorted(maps.Keys(keep)))
	st.Heads = nil
	if err := m.commit(&st, name, l); err != nil {
		return err
	}
	_ = os.Remove(filepath.Join(m.dir, "damaged"))
	// The old generation goes, and those that never became one. Readers that have
	// it open look again.
	m.sweep(st)
	return nil
}

// clone fetches into an empty generation, after admission. The git program
// cannot be held up between the answer and the pack.
func (m *mirror) clone(ctx context.Context, r remote, dir string, w wants) error {
	if backendOf(m.class) == "git" {
		leave, err := w.admit(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	return r.fetch(ctx, dir, w)
}

// admit lets few clones at a time take in what they get.
func (s *Store) admit(ctx context.Context) (leave func(), err error) {
	select {
	case s.clones <- struct{}{}:
		return func() { <-s.clones }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func complete(dir string, tips []want) error {
	r, err := Open(dir)
	if err != nil {
		return err
	}
	for _, t := range tips {
		if !r.has(t.commit) {
			return fmt.Errorf("%w: %s is not a commit, or the server did not send it", ErrNoRef, cmp.Or(t.name, t.commit))
		}
	}
	return nil
}

// commit makes a generation the current one.
func (m *mirror) commit(st *mirrorState, name string, l listing) error {
	sizes, err := packs(filepath.Join(m.dir, name))
	if err != nil {
		return fmt.Errorf("read mirror: %w", err)
	}
	st.Generation, st.Packs = name, sizes
	if m.depth() == 0 {
		st.Heads = m.heads(name, l)
	}
	if err := atomicfile.SyncDir(m.dir); err != nil {
		return fmt.Errorf("write mirror: %w", err)
	}
	return m.save(*st, true)
}

// heads are the listed commits that are here with all of their history, which
// those at its border are not. Fewer are no harm: more is fetched then.
func (m *mirror) heads(name string, l listing) []string {
	r, err := Open(filepath.Join(m.dir, name))
	if err != nil {
		return nil
	}
	border, err := r.git.Storer.Shallow()
	if err != nil {
		return nil
	}
	heads := map[string]bool{}
	for _, t := range l.refs {
		if !heads[t.commit] && r.has(t.commit) && !slices.Contains(border, plumbing.NewHash(t.commit)) {
			heads[t.commit] = true
		}
	}
	return slices.Sorted(maps.Keys(heads))
}

// next is a name that no generation has had in this folder.
func (m *mirror) next(st mirrorState) string {
	n, _ := strconv.Atoi(strings.TrimSuffix(st.Generation, ".git"))
	entries, _ := os.ReadDir(m.dir) // made by the lock
	for _, e := range entries {
		if generationName.MatchString(e.Name()) {
			i, _ := strconv.Atoi(strings.TrimSuffix(e.Name(), ".git"))
			n = max(n, i)
		}
	}
	return strconv.Itoa(n+1) + ".git"
}

// sweep removes what fetches left that were killed: generations that never
// became current, and files within the current one.
func (m *mirror) sweep(st mirrorState) {
	entries, _ := os.ReadDir(m.dir)
	for _, e := range entries {
		switch name := e.Name(); {
		case generationName.MatchString(name) && name != st.Generation && st.Generation != "",
			strings.HasPrefix(name, atomicfile.TempPrefix):
			_ = os.RemoveAll(filepath.Join(m.dir, name))
		}
	}
	if st.Generation == "" {
		return
	}
	folder := filepath.Join(m.dir, st.Generation, "objects", "pack")
	entries, _ = os.ReadDir(folder)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tmp_") {
			_ = os.Remove(filepath.Join(folder, e.Name()))
		}
	}
}

// carry copies commits with their files, but without their history, from one
// generation to the next. What cannot be read is left behind.
func (m *mirror) carry(from, to string, commits []string) {
	src, err := Open(from)
	if err != nil {
		return
	}
	dst, err := Open(to)
	if err != nil {
		return
	}
	for _, c := range commits {
		if dst.has(c) {
			continue
		}
		if err := transplant(src, dst, plumbing.NewHash(c)); err != nil {
			m.s.log.Debug("commit is not carried over", "url", m.u.String(), "commit", c, "err", err)
		}
	}
}

// transplant copies one commit and its files. It becomes part of the border of
// the history, so that nobody is told that its parents are there.
func transplant(src, dst *Repo, commit plumbing.Hash) error {
	c, err := src.git.CommitObject(commit)
	if err != nil {
		return err
	}
	if err := transplantTree(src, dst, c.TreeHash, 0); err != nil {
		return err
	}
	linkLarge(src, dst)
	border, err := dst.git.Storer.Shallow()
	if err != nil {
		return err
	}
	if err := dst.git.Storer.SetShallow(append(border, commit)); err != nil {
		return err
	}
	if err := transplantObject(src, dst, commit); err != nil {
		return err
	}
	return dst.noteWhole(commit.String())
}

// maxTreeDepth stops at trees that nobody made by hand.
const maxTreeDepth = 500

func transplantTree(src, dst *Repo, hash plumbing.Hash, depth int) error {
	if depth > maxTreeDepth {
		return errors.New("folders are nested too deep")
	}
	t, err := object.GetTree(src.git.Storer, hash)
	if err != nil {
		return err
	}
	for _, e := range t.Entries {
		switch e.Mode {
		case filemode.Dir:
			err = transplantTree(src, dst, e.Hash, depth+1)
		case filemode.Submodule:
		default:
			err = transplantObject(src, dst, e.Hash)
		}
		if err != nil {
			return err
		}
	}
	return transplantObject(src, dst, hash)
}

func transplantObject(src, dst *Repo, hash plumbing.Hash) error {
	if dst.git.Storer.HasEncodedObject(hash) == nil {
		return nil
	}
	o, err := src.git.Storer.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return err
	}
	_, err = dst.git.Storer.SetEncodedObject(o)
	return err
}
