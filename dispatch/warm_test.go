// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

func slots(l *lab) int {
	return len(l.mem.Find(func(x plan.Launch) bool { return x.Role == plan.RoleSlot }))
}

// Slots are had at once, refilled, and never used twice; both kinds, in both modes.
func TestSlots(t *testing.T) {
	for _, started := range []bool{false, true} {
		for _, mode := range []plan.DeliveryMode{plan.DeliverStdin, plan.DeliverMetadata} {
			t.Run(fmt.Sprintf("%s started=%v", mode, started), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t, nil)
					l.mem.CreateTime = 10 * time.Second
					var running, used atomic.Int32
					l.mem.Programs["once"] = func(p *dispatchtest.Process) int {
						running.Add(1)
						used.Add(1)
						defer running.Add(-1)
						if mode == plan.DeliverMetadata {
							return dispatchtest.Program(programs()["structured"])(p)
						}
						return dispatchtest.Programs()[dispatchtest.Cat](p)
					}
					a := agent("a", "once")
					a.Mode, a.Warm.Size, a.Warm.Started = mode, 3, started
					l.set(a)
					time.Sleep(21 * time.Second) // two at once
					synctest.Wait()
					if s := l.status("a").Slots; s.Ready != 3 || s.Want != 3 || s.Started != started || slots(l) != 3 {
						t.Fatalf("%+v, %d containers", s, slots(l))
					}
					if n := running.Load(); started != (n == 3) {
						t.Errorf("%d processes run", n)
					}
					seen := map[string]bool{}
					for i := range 4 {
						begin := time.Now()
						res := l.do(request("POST", "a", fmt.Sprint("body ", i), "Content-Type", "text/plain"))
						took := time.Since(begin)
						got := text(t, res)
						if res.StatusCode != 200 || !strings.Contains(got, fmt.Sprint("body ", i)) || !strings.Contains(got, res.Header.Get(dispatch.ExecutionHeader)) {
							t.Errorf("request %d: %d %q", i, res.StatusCode, got)
						}
						synctest.Wait()
						last := l.last("a")
						warm := map[bool]string{false: "initialised", true: "started"}[started]
						if i >= 3 {
							warm = "" // there was none left
						}
						if last.Warm != warm || (took == 0) != (i < 3) || seen[last.Key] {
							t.Errorf("request %d took %v: %+v", i, took, last)
						}
						seen[last.Key] = true
					}
					time.Sleep(time.Minute)
					if s := l.status("a"); s.Slots.Ready != 3 || slots(l) != 3 || len(l.mem.Left()) != 3 {
						t.Errorf("refilled: %+v, %v", s.Slots, l.mem.Left())
					}
					l.stop()
					if left := l.mem.Left(); len(left) > 0 {
						t.Errorf("left %v", left)
					}
				})
			})
		}
	}
}

// Slots of what is not wanted any more go: of another revision, mode or kind, beyond
// the size, of who is stopped or gone.
func TestSlotsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		a := agent("a", dispatchtest.Cat)
		a.Warm.Size = 2
		first := map[string]bool{}
		for name, change := range map[string]func(){
			"the same":  func() {},
			"revision":  func() { a.Revision = revision("a", 2, dispatchtest.Cat) },
			"bound":     func() { a.Revision.Inputs = map[string]string{"image:localhost/a:1": "sha256:2"} },
			"mode":      func() { a.Mode = plan.DeliverMetadata },
			"started":   func() { a.Warm.Started = true },
			"less":      func() { a.Warm.Size = 1 },
			"none":      func() { a.Warm.Size = 0 },
			"stopped":   func() { a.Stopped = true },
			"restarted": func() { a.Restarted = time.Now() },
			"not ready": func() { a.Revision = plan.Revision{} },
			"gone":      func() { delete(l.agents, a.ID.String()) },
		} {
			a = agent("a", dispatchtest.Cat)
			a.Warm.Size = 2
			l.set(a)
			time.Sleep(time.Second)
			clear(first)
			for _, h := range l.mem.Left() {
				first[h] = true
			}
			if len(first) != 2 {
				t.Fatalf("before %s: %d slots", name, len(first))
			}
			change()
			if name == "gone" {
				l.set()
			} else {
				l.set(a)
			}
			time.Sleep(time.Second)
			kept, left := 0, l.mem.Left()
			for _, h := range left {
				if first[h] {
					kept++
				}
			}
			want := [2]int{0, 2} // kept, and there
			switch name {
			case "the same":
				want = [2]int{2, 2}
			case "less":
				want = [2]int{1, 1}
			case "none", "stopped", "not ready", "gone":
				want = [2]int{0, 0}
			}
			if got := [2]int{kept, len(left)}; got != want {
				t.Errorf("%s: kept and there %v, want %v", name, got, want)
			}
		}
	})
}

