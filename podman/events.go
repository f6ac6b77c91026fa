// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"

	"reconcile/reconcile/plan"
)

// eventWait bounds the pause before the stream of events is asked for again: it
// doubles from the first to the last as long as nobody answers.
const (
	firstEventWait = 100 * time.Millisecond
	lastEventWait  = 30 * time.Second

	maxRefusals = 4 // one after another
)

// watchedEvents is a filter of the types and actions that may change what an
// Observe finds. What only reads, and each exec, is left out. Podman before 5
// tells nothing of networks and secrets that are made or removed.
const watchedEvents = `{
	"type": ["container", "image", "network", "volume", "secret"],
	"event": [
		"create", "remove", "rename", "prune",
		"start", "died", "pause", "unpause", "restore",
		"connect", "disconnect",
		"build", "commit", "import", "loadfromarchive", "pull", "tag", "untag"
	]
}`

// Events calls notify whenever something happened that an Observe of the
// workspace may find, until ctx ends; then it returns nil. These are hints:
// Podman tells late, twice, or now and then not at all. What probes say is told
// until ctx ends also when Events has returned. notify may be called by several
// goroutines at once and must not block.
//
// When the service goes away Events looks for it until it is back, and then
// calls notify, since events were lost. It returns an error only when the
// service refuses to tell again and again, as one whose events_logger is "none"
// does; one that cannot read its log for a moment tells later.
func (r *Runtime) Events(ctx context.Context, notify func()) error {
	r.channels.setNotify(notify)
	context.AfterFunc(ctx, func() { r.channels.setNotify(nil) })
	defer beside(ctx, func(ctx context.Context) { r.awaitOutcomes(ctx, notify) })()
	wait, refusals := firstEventWait, 0
	for lost := false; ; lost = true {
		link, begun := r.link.Load(), time.Now()
		heard, err := r.listen(ctx, link, lost, notify)
		if ctx.Err() != nil {
			return nil
		}
		if _, gone := errors.AsType[*lostError](err); err == nil || gone || heard {
			refusals = 0
		} else if refusals++; refusals == maxRefusals {
			return err
		}
		if heard || time.Since(begun) > wait {
			wait = firstEventWait
		}
		if !pause(ctx, wait/2+rand.N(wait/2)) {
			return nil
		}
		wait = min(2*wait, lastEventWait)
		// What fails here fails again in the next round, which waits longer.
		_ = r.reopen(ctx, link)
	}
}

// pause reports whether the time passed before the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// event is what counts of one line of the stream.
type event struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string // labels, and the name
	}
	Message string // of a refusal, which older services put where events are awaited
}

// listen reads the stream until it ends, and reports whether it said anything.
// After a loss it notifies as soon as the service answers.
func (r *Runtime) listen(ctx context.Context, l *link, lost bool, notify func()) (heard bool, err error) {
	c, err := bindings.GetClient(l.conn)
	if err != nil {
		return false, err
	}
	// The service begins to read its log a moment after it has answered. Asked for
	// the last second, it loses nothing of that moment.
	query := url.Values{"stream": {"true"}, "since": {"1s"}, "filters": {watchedEvents}}
	answer, err := c.DoRequest(ctx, nil, http.MethodGet, "/events", query, nil)
	if err != nil {
		return false, r.explain("read events", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return false, r.explain("read events", answer.Process(nil))
	}
	if lost {
		notify()
	}
	lines := json.NewDecoder(answer.Body)
	for {
		var e event
		if err := lines.Decode(&e); err != nil {
			return heard, nil //nolint:nilerr // however a stream ends, the next one follows
		}
		if e.Type == "" {
			return heard, fmt.Errorf("read events: %s", cmp.Or(e.Message, "what came is no event"))
		}
		heard = true
		if r.concerns(e) {
			notify()
		}
	}
}

// concerns reports whether an event may be about something that the last
// Observe saw or missed. Labels are known of containers alone.
func (r *Runtime) concerns(e event) bool {
	if e.Type != "container" {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch plan.Role(e.Actor.Attributes[plan.LabelRole]) {
	case plan.RoleExecution, plan.RoleSlot: // of which a dispatcher knows
		return false
	}
	if w := e.Actor.Attributes[plan.LabelWorkspace]; w != "" {
		return r.workspace == "" || w == r.workspace
	}
	return r.foreign[e.Actor.ID] && slices.Contains([]string{"remove", "rename"}, e.Action)
}
