// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// group is the sources that one listing answers.
type group struct {
	s    *Store
	u    URL
	src  Source // for backend, depth and credentials
	jobs []*job
}

// job is one source on its way.
type job struct {
	src Source
	u   URL
	out *Fetched
	way chain // to a submodule

	target string // the commit that is wanted; "" = not known yet
	tip    string // what the ref points to; "" = not listed
	asked  bool   // the remote has answered for this source
	err    error
}

// groups sorts sources by what they ask of whom. Results of those that cannot be
// asked at all are set.
func (s *Store) groups(sources []Source, out []Fetched) []*group {
	type key struct{ folder, class, secret string }
	found := map[key]*group{}
	var list []*group
	for i, src := range sources {
		u, err := ParseURL(src.URL)
		if err != nil {
			out[i] = Fetched{Err: err}
			continue
		}
		if src.Commit != "" && !plumbing.IsHash(src.Commit) {
			out[i] = Fetched{Err: fmt.Errorf("%w: %q is not a commit hash of 40 digits", ErrNoRef, src.Commit)}
			continue
		}
		k := key{u.folder(), src.class(), src.SecretRef}
		if found[k] == nil {
			found[k] = &group{s: s, u: u, src: src}
			list = append(list, found[k])
		}
		found[k].jobs = append(found[k].jobs, &job{src: src, u: u, out: &out[i]})
	}
	return list
}

func (g *group) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.s.opt.Timeout)
	defer cancel()
	if g.src.inPlace(g.u) {
		for _, j := range g.jobs {
			g.s.local(ctx, j)
		}
		return
	}
	err := g.s.retry(ctx, func() error { return g.try(ctx) })
	for _, j := range g.jobs {
		if j.err == nil {
			j.err = err
		}
		g.s.finish(ctx, j)
	}
}

// retry does what an error that may pass kept from being done, after pauses of
// half to one and a half times as long as they should be.
func (s *Store) retry(ctx context.Context, do func() error) error {
	pause := s.pause
	for left := s.opt.Retries; ; left-- {
		err := do()
		if err == nil || left <= 0 || !retryable(err) {
			return err
		}
		s.log.Debug("fetch is tried again", "err", err)
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		pause *= 2
	}
}

// try asks the remote once and brings what is missing. Its error concerns all
// jobs that have none of their own; they keep what they have found out.
func (g *group) try(ctx context.Context) error {
	var r remote
	var l listing
	list := false
	for _, j := range g.jobs {
		list = g.s.mustList(j) || list
	}
	if list {
		var err error
		if r, err = g.s.dial(g.u, g.src); err != nil {
			return err
		}
		defer func() { _ = r.close() }() // what matters was read
		if l, err = r.list(ctx); err != nil {
			return err
		}
		for _, j := range g.jobs {
			j.asked = true
			j.resolve(l)
		}
	}
	var tips, exact []want
	for _, j := range g.jobs {
		if j.target == "" || g.s.whole(j) {
			continue
		}
		if t, err := l.resolve(j.src.Ref); err == nil && t.commit == j.target {
			tips = append(tips, t)
		} else if t, ok := l.pointsTo(j.target); ok {
			tips = append(tips, t)
		} else {
			exact = append(exact, want{tip: tip{object: j.target, commit: j.target}})
		}
	}
	if len(tips) > 0 {
		if err := g.s.bring(ctx, g.u, g.src, r, l, tips); err != nil {
			return err
		}
	}
	for _, t := range exact {
		if err := g.exact(ctx, r, l, t); err != nil {
			return err
		}
	}
	return nil
}

// bring makes tips be in the mirror of src.
func (s *Store) bring(ctx context.Context, u URL, src Source, r remote, l listing, tips []want) error {
	m := s.mirror(u, src.class())
	unlock, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return m.bring(ctx, r, l, tips)
}

// exact brings a commit that no reference points to: by itself where the server
// allows that, else with all history, in which it may be.
func (g *group) exact(ctx context.Context, r remote, l listing, t want) error {
	if l.exact || g.src.Exec {
		err := g.s.bring(ctx, g.u, g.src, r, l, []want{t})
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrAuth) || errors.Is(err, ErrTooLarge) {
			return err
		}
	}
	if _, err := g.s.history(ctx, g.src, t.commit); err != nil {
		if !errors.Is(err, ErrNoRef) {
			return err
		}
		for _, j := range g.jobs {
			if j.target == t.commit {
				j.err = err
			}
		}
	}
	return nil
}

// mustList sets what is wanted, as far as that is known without the remote, and
// reports whether the remote has something to say about the source.
func (s *Store) mustList(j *job) bool {
	switch {
	case plumbing.IsHash(j.src.Ref) && j.src.Commit == "":
		j.target = j.src.Ref
	case plumbing.IsHash(j.src.Ref):
		j.target = j.src.Commit
	default:
		j.target = j.src.Commit
		return true
	}
	return !s.whole(j)
}