// Slots that nothing needs for a while go, and come back with the next request.
func TestSlotsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		a := agent("a", dispatchtest.Cat)
		a.Warm.Size = 2
		l.set(a)
		time.Sleep(9 * time.Minute)
		if n := slots(l); n != 2 {
			t.Errorf("%d slots after 9m", n)
		}
		l.do(request("POST", "a", ""))
		time.Sleep(9 * time.Minute)
		l.set(a) // what says nothing new is no use of them
		if n := slots(l); n != 2 {
			t.Errorf("%d slots 9m after a request", n)
		}
		time.Sleep(2 * time.Minute)
		if n := slots(l); n != 0 {
			t.Errorf("%d slots 11m after a request", n)
		}
		time.Sleep(time.Hour)
		if n := len(l.mem.Left()); n != 0 {
			t.Errorf("%d slots after an hour", n)
		}
		if res := l.do(request("POST", "a", "")); res.StatusCode != 200 {
			t.Error(res.Status)
		}
		time.Sleep(time.Second)
		if n := slots(l); n != 2 {
			t.Errorf("%d slots after a request", n)
		}
	})
}

// What cannot be made is tried again after a while, and requests do without.
func TestSlotsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		var tries atomic.Int32
		var fails atomic.Bool
		fails.Store(true)
		synctest.Wait()
		l.mem.Fault = func(op string, x plan.Launch) error {
			if fails.Load() && op == "Create" && x.Role == plan.RoleSlot {
				tries.Add(1)
				return errors.New("no room")
			}
			return nil
		}
		l.mem.Programs["dies"] = func(*dispatchtest.Process) int { tries.Add(1); return 0 }
		a := agent("a", dispatchtest.Cat)
		a.Warm.Size, a.Warm.TTL = 1, time.Hour
		l.set(a)
		time.Sleep(2 * time.Minute)
		if n := tries.Load(); n < 6 || n > 9 { // 1, 2, 4 … 60 s
			t.Errorf("%d tries in two minutes", n)
		}
		if s := l.status("a").Slots; s.Ready != 0 || s.Problem != "make a slot: create the container: no room" {
			t.Errorf("%+v", s)
		}
		if res := l.do(request("POST", "a", "")); res.StatusCode != 200 {
			t.Errorf("a request: %s", res.Status)
		}
		fails.Store(false)
		time.Sleep(time.Minute)
		if s := l.status("a").Slots; s.Ready != 1 || s.Problem != "" {
			t.Errorf("%+v", s)
		}
		// A process that does not wait for its input is of no use as a slot.
		tries.Store(0)
		b := agent("b", "dies")
		b.Warm = plan.WarmPool{Size: 1, TTL: time.Hour, Started: true}
		l.set(b)
		time.Sleep(2 * time.Minute)
		if n := tries.Load(); n < 6 || n > 9 {
			t.Errorf("%d starts in two minutes", n)
		}
		if s := l.status("b").Slots; s.Ready != 0 || s.Problem != "the process of a slot ended before it was needed" {
			t.Errorf("%+v", s)
		}
		if n := len(l.mem.Left()); n != 1 {
			t.Errorf("%d containers", n)
		}
	})
}

// Slots that are lost at once, and attempts that fail at once, count as one.
func TestSlotsFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		synctest.Wait()
		var tries atomic.Int32
		var fails atomic.Bool
		l.mem.Fault = func(op string, x plan.Launch) error {
			if fails.Load() && op == "Create" {
				tries.Add(1)
				return errors.New("no room")
			}
			return nil
		}
		a := agent("a", dispatchtest.Cat)
		a.Warm.Size, a.Warm.TTL = 8, time.Hour
		l.set(a)
		time.Sleep(time.Minute)
		l.mem.Lose()
		time.Sleep(2 * time.Second)
		if s := l.status("a").Slots; s.Ready != 8 {
			t.Errorf("soon after all were lost: %+v", s)
		}
		fails.Store(true)
		l.mem.Lose()
		time.Sleep(2 * time.Minute)
		if n := tries.Load(); n < 2*5 || n > 2*8 { // two at once, after 1, 2, 4 … 60 s
			t.Errorf("%d tries in two minutes", n)
		}
	})
}

