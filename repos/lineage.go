// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// judgeAgain is when it is tried again to find out whether a pinned commit is on
// its ref: that may need all history of a large repository.
const judgeAgain = time.Hour

// history opens a repository of this host that has the commits with all of
// their history, and asks the remote for it where needed. A commit that the
// remote no longer has in any branch or tag comes without its history, if it is
// here at all.
func (s *Store) history(ctx context.Context, src Source, commits ...string) (*Repo, error) {
	u, err := ParseURL(src.URL)
	if err != nil {
		return nil, err
	}
	if src.inPlace(u) {
		return s.at(u, src, commits[len(commits)-1])
	}
	src.Depth = -1
	if r := s.lineage(u, src, commits); r != nil {
		return r, nil
	}
	if err := s.retry(ctx, func() error { return s.bringHistory(ctx, u, src, commits) }); err != nil {
		return nil, err
	}
	if r := s.lineage(u, src, commits); r != nil {
		return r, nil
	}
	commits = slices.DeleteFunc(slices.Clone(commits), func(c string) bool { return s.lineage(u, src, []string{c}) != nil })
	return nil, fmt.Errorf("%s: %w: commit %s is in no branch and no tag", u, ErrNoRef, strings.Join(commits, ", "))
}

// lineage opens the mirror with history that has all the commits; nil = there
// is none.
func (s *Store) lineage(u URL, src Source, commits []string) *Repo {
	for _, m := range s.copies(u, src.class()) {
		if m.class != src.class() {
			continue
		}
		st, err := m.load()
		if err != nil || m.health(st) != "" {
			continue
		}
		r, err := m.open()
		if err == nil && !slices.ContainsFunc(commits, func(c string) bool { return !r.has(c) }) {
			return r
		}
	}
	return nil
}

func (s *Store) bringHistory(ctx context.Context, u URL, src Source, commits []string) error {
	r, err := s.dial(u, src)
	if err != nil {
		return err
	}
	defer func() { _ = r.close() }() // what matters was read
	l, err := r.list(ctx)
	if err != nil {
		return err
	}
	m := s.mirror(u, src.class())
	unlock, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var tips []want
	for _, c := range commits {
		if t, ok := l.pointsTo(c); ok {
			tips = append(tips, t)
		}
	}
	if err := m.bring(ctx, r, l, tips); err != nil {
		return err
	}
	return s.strays(ctx, m, r, l, commits)
}

// strays brings commits that no branch and no tag leads to: from the remote, if
// it gives them away, else from a mirror that has their files.
func (s *Store) strays(ctx context.Context, m *mirror, r remote, l listing, commits []string) error {
	for _, c := range commits {
		t := want{tip: tip{object: c, commit: c}}
		if len(m.lacking([]want{t})) == 0 {
			continue
		}
		if l.exact || strings.HasPrefix(m.class, "git-") {
			if err := m.bring(ctx, r, l, []want{t}); err == nil {
				continue
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		backend, _, _ := strings.Cut(m.class, "-")
		here := s.copyWith(m.u, backend+"-1", c, false) // of any depth
		if here == nil {
			continue
		}
		there, err := m.open()
		if err != nil {
			return err
		}
		if err := transplant(here, there, plumbing.NewHash(c)); err != nil {
			return fmt.Errorf("copy commit %s: %w", c, err)
		}
	}
	return nil
}
