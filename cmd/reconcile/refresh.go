// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"reconcile/forge"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/repos"
)

// The bounds of a refresher.
const (
	defaultPoll   = time.Minute
	fetchesAtOnce = 8
	firstRetry    = 2 * time.Second
)

// refresher loads the workspace of a daemon from what the mirrors have, and
// keeps the mirrors fresh in the background, so that no load ever waits for the
// network.
type refresher struct {
	app    *app
	at     location
	name   string // where the workspace's file says none; "" = not known yet
	notify func(reconcile.Cause)
	poll   time.Duration

	store *repos.Store
	fetch func(context.Context, []repos.Source) []repos.Fetched // Store.Fetch
	have  func([]repos.Source) []repos.Fetched                  // Store.Look

	mu      sync.Mutex
	wanted  map[repos.Source]*wanted
	asked   map[repos.Source]bool // by the load under way, or the last one
	states  []sourceState         // of the last load
	folders []string
	wake    chan struct{} // holds one: something is due
	slots   chan struct{}
	flights sync.WaitGroup
}

// wanted is a source that the last load asked for.
type wanted struct {
	due      time.Time
	flying   bool
	again    bool              // asked for while it was flying
	causes   []reconcile.Cause // whom to tell when it is there, even without news
	asking   []chan struct{}   // closed when it is there
	failures int
	last     repos.Fetched
	asked    bool
}

func (a *app) newRefresher(notify func(reconcile.Cause)) (*refresher, error) {
	at, err := locate(a.workspace)
	if err != nil {
		return nil, err
	}
	poll := a.poll
	if poll <= 0 {
		poll = defaultPoll
	}
	store := a.openStore(reachFetch)
	r := &refresher{
		app: a, at: at, notify: notify, poll: poll, store: store, fetch: store.Fetch, have: store.Look,
		wanted: map[repos.Source]*wanted{}, wake: make(chan struct{}, 1), slots: make(chan struct{}, fetchesAtOnce),
	}
	if at.git != nil {
		r.want(at.git.source())
	}
	return r, nil
}

// Load reads and resolves the workspace from what is on this host.
func (r *refresher) Load(ctx context.Context, _ []reconcile.Cause) (reconcile.Loaded, error) {
	src, err := r.load(ctx)
	if no, ok := errors.AsType[*refusedError](err); ok {
		return reconcile.Loaded{
			Desired: plan.Desired{Workspace: r.name, Root: r.at.root()}, Fatal: true,
			Diagnostics: refusalDiagnostics(no.reasons), Refused: no.reasons, RefusedRevision: no.commit,
		}, nil
	}
	if err != nil {
		return reconcile.Loaded{}, err
	}
	if src.checkout != nil && !src.Fatal {
		if err := src.checkout(); err != nil {
			return reconcile.Loaded{}, err
		}
	}
	return reconcile.Loaded{
		Desired: src.Desired, Diagnostics: src.Diagnostics, Fatal: src.Fatal,
		Refused: src.refused, RefusedRevision: src.refusedCommit, LookAgain: src.LookAgain,
	}, nil
}

func (r *refresher) load(ctx context.Context) (source, error) {
	git := &gitSources{store: r.store, ask: r.look, sealed: &r.app.sealed}
	o := loadOptions{at: r.at, fallback: r.name, git: git, reach: reachFetch}
	r.mu.Lock()
	r.asked = map[repos.Source]bool{}
	r.mu.Unlock()
	var src source
	var err error
	if r.at.git == nil {
		src, err = r.app.loadFiles(ctx, o)
	} else {
		src, err = r.app.loadGit(ctx, o)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = git.states()
	if err != nil {
		return source{}, err
	}
	r.folders = src.folders
	r.forget()
	return src, nil
}

// look is gitSources.ask of a daemon: what the mirrors have, and what the last
// fetch said of it.
func (r *refresher) look(_ context.Context, sources []repos.Source) []repos.Fetched {
	out := r.have(sources)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, src := range sources {
		r.asked[src] = true
		w := r.wantLocked(src)
		if w.asked && w.last.Err != nil && (out[i].Err == nil || out[i].Commit == "") {
			out[i].Err = w.last.Err
		}
	}
	return out
}

func (r *refresher) want(src repos.Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wantLocked(src)
}

// wantLocked returns what is known of a source; a new one is due at once.
func (r *refresher) wantLocked(src repos.Source) *wanted {
	w := r.wanted[src]
	if w == nil {
		w = &wanted{}
		r.wanted[src] = w
		r.nudge()
	}
	return w
}

// forget stops polling what the last load did not ask for.
func (r *refresher) forget() {
	for src, w := range r.wanted {
		if !r.asked[src] && !w.flying {
			w.answer()
			delete(r.wanted, src)
		}
	}
}

// Refresh asks all remotes now, and notifies when they have answered, news or
// not.
func (r *refresher) Refresh(c reconcile.Cause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wanted) == 0 {
		r.notify(c)
		return
	}
	for _, w := range r.wanted {
		w.due, w.again = time.Time{}, w.flying
		w.causes = append(w.causes, c)
	}
	r.nudge()
}