// A slot that has no process for sure is passed over; one that may have seen its event
// is not.
func TestSlotsBreak(t *testing.T) {
	for _, tt := range []struct {
		op   string
		err  error
		want int
	}{
		{"Attach", errors.New("broken"), 200},
		{"Start", fmt.Errorf("start: %w", net.ErrClosed), 200},
		{"Start", fmt.Errorf("start: %w", fs.ErrNotExist), 200},
		{"Start", errors.New("broken"), 502},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			synctest.Wait()
			l.mem.Fault = func(o string, x plan.Launch) error {
				if o == tt.op && x.Role == plan.RoleSlot {
					return tt.err
				}
				return nil
			}
			a := agent("a", dispatchtest.Cat)
			a.Warm.Size = 1
			l.set(a)
			time.Sleep(time.Second)
			if res := l.do(request("POST", "a", "")); res.StatusCode != tt.want {
				t.Errorf("%s fails with %v: %s", tt.op, tt.err, res.Status)
			}
		})
	}
}

// Slots that are not heard any more are of no use: others take their places.
func TestSlotsLost(t *testing.T) {
	for _, started := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			a := agent("a", dispatchtest.Cat)
			a.Warm.Size, a.Warm.Started = 2, started
			l.set(a)
			time.Sleep(time.Second)
			before := l.mem.Left()
			l.mem.Lose()
			synctest.Wait()
			if s := l.status("a").Slots; s.Ready != 0 {
				t.Errorf("started=%v: %+v", started, s)
			}
			if res := l.do(request("POST", "a", "x", "Content-Type", "text/plain")); res.StatusCode != 200 || !strings.Contains(text(t, res), `"x"`) {
				t.Errorf("started=%v: without slots: %s", started, res.Status)
			}
			time.Sleep(time.Minute)
			s := l.status("a").Slots
			if now := l.mem.Left(); s.Ready != 2 || s.Problem != "" || len(now) != 2 || slices.ContainsFunc(now, func(h string) bool { return slices.Contains(before, h) }) {
				t.Errorf("started=%v: %+v; there are %v, and were %v", started, s, now, before)
			}
			if res := l.do(request("POST", "a", "")); res.StatusCode != 200 || l.last("a").Warm == "" {
				t.Errorf("started=%v: %s, %+v", started, res.Status, l.last("a"))
			}
		})
	}
}

// What a started process has written and logged before its request came belongs to
// that execution; it may read its event before there is one.
func TestStartedSlotIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.mem.Programs["early"] = func(p *dispatchtest.Process) int {
			_, _ = io.WriteString(p.Stdout, "early ")
			if res, err := p.Request("POST", p.Env["CLRK_METADATA_URL"]+"/response", "", strings.NewReader("x")); err != nil || res.Status != 404 {
				t.Errorf("a reply before there is an execution: %d, %v", res.Status, err)
			}
			res, err := p.Request("GET", p.Env["CLRK_METADATA_URL"]+"/event", "", nil)
			if err != nil {
				return 1
			}
			_, _ = io.WriteString(p.Stdout, res.Body)
			return 0
		}
		a := agent("a", "early")
		a.Warm = plan.WarmPool{Size: 1, TTL: time.Minute, Started: true}
		l.set(a)
		time.Sleep(10 * time.Second)
		res := l.do(request("POST", "a", "late", "Content-Type", "text/plain"))
		if got := text(t, res); got != "early late" {
			t.Errorf("%d %q", res.StatusCode, got)
		}
		time.Sleep(time.Second) // the journal comes later
		last := l.last("a")
		if last.Warm != "started" || last.Outcome != dispatch.Succeeded {
			t.Errorf("%+v", last)
		}
		b, err := os.ReadFile(filepath.Join(l.dir, "default", "a", last.Key, "log"))
		if !strings.HasSuffix(string(b), " stdout F early late\n") || err != nil {
			t.Errorf("its log is %q, %v", b, err)
		}
	})
}
