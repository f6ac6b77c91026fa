// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/repos"
)

// fakeRemotes answers for remotes as told, and counts.
type fakeRemotes struct {
	mu      sync.Mutex
	answers map[string]repos.Fetched // by URL
	slow    map[string]time.Duration
	asked   map[string][]time.Time
	causes  []reconcile.Cause
}

func (f *fakeRemotes) fetch(ctx context.Context, sources []repos.Source) []repos.Fetched {
	var out []repos.Fetched
	for _, s := range sources {
		f.mu.Lock()
		f.asked[s.URL] = append(f.asked[s.URL], time.Now())
		slow := f.slow[s.URL]
		f.mu.Unlock()
		select {
		case <-time.After(slow):
		case <-ctx.Done():
		}
		f.mu.Lock()
		out = append(out, f.answers[s.URL])
		f.mu.Unlock()
	}
	return out
}

func (f *fakeRemotes) look(sources []repos.Source) []repos.Fetched {
	return make([]repos.Fetched, len(sources))
}

func (f *fakeRemotes) notify(c reconcile.Cause) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.causes = append(f.causes, c)
}

// told returns the causes since the last call.
func (f *fakeRemotes) told() []reconcile.Cause {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.causes
	f.causes = nil
	return out
}

func (f *fakeRemotes) count(url string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked[url])
}

func (f *fakeRemotes) answer(url string, a repos.Fetched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[url] = a
}

// startRefresher runs a refresher that polls each minute, until the test ends.
func startRefresher(t *testing.T, f *fakeRemotes, urls ...string) *refresher {
	f.asked, f.slow = map[string][]time.Time{}, map[string]time.Duration{}
	r := &refresher{
		notify: f.notify, poll: time.Minute, fetch: f.fetch, have: f.look,
		wanted: map[repos.Source]*wanted{}, asked: map[repos.Source]bool{},
		wake: make(chan struct{}, 1), slots: make(chan struct{}, fetchesAtOnce),
	}
	for _, u := range urls {
		r.want(repos.Source{URL: u})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func TestRefresherTellsOfNewsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRemotes{answers: map[string]repos.Fetched{"a": {Commit: "1"}}}
		startRefresher(t, f, "a")
		synctest.Wait()
		if got := f.told(); !slices.Equal(got, []reconcile.Cause{reconcile.CausePoll}) {
			t.Errorf("at first: told %v, want one poll", got)
		}
		time.Sleep(10 * time.Minute)
		if got := f.told(); len(got) != 0 {
			t.Errorf("nothing new: told %v", got)
		}
		if n := f.count("a"); n < 9 || n > 12 {
			t.Errorf("asked %d times in ten minutes, want about 10", n)
		}
		f.answer("a", repos.Fetched{Commit: "2"})
		time.Sleep(67 * time.Second)
		if got := f.told(); !slices.Equal(got, []reconcile.Cause{reconcile.CausePoll}) {
			t.Errorf("a new commit: told %v, want one poll", got)
		}
	})
}

// One remote that never answers holds up no other.
func TestRefresherSlowRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRemotes{answers: map[string]repos.Fetched{"a": {Commit: "1"}, "b": {Commit: "1"}}}
		r := startRefresher(t, f)
		f.mu.Lock()
		f.slow["b"] = 24 * time.Hour
		f.mu.Unlock()
		r.want(repos.Source{URL: "a"})
		r.want(repos.Source{URL: "b"})
		time.Sleep(10 * time.Minute)
		if a, b := f.count("a"), f.count("b"); a < 9 || b != 1 {
			t.Errorf("asked a %d times and b %d times, want about 10 and 1", a, b)
		}
	})
}

func TestRefresherRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRemotes{answers: map[string]repos.Fetched{"a": {Commit: "1", Err: errors.New("no route")}}}
		startRefresher(t, f, "a")
		synctest.Wait()
		f.told()
		time.Sleep(time.Minute)
		if n := f.count("a"); n < 4 || n > 7 { // at 0, 2, 6, 14, 30, 62 s
			t.Errorf("asked %d times in a minute, want about 5", n)
		}
		if got := f.told(); len(got) != 0 {
			t.Errorf("the same failure: told %v", got)
		}
		f.answer("a", repos.Fetched{Commit: "1"})
		time.Sleep(70 * time.Second)
		if got := f.told(); !slices.Equal(got, []reconcile.Cause{reconcile.CausePoll}) {
			t.Errorf("it is there again: told %v, want one poll", got)
		}
	})
}

// Whoever asks for a look is told when the remotes have answered, even when
// they had nothing new, and after a question that was put later.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRemotes{answers: map[string]repos.Fetched{"a": {Commit: "1"}}}
		r := startRefresher(t, f, "a")
		synctest.Wait()
		f.told()
		before := f.count("a")
		r.Refresh(reconcile.CauseSignal)
		synctest.Wait()
		if got := f.told(); !slices.Equal(got, []reconcile.Cause{reconcile.CauseSignal}) || f.count("a") != before+1 {
			t.Errorf("told %v after %d questions, want a signal after one", got, f.count("a")-before)
		}

		f.mu.Lock()
		f.slow["a"] = 5 * time.Second
		f.mu.Unlock()
		r.Refresh(reconcile.CauseWebhook)
		time.Sleep(time.Second)
		f.answer("a", repos.Fetched{Commit: "2"})
		r.Refresh(reconcile.CausePush) // the question under way may be too old
		time.Sleep(5 * time.Second)
		if got := f.told(); !slices.Equal(got, []reconcile.Cause{reconcile.CausePoll}) {
			t.Errorf("while the second question is open: told %v, want the news alone", got)
		}
		time.Sleep(5 * time.Second)
		if got := f.told(); !slices.Equal(got, []reconcile.Cause{reconcile.CauseWebhook, reconcile.CausePush}) {
			t.Errorf("told %v, want webhook and push", got)
		}
	})
}

// A workspace without git has nobody to ask.
func TestRefreshWithoutRemotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRemotes{}
		r := startRefresher(t, f)
		r.Refresh(reconcile.CauseSignal)
		synctest.Wait()
		if got := f.told(); !slices.Equal(got, []reconcile.Cause{reconcile.CauseSignal}) {
			t.Errorf("told %v, want a signal", got)
		}
	})
}

// What no load asks for any more is not polled.
func TestRefresherForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRemotes{answers: map[string]repos.Fetched{}}
		r := startRefresher(t, f, "a", "b")
		time.Sleep(time.Second)
		r.look(t.Context(), []repos.Source{{URL: "a"}})
		r.mu.Lock()
		r.forget()
		r.mu.Unlock()
		before := f.count("b")
		time.Sleep(10 * time.Minute)
		if f.count("b") != before || f.count("a") < 9 {
			t.Errorf("a was asked %d times, b %d times more", f.count("a"), f.count("b")-before)
		}
	})
}
