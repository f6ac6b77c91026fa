// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// local looks a source up in a repository of this host, where it is. Others may
// push to it or pack it meanwhile.
func (s *Store) local(ctx context.Context, j *job) {
	got := Fetched{}
	if commit, err := s.localCommit(j); err != nil {
		got.Err = err
	} else {
		got.Commit = commit
	}
	if j.src.Commit != "" && got.Err == nil {
		got.OffRef = s.judge(ctx, j, entry{}).OffRef
	}
	if got.Commit != "" {
		if err := s.fetchModules(ctx, j.u, j.src, got.Commit, j.way); err != nil {
			got.Commit, got.Err = "", both(got.Err, err)
		}
	}
	if got.Err == nil {
		got.Since = s.now()
	}
	*j.out = got
}

// localCommit returns the commit of a source and notes what its ref points to.
// A pinned commit counts even when its ref is gone.
func (s *Store) localCommit(j *job) (string, error) {
	r, err := Open(j.u.Local())
	if err != nil {
		return "", err
	}
	err = r.again(func(*git.Repository) (err error) {
		j.tip, err = r.Commit(j.src.Ref)
		return err
	})
	if j.src.Commit == "" {
		return j.tip, err
	}
	if missing := r.again(func(*git.Repository) error { return r.missing(j.src.Commit) }); missing != nil {
		return "", fmt.Errorf("%w: %s has no commit %s", ErrNoRef, j.u, j.src.Commit)
	}
	return j.src.Commit, err
}

// judgement is a question about history that has one answer for ever.
type judgement struct{ folder, tip, commit string }

// judge finds out whether a pinned commit is still in the history of its ref.
// Where that cannot be found out, what is known stays.
func (s *Store) judge(ctx context.Context, j *job, was entry) entry {
	switch {
	case j.src.Commit == "" || j.tip == "" || was.Judged == j.tip:
		return was
	case j.tip == j.src.Commit:
		was.Judged, was.OffRef = j.tip, false
		return was
	case s.now().Before(was.JudgeAfter):
		return was
	}
	key := judgement{j.u.folder(), j.tip, j.src.Commit}
	s.mu.Lock()
	off, ok := s.judged[key]
	s.mu.Unlock()
	if !ok {
		on, err := s.reaches(ctx, j.src, j.src.Commit, j.tip)
		if err != nil {
			s.log.Warn("history cannot be read", "url", j.u.String(), "err", err)
			was.JudgeAfter = s.now().Add(judgeAgain)
			return was
		}
		off = !on
		s.mu.Lock()
		s.judged[key] = off
		s.mu.Unlock()
	}
	was.Judged, was.OffRef = j.tip, off
	return was
}

// reaches reports whether newer has older in its history.
func (s *Store) reaches(ctx context.Context, src Source, older, newer string) (bool, error) {
	repo, err := s.history(ctx, src, older, newer)
	if err != nil {
		return false, err
	}
	var on bool
	err = repo.again(func(g *git.Repository) (err error) {
		on, err = newHistory(g).isAncestor(plumbing.NewHash(older), plumbing.NewHash(newer))
		return err
	})
	return on, err
}