// resolve says what the source stands for, by what the remote has.
func (j *job) resolve(l listing) {
	j.err = nil
	if plumbing.IsHash(j.src.Ref) {
		return
	}
	t, err := l.resolve(j.src.Ref)
	if err != nil {
		j.err = fmt.Errorf("%s: %w", j.u, err)
		return
	}
	j.tip = t.commit
	if j.src.Commit == "" {
		j.target = t.commit
	}
}

// whole: the wanted commit is in a mirror that nothing is known to be broken in.
func (s *Store) whole(j *job) bool {
	return s.copyWith(j.u, j.src.class(), j.target, true) != nil
}

// finish fetches submodules, judges pins, and sets and records the result.
func (s *Store) finish(ctx context.Context, j *job) {
	m := s.mirror(j.u, j.src.class())
	var was entry
	if st, err := m.load(); err == nil {
		was = st.Entries[entryKey(j.src)]
	}
	got := Fetched{Err: j.err, Since: was.Asked, OffRef: was.OffRef}
	if j.target != "" && s.copyWith(j.u, j.src.class(), j.target, false) != nil {
		if err := s.fetchModules(ctx, j.u, j.src, j.target, j.way); err != nil {
			got.Err = both(got.Err, err)
		} else {
			got.Commit = j.target
		}
	}
	if got.Err == nil && got.Commit == "" {
		got.Err = fmt.Errorf("%s: %w", j.u, ErrNotHere)
	}
	if got.Commit == "" && was.Commit != "" && s.complete(j.u, j.src, was.Commit, nil) == nil {
		got.Commit = was.Commit
	}
	now := s.now()
	if got.Err == nil && j.asked {
		got.Since = now
	}
	verdict := was
	if got.Commit != "" {
		verdict = s.judge(ctx, j, was)
	}
	got.OffRef = verdict.OffRef
	*j.out = got
	if errors.Is(got.Err, context.Canceled) {
		return // says nothing about the remote
	}
	s.note(ctx, m, j.src, func(e *entry) {
		e.Judged, e.OffRef, e.JudgeAfter = verdict.Judged, verdict.OffRef, verdict.JudgeAfter
		e.Asked, e.Used = got.Since, now.Truncate(day)
		if j.tip != "" {
			e.Tip = j.tip
		}
		if got.Commit != "" {
			e.Commit = got.Commit
		}
		switch {
		case got.Err == nil:
			e.Failure = nil
		case e.Failure == nil || e.Failure.Text != got.Err.Error():
			e.Failure = record(got.Err, now)
		}
	})
}

// both is for messages of one line.
func both(a, b error) error {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return fmt.Errorf("%w; %w", a, b)
}

// note changes what is known of a source. That it cannot be written is no reason
// to do without what was fetched.
func (s *Store) note(ctx context.Context, m *mirror, src Source, change func(*entry)) {
	// The time for fetching may be over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	unlock, err := m.hold(ctx)
	if err != nil {
		s.log.Warn("state of a mirror is not written", "url", m.u.String(), "err", err)
		return
	}
	defer unlock()
	st, err := m.load()
	if err == nil {
		before := st.Entries[entryKey(src)]
		st.update(src, change)
		if st.Entries[entryKey(src)] != before {
			err = m.save(st, false)
		}
	}
	if err != nil {
		s.log.Warn("state of a mirror is not written", "url", m.u.String(), "err", err)
	}
	m.touch()
}

// look is what is known of a source without asking anyone.
func (s *Store) look(j *job) Fetched {
	if j.src.inPlace(j.u) {
		s.local(context.Background(), j)
		return *j.out
	}
	st, err := s.known(j)
	if err != nil {
		return Fetched{Err: err}
	}
	e := st.Entries[entryKey(j.src)]
	got := Fetched{Err: e.Failure.err(), Since: e.Asked, OffRef: e.OffRef}
	commit := e.Commit
	switch {
	case j.src.Commit != "":
		commit = j.src.Commit
	case plumbing.IsHash(j.src.Ref):
		commit = j.src.Ref
	}
	if commit != "" {
		if err := s.complete(j.u, j.src, commit, nil); err == nil {
			got.Commit = commit
			return got
		} else if !errors.Is(err, ErrNotHere) {
			got.Err = both(got.Err, err)
		}
	}
	if got.Err != nil {
		got.Err = &notHereError{got.Err}
	} else {
		got.Err = fmt.Errorf("%s: %w", j.u, ErrNotHere)
	}
	return got
}

// notHereError is [ErrNotHere], with why the last fetch failed.
type notHereError struct{ last error }

func (e *notHereError) Error() string {
	return fmt.Sprintf("%v; the last fetch: %v", ErrNotHere, e.last)
}
func (e *notHereError) Unwrap() []error { return []error{ErrNotHere, e.last} }

// LastFailure returns why the last fetch failed of a source that [Store.Look] has
// nothing of; nil = there was none, or the error is another.
func LastFailure(err error) error {
	if e, ok := errors.AsType[*notHereError](err); ok {
		return e.last
	}
	return nil
}

// known is the state of a source's mirror, which need not exist.
func (s *Store) known(j *job) (mirrorState, error) {
	return s.mirror(j.u, j.src.class()).load()
}
