// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// failing has the steps that match fail, and notes when they were tried.
type failing struct {
	mu    sync.Mutex
	match func(plan.Step) bool
	tried []time.Time
}

func (f *failing) set(b *bed, _ *reconcile.LoopOptions) {
	b.rt.Hook(func(_ int, s plan.Step) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.match == nil || !f.match(s) {
			return nil
		}
		f.tried = append(f.tried, time.Now())
		// What fails on a real host leaves events behind all the same.
		b.loop.Notify(reconcile.CauseRuntime)
		return errors.New("no space left on device")
	}, nil)
}

// fail has other steps fail from now on, and forgets what was tried; nil =
// none.
func (f *failing) fail(match func(plan.Step) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.match, f.tried = match, nil
}

func (f *failing) tries() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tried)
}

func stepOf(op plan.Op, name string) func(plan.Step) bool {
	return func(s plan.Step) bool { return s.Op == op && s.Target.Name == name }
}

// near reports whether d is want, give or take a tenth and what looking takes.
func near(d, want time.Duration) bool {
	return d >= want-want/10 && d <= want+want/10+100*time.Millisecond
}

func TestLoopTriesAgainLater(t *testing.T) {
	for _, op := range []plan.Op{plan.OpPrepare, plan.OpCreate, plan.OpStart, plan.OpWait} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &failing{match: stepOf(op, "a")}
				b := newBed(t, []plan.Resource{instance("a"), instance("b", agent("a")), instance("c")}, f.set)
				b.wait(time.Hour)
				tries, want := f.tries(), time.Second
				for i, at := range tries[1:] {
					if got := at.Sub(tries[i]); !near(got, want) {
						t.Errorf("try %d came after %s, want about %s", i+2, got, want)
					}
					want = min(2*want, 5*time.Minute)
				}
				if n := len(tries); n < 15 || n > 25 {
					t.Errorf("%d tries in an hour", n)
				}
				if got := b.states()["c"]; got != plan.StateRunning {
					t.Errorf("c is %q because a fails", got)
				}
				_, ended := b.took()
				if n := len(ended); n > 4*len(f.tries()) {
					t.Errorf("%d passes for %d tries", n, len(tries))
				}
				last := b.loop.Status()
				if last.Last.Result != reconcile.ResultFailed || last.Last.ExitCode != plan.ExitFault {
					t.Errorf("last pass %+v", last.Last)
				}
				held := slices.ContainsFunc(last.Statuses, func(st reconcile.Status) bool {
					return slices.ContainsFunc(st.Reasons, func(r plan.Reason) bool {
						return r.Code == plan.CodeBackoff && strings.HasPrefix(r.Text, "next try at ") &&
							strings.HasSuffix(r.Text, fmt.Sprintf(": %s manifest/a: no space left on device", op))
					})
				})
				if !held {
					t.Errorf("no status says when it is tried again: %+v", last.Statuses)
				}
				kept := 0
				for _, rec := range b.mem.history {
					if len(rec.Changes) > 0 {
						kept++
					}
					if want := fmt.Sprintf("%s manifest/a: no space left on device", op); !slices.Equal(rec.Errors, []string{want}) {
						t.Errorf("record %d has the errors %q, want %q", rec.Number, rec.Errors, want)
					}
				}
				if kept > len(tries)+1 {
					t.Errorf("%d records of passes that tried something, of %d tries", kept, len(tries))
				}

				f.fail(nil)
				b.wait(6 * time.Minute)
				if got := b.states()["b"]; got != plan.StateRunning {
					t.Errorf("b is %q when nothing fails any more", got)
				}
				if last := b.loop.Status().Last; last.Result != reconcile.ResultConverged {
					t.Errorf("last pass %+v", last)
				}
			})
		})
	}
}

func TestLoopBeginsAnewToTryAgain(t *testing.T) {
	tests := []struct {
		name string
		do   func(b *bed)
		soon bool
	}{
		{"command", func(b *bed) { b.loop.Notify(reconcile.CauseCommand) }, true},
		{"signal", func(b *bed) { b.loop.Notify(reconcile.CauseSignal) }, true},
		{"push", func(b *bed) { b.loop.Notify(reconcile.CausePush) }, true},
		{"its spec", func(b *bed) { b.want(edited(instance("a"))) }, true},
		{"its image", func(b *bed) { b.rt.PushImage(testImage, "sha256:a2"); b.loop.Notify(reconcile.CausePoll) }, true},
		{"something else", func(b *bed) { b.want(instance("a"), instance("b")) }, false},
		{"runtime", func(b *bed) { b.loop.Notify(reconcile.CauseRuntime) }, false},
		{"interval", func(b *bed) { b.loop.Notify(reconcile.CauseInterval) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &failing{match: stepOf(plan.OpCreate, "a")}
				b := newBed(t, []plan.Resource{instance("a")}, f.set)
				b.wait(100 * time.Second) // the next try is at 127 s or so
				f.fail(f.match)
				tt.do(b)
				b.wait(5 * time.Second)
				want := 0
				if tt.soon {
					want = 3 // at once, and after one and two seconds more
				}
				if len(f.tries()) != want {
					t.Errorf("%d tries in 5 seconds, want %d", len(f.tries()), want)
				}
			})
		})
	}
}

// A success in between begins anew as well, and so does one step of several.
func TestLoopForgetsFailuresThatAreOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{match: stepOf(plan.OpStart, "a")}
		b := newBed(t, []plan.Resource{instance("a")}, f.set)
		b.wait(100 * time.Second)
		f.fail(nil)
		b.wait(time.Minute)
		if got := b.states()["a"]; got != plan.StateRunning {
			t.Fatalf("a is %q", got)
		}
		f.fail(stepOf(plan.OpCreate, "a"))
		b.rt.Remove(b.object("a").Handle)
		b.loop.Notify(reconcile.CauseRuntime)
		b.wait(5 * time.Second)
		if len(f.tries()) != 3 {
			t.Errorf("%d tries in 5 seconds, want 3", len(f.tries()))
		}
	})
}

func TestLoopRemovalsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{match: stepOf(plan.OpDelete, "a")}
		b := newBed(t, []plan.Resource{instance("a"), instance("b")}, f.set)
		b.wait(time.Second)
		b.want(instance("b"))
		b.wait(time.Minute)
		if n := len(f.tries()); n < 5 || n > 8 {
			t.Errorf("%d tries in a minute", n)
		}
		f.fail(nil)
		b.wait(5 * time.Minute)
		if _, there := b.states()["a"]; there {
			t.Error("a is still there")
		}
	})
}