// Ask asks all remotes now and returns when each has answered, news or not. The
// error is for a context that ended before.
func (r *refresher) Ask(ctx context.Context) error {
	r.mu.Lock()
	var asked []chan struct{}
	for _, w := range r.wanted {
		done := make(chan struct{})
		w.due, w.again = time.Time{}, w.flying
		w.asking = append(w.asking, done)
		asked = append(asked, done)
	}
	r.mu.Unlock()
	r.nudge()
	for _, done := range asked {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// answer tells all who asked that the source has answered, or is not wanted any
// more.
func (w *wanted) answer() {
	for _, done := range w.asking {
		close(done)
	}
	w.asking = nil
}

func (r *refresher) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run polls until ctx ends, and returns when no fetch is under way.
func (r *refresher) Run(ctx context.Context) error {
	defer r.flights.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		timer.Reset(time.Until(r.launch(ctx, time.Now())))
	}
}

// launch starts what is due and returns when the next is.
func (r *refresher) launch(ctx context.Context, now time.Time) (next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next = now.Add(r.poll)
	for src, w := range r.wanted {
		switch {
		case w.flying:
		case w.due.After(now):
			if w.due.Before(next) {
				next = w.due
			}
		default:
			w.flying, w.again = true, false
			r.flights.Add(1)
			go r.fly(ctx, src, w)
		}
	}
	return next
}

// fly fetches one source, at most fetchesAtOnce at a time.
func (r *refresher) fly(ctx context.Context, src repos.Source, w *wanted) {
	defer r.flights.Done()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return
	}
	f := r.fetch(ctx, []repos.Source{src})[0]
	if ctx.Err() != nil {
		return
	}
	r.landed(src, w, f)
}

// landed books what a fetch brought, and tells of news.
func (r *refresher) landed(src repos.Source, w *wanted, f repos.Fetched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := !w.asked || f.Commit != w.last.Commit || errorText(f.Err) != errorText(w.last.Err) || f.OffRef != w.last.OffRef
	w.flying, w.asked, w.last = false, true, f
	wait := r.poll
	w.failures++
	if f.Err == nil {
		w.failures = 0
	} else if retry := firstRetry << min(w.failures-1, 16); retry < wait {
		wait = retry
	}
	w.due = time.Now().Add(jitter(wait))
	if w.again {
		w.due = time.Time{}
	} else {
		for _, c := range w.causes {
			r.notify(c)
		}
		w.causes = nil
		w.answer()
	}
	for i := range r.states {
		if r.states[i].source == src {
			r.states[i].Since, r.states[i].Stale, r.states[i].Error = f.Since, f.Err != nil, errorText(f.Err)
		}
	}
	if news {
		r.notify(reconcile.CausePoll)
	}
	r.nudge()
}

// Watched are the refs of the repositories that are polled, sorted.
func (r *refresher) Watched() []forge.Watch {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []forge.Watch
	for src := range r.wanted {
		if u, err := repos.ParseURL(src.URL); err == nil {
			out = append(out, forge.Watch{Path: u.Path, Ref: src.Ref})
		}
	}
	slices.SortFunc(out, func(a, b forge.Watch) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Ref, b.Ref))
	})
	return out
}

// State is what is known of the repositories that the last load asked for.
func (r *refresher) State() []sourceState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]sourceState(nil), r.states...)
}

// Folders are those that the workspace is read from in place.
func (r *refresher) Folders() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.folders...)
}

// jitter is d give or take a tenth.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
