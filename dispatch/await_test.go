// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// A request for which no slot is left waits for one that is being made, unless that
// cannot be of use to it; then it has a container of its own.
func TestSlotIsAwaited(t *testing.T) {
	const made = 10 * time.Second // takes a container
	for _, tt := range []struct {
		name      string
		started   bool
		meanwhile func(l *lab, a plan.Agent, c *call) // a second after the request
		fails     bool                                // so does the slot
		took      time.Duration                       // after the request
		warm      string
		outcome   dispatch.Outcome
		created   int32 // until then
	}{
		{name: "initialised", took: made - 4*time.Second, warm: "initialised", outcome: dispatch.Succeeded, created: 2},
		{name: "started", started: true, took: made - 4*time.Second, warm: "started", outcome: dispatch.Succeeded, created: 2},
		{name: "it fails", fails: true, took: 2*made - 4*time.Second, outcome: dispatch.Succeeded, created: 4},
		{name: "another revision", meanwhile: func(l *lab, a plan.Agent, _ *call) {
			a.Revision = revision("a", 2, dispatchtest.Cat)
			l.set(a)
		}, took: made + time.Second, outcome: dispatch.Succeeded, created: 4},
		{name: "no slots any more", meanwhile: func(l *lab, a plan.Agent, _ *call) {
			a.Warm.Size = 0
			l.set(a)
		}, took: made + time.Second, outcome: dispatch.Succeeded, created: 3},
		{name: "the end", meanwhile: func(l *lab, _ plan.Agent, _ *call) {
			go l.stop()
		}, took: made + time.Second, outcome: dispatch.Succeeded, created: 3},
		{name: "the client goes", meanwhile: func(_ *lab, _ plan.Agent, c *call) { c.cancel() }, took: time.Second, outcome: dispatch.Cancelled, created: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, nil)
				synctest.Wait()
				l.mem.CreateTime = made
				var created atomic.Int32
				l.mem.Fault = func(op string, x plan.Launch) error {
					switch {
					case op == "Create":
						created.Add(1)
					case op == "Attach" && tt.fails && x.Role == plan.RoleSlot:
						return errors.New("broken")
					}
					return nil
				}
				a := agent("a", dispatchtest.Cat)
				a.Warm = plan.WarmPool{Size: 1, TTL: time.Hour, Started: tt.started}
				l.set(a)
				time.Sleep(4 * time.Second)
				begin := time.Now()
				c := l.begin(request("POST", "a", "x", "Content-Type", "text/plain"))
				time.Sleep(time.Second)
				if tt.meanwhile != nil {
					tt.meanwhile(l, a, c)
				}
				<-c.done
				took, n := time.Since(begin).Truncate(time.Second), created.Load()
				if took != tt.took || n != tt.created {
					t.Errorf("it took %v, %d containers were begun, want %v and %d", took, n, tt.took, tt.created)
				}
				if tt.outcome == dispatch.Succeeded {
					if got := text(t, c.res); c.res.StatusCode != 200 || !strings.Contains(got, `"clrkrevision":"a-00001"`) {
						t.Errorf("%d %s", c.res.StatusCode, got)
					}
				}
				time.Sleep(2 * time.Minute)
				if tt.name == "the end" {
					return // and nothing is left, see the lab
				}
				if got := l.last("a"); got.Outcome != tt.outcome || got.Warm != tt.warm {
					t.Errorf("%+v", got)
				}
				want := 1
				if tt.name == "no slots any more" || tt.fails {
					want = 0
				}
				if s := l.status("a").Slots; s.Ready != want || len(l.mem.Left()) != want {
					t.Errorf("then there are %+v, %v", s, l.mem.Left())
				}
			})
		})
	}
}
