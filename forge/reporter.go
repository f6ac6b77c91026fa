// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Limits of a reporter.
const (
	tries       = 5
	firstWait   = time.Second // doubled after each try
	longestWait = time.Minute // also where the forge asks for more
	callTimeout = 20 * time.Second
	maxQueued   = 16 // commits; the oldest is given up
)

// ReporterOptions say where statuses are posted. All but TargetURL, Client and
// Log are required.
type ReporterOptions struct {
	Kind      Kind
	API       string // base URL of the forge's API, see [Locate]
	Project   string // owner/name
	Token     string
	Context   string       // tells our status from those of others, such as reconcile/acme
	TargetURL string       // that people are led to; "" = none
	Client    *http.Client // its Transport is used; nil = http.DefaultClient
	Log       *slog.Logger // nil = silent
}

// Reporter posts commit statuses, one after the other.
type Reporter struct {
	opt    ReporterOptions
	client *http.Client
	wake   chan struct{}
	done   chan struct{}
	cancel context.CancelFunc

	mu     sync.Mutex
	queue  []Status // one a commit, the oldest first
	closed bool
	failed string // the last failure that was logged
}

// NewReporter starts a reporter, which ends with Close.
func NewReporter(o ReporterOptions) (*Reporter, error) {
	if !slices.Contains(Kinds(), o.Kind) {
		return nil, fmt.Errorf("%q is no forge that is known: %v", o.Kind, Kinds())
	}
	u, err := url.Parse(o.API)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, errors.New("the URL of the forge's API is no http or https URL without credentials")
	}
	if err := checkProject(o.Kind, o.Project); err != nil {
		return nil, err
	}
	if o.Token == "" || !printable(o.Token) {
		return nil, errors.New("the token of the forge is empty or has characters that no token has")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	client := http.Client{}
	if o.Client != nil {
		client.Transport = o.Client.Transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ctx, cancel := context.WithCancel(context.Background())
	r := &Reporter{opt: o, client: &client, wake: make(chan struct{}, 1), done: make(chan struct{}), cancel: cancel}
	go r.run(ctx)
	return r, nil
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Report posts s as soon as it can be posted, and returns at once. Of one
// commit only the newest status counts.
func (r *Reporter) Report(s Status) {
	if !isHash(s.Commit) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.queue = slices.DeleteFunc(r.queue, func(q Status) bool { return q.Commit == s.Commit })
	if len(r.queue) == maxQueued {
		r.queue = r.queue[1:]
	}
	r.queue = append(r.queue, s)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close posts what is queued, as long as ctx allows, and ends the reporter.
func (r *Reporter) Close(ctx context.Context) {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.wake)
	}
	r.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	r.cancel()
	<-r.done
}

func (r *Reporter) run(ctx context.Context) {
	defer close(r.done)
	for open := true; open; {
		_, open = <-r.wake
		for {
			s, ok := r.next()
			if !ok {
				break
			}
			r.note(s, r.deliver(ctx, s))
		}
	}
}

// next returns the oldest status of the queue, which stays in it until it is
// posted or given up.
func (r *Reporter) next() (Status, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return Status{}, false
	}
	return r.queue[0], true
}

// outdated reports whether there is something newer to say about the commit of
// s, or s was given up.
func (r *Reporter) outdated(s Status) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.Contains(r.queue, s)
}

// note takes s from the queue and tells of a failure once, until something
// else fails or something was posted.
func (r *Reporter) note(s Status, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = slices.DeleteFunc(r.queue, func(q Status) bool { return q == s })
	switch {
	case err == nil:
		r.failed = ""
	case errors.Is(err, errOutdated):
	case err.Error() != r.failed:
		r.failed = err.Error()
		r.opt.Log.Warn("the commit status could not be posted", "forge", r.opt.Kind, "commit", s.Commit, "error", err)
	}
}

var errOutdated = errors.New("there is a newer status")

// deliver posts s, again after a while where that may help.
func (r *Reporter) deliver(ctx context.Context, s Status) error {
	wait := firstWait
	for try := 1; ; try++ {
		retry, err := r.post(ctx, s)
		if err == nil || !retry.worth || try == tries {
			return err
		}
		pause := min(max(wait/2+rand.N(wait), retry.after), longestWait) //nolint:gosec // jitter
		if !r.pause(ctx, pause) {
			return err
		}
		if r.outdated(s) {
			return errOutdated
		}
		wait *= 2
	}
}

func (r *Reporter) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
