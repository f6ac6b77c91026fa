// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
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

// crashing is an instance that exits as soon as it runs.
func crashing(name string) plan.Resource {
	r := instance(name)
	r.Spec.Container.Main = plan.Process{Command: []string{"exit", "3"}}
	return r
}

// watchStarts returns a function that says when something was started.
func (b *bed) watchStarts(name string) func() []time.Time {
	var mu sync.Mutex
	var starts []time.Time
	b.rt.Hook(nil, func(_ int, s plan.Step) error {
		if s.Op == plan.OpStart && s.Target.Name == name {
			mu.Lock()
			starts = append(starts, time.Now())
			mu.Unlock()
			b.loop.Notify(reconcile.CauseRuntime)
		}
		return nil
	})
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(starts)
	}
}

func gaps(times []time.Time) []time.Duration {
	var out []time.Duration
	for i := 1; i < len(times); i++ {
		out = append(out, times[i].Sub(times[i-1]).Round(time.Second))
	}
	return out
}

func TestLoopCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts func() []time.Time
		b := newBed(t, []plan.Resource{crashing("a"), instance("b")}, func(b *bed, o *reconcile.LoopOptions) {
			starts = b.watchStarts("a")
			o.Settle = time.Second
		})
		b.wait(100 * time.Second)
		st := b.loop.Status()
		i := slices.IndexFunc(st.Statuses, func(s reconcile.Status) bool { return s.ID == agent("a") })
		if got := st.Statuses[i]; got.State != reconcile.WordCrashLoop || got.Restarts != 3 {
			t.Errorf("a is %s after %d restarts, want CrashLoopBackOff after 3: %v", got.State, got.Restarts, got.Reasons)
		}
		if st.Next.IsZero() || st.Last.Result != reconcile.ResultFailed {
			t.Errorf("status %+v", st)
		}

		// The curve goes on when another loop takes over.
		b.stop()
		b.run()
		b.wait(1500 * time.Second)
		s := time.Second
		want := []time.Duration{10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s, 300 * s, 300 * s}
		if diff := cmp.Diff(want, gaps(starts())[:len(want)]); diff != "" {
			t.Errorf("time between starts (-want +got):\n%s", diff)
		}

		// A command does not shorten it; another spec begins anew.
		n := len(starts())
		b.loop.Notify(reconcile.CauseCommand)
		b.wait(5 * time.Second)
		if len(starts()) != n {
			t.Error("a command restarted it before its time")
		}
		next := crashing("a")
		next.Spec.Container.WorkDir = "/srv"
		b.want(next, instance("b"))
		b.wait(32 * time.Second)
		if diff := cmp.Diff([]time.Duration{10 * s, 20 * s}, gaps(starts()[n:])); diff != "" {
			t.Errorf("time between starts of another spec (-want +got):\n%s", diff)
		}
		if got := b.states()["b"]; got != plan.StateRunning {
			t.Errorf("b is %q", got)
		}
	})
}

func TestLoopCrashLoopBeginsAnewAfterStableUptime(t *testing.T) {
	tests := []struct {
		name string
		ran  time.Duration
		want time.Duration
	}{
		{"stable", 600 * time.Second, 10 * time.Second},
		{"almost", 599 * time.Second, 40 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, []plan.Resource{instance("a")})
				starts := b.watchStarts("a")
				b.wait(time.Second)
				for _, ran := range []time.Duration{time.Second, time.Second, tt.ran} {
					n := len(starts())
					if o := b.object("a"); o.State == plan.StateRunning {
						time.Sleep(time.Until(o.Started.Add(ran)))
						b.rt.Exit(o.Handle, 1)
					}
					b.loop.Notify(reconcile.CauseRuntime)
					for len(starts()) == n {
						b.wait(time.Second)
					}
				}
				last := starts()[len(starts())-1]
				records, err := b.mem.Load()
				if err != nil {
					t.Fatal(err)
				}
				rec := records.Records[slices.IndexFunc(records.Records, func(r plan.Record) bool { return r.Kind == plan.RecordRestarts })]
				if rec.Data["count"] != "3" {
					t.Errorf("record %v, want 3 restarts in all", rec.Data)
				}
				waited := last.Sub(starts()[len(starts())-2]) - tt.ran
				if waited.Round(time.Second) != tt.want {
					t.Errorf("restarted %s after it exited, want %s", waited, tt.want)
				}
			})
		})
	}
}

func TestLoopLeavesFinishedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once, never, success := crashing("once"), crashing("never"), instance("success")
		once.Want = plan.WantOnce
		never.Restart.Policy = plan.RestartNever
		success.Restart.Policy = plan.RestartOnFailure
		success.Spec.Container.Main = plan.Process{Command: []string{"exit", "0"}}
		b := newBed(t, []plan.Resource{once, never, success})
		b.wait(time.Hour)
		starts := map[string]int{}
		for _, s := range b.rt.Journal() {
			if s.Op == plan.OpStart {
				starts[s.Target.Name]++
			}
		}
		if diff := cmp.Diff(map[string]int{"once": 1, "never": 1, "success": 1}, starts); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
	})
}

func TestLoopLoadFails(t *testing.T) {
	broken := errors.New("read workspace.yaml: input/output error")
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")})
		b.wait(time.Second)
		b.took()
		b.mu.Lock()
		b.loadErr = broken
		b.mu.Unlock()
		start := time.Now()
		b.loop.Notify(reconcile.CauseEdit)
		b.wait(20 * time.Second)
		loads, ended := b.took()
		if n := len(loads); n < 5 || n > 6 {
			t.Errorf("%d loads in 20 seconds: %v", n, loads)
		}
		if got := loads[1]; !near(got.at.Sub(start)-50*time.Millisecond, time.Second) || !slices.Equal(got.causes, []reconcile.Cause{reconcile.CauseRetry}) {
			t.Errorf("second load %v after the first, for %v", got.at.Sub(start), got.causes)
		}
		want := "load workspace: " + broken.Error()
		if rec := ended[0].rec; rec.Result != reconcile.ResultFailed || !slices.Equal(rec.Errors, []string{want}) || rec.ExitCode != plan.ExitFault {
			t.Errorf("record %+v", rec)
		}

		// What runs goes on, and events of the runtime do not hasten the next try.
		b.rt.Exit(b.object("a").Handle, 1)
		for range 100 {
			b.loop.Notify(reconcile.CauseRuntime)
			time.Sleep(10 * time.Millisecond)
		}
		b.wait(time.Second)
		if loads, _ := b.took(); len(loads) > 1 {
			t.Errorf("%d loads because of the runtime", len(loads))
		}
		b.mu.Lock()
		b.loadErr = nil
		b.mu.Unlock()
		b.loop.Notify(reconcile.CauseEdit)
		b.wait(10 * time.Second)
		if got := b.states()["a"]; got != plan.StateRunning {
			t.Errorf("a is %q when the workspace can be read again", got)
		}
	})
}

func TestLoopFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")}, func(_ *bed, o *reconcile.LoopOptions) { o.Interval = 10 * time.Minute })
		b.wait(time.Second)
		b.took()
		b.mu.Lock()
		good := b.loaded
		b.loaded = reconcile.Loaded{Fatal: true, Desired: desired(instance("b")), Diagnostics: schema.Diagnostics{{
			Severity: schema.Error, Summary: "unknown field", Detail: "containr", Pos: schema.Pos{File: "a/manifest.yaml", Line: 2, Col: 1},
		}}}
		b.mu.Unlock()
		b.loop.Notify(reconcile.CauseEdit)
		b.wait(9 * time.Minute)
		loads, ended := b.took()
		if len(loads) != 1 {
			t.Errorf("%d loads, want one: nothing is tried again until somebody edits", len(loads))
		}
		if rec := ended[0].rec; rec.Result != reconcile.ResultFailed || !slices.Equal(rec.Errors, []string{"a/manifest.yaml:2:1: unknown field: containr"}) {
			t.Errorf("record %+v", rec)
		}
		if diff := cmp.Diff(map[string]plan.State{"acme": plan.StateExists, "a": plan.StateRunning}, b.states()); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
		b.wait(2 * time.Minute)
		if loads, _ := b.took(); len(loads) != 1 {
			t.Errorf("%d looks because time passed", len(loads))
		}
		b.mu.Lock()
		b.loaded = good
		b.loaded.Refused = []plan.Reason{{Code: plan.CodePolicy, Text: "commit 1a2b is not signed", Origin: "-"}}
		b.mu.Unlock()
		b.loop.Notify(reconcile.CausePoll)
		b.wait(time.Second)
		_, ended = b.took()
		if rec := ended[0].rec; rec.Result != reconcile.ResultRefused || rec.ExitCode != plan.ExitRefused || len(rec.Errors) != 1 {
			t.Errorf("record %+v", rec)
		}
	})
}

func TestLoopRuntimeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")})
		b.wait(time.Second)
		b.rt.SetDown(true)
		b.want(instance("a"), instance("b"))
		b.wait(30 * time.Second)
		if last := b.loop.Status().Last; last.Result != reconcile.ResultFailed || !strings.Contains(last.Errors[0], "runtime does not answer") {
			t.Errorf("last pass %+v", last)
		}
		b.rt.SetDown(false)
		b.wait(time.Minute)
		if got := b.states()["b"]; got != plan.StateRunning {
			t.Errorf("b is %q when the runtime answers again", got)
		}

		// It goes down in the middle of a pass.
		b.rt.Hook(func(_ int, s plan.Step) error {
			b.rt.SetDown(s.Target == agent("c"))
			return nil
		}, nil)
		b.want(instance("a"), instance("b"), instance("c"))
		b.wait(30 * time.Second)
		b.rt.Hook(nil, nil)
		b.rt.SetDown(false)
		b.wait(2 * time.Minute)
		if got := b.states()["c"]; got != plan.StateRunning {
			t.Errorf("c is %q when the runtime answers again", got)
		}
	})
}

func TestLoopInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")}, func(_ *bed, o *reconcile.LoopOptions) { o.Interval = time.Minute })
		b.wait(time.Second)
		b.took()
		b.wait(2 * time.Hour)
		loads, ended := b.took()
		least, most := time.Hour, time.Duration(0)
		for i := range loads[1:] {
			gap := loads[i+1].at.Sub(loads[i].at)
			least, most = min(least, gap), max(most, gap)
			if !slices.Equal(loads[i].causes, []reconcile.Cause{reconcile.CauseInterval}) {
				t.Fatalf("causes %v", loads[i].causes)
			}
		}
		if least < 54*time.Second || most > 66*time.Second || most-least < 3*time.Second {
			t.Errorf("from %s to %s between looks, want a minute give or take a tenth", least, most)
		}
		if n := len(ended); n != len(loads) || len(b.mem.history) != 1+n {
			t.Errorf("%d passes of %d looks", n, len(loads))
		}

		// Drift of which no event tells.
		b.rt.Remove(b.object("a").Handle)
		b.wait(67 * time.Second)
		if got := b.states()["a"]; got != plan.StateRunning {
			t.Errorf("a is %q a minute after it was removed", got)
		}
	})
}

// Something that takes away whatever is made must not be fought at full speed.
func TestLoopDoesNotChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{instance("a")}, func(b *bed, _ *reconcile.LoopOptions) {
			b.rt.Hook(nil, func(_ int, s plan.Step) error {
				if s.Op == plan.OpStart {
					b.rt.Remove(b.object("a").Handle)
					b.loop.Notify(reconcile.CauseRuntime)
				}
				return nil
			})
		})
		b.wait(time.Hour)
		if n := b.rt.Calls()[plan.OpStart]; n < 10 || n > 40 {
			t.Errorf("started %d times in an hour", n)
		}
		b.rt.Hook(nil, nil)
		b.wait(6 * time.Minute)
		if got := b.states()["a"]; got != plan.StateRunning {
			t.Errorf("a is %q when nobody takes it away", got)
		}
	})
}

func TestLoopOnAStoreOnDisk(t *testing.T) {
	store, err := reconcile.OpenStore(filepath.Join(t.TempDir(), "acme"), false)
	if err != nil {
		t.Fatal(err)
	}
	rt := newRuntime()
	d := desired(instance("a"))
	for _, obj := range []plan.Resource{instance("b"), instance("c")} {
		ctx, cancel := context.WithCancel(t.Context())
		d.Resources = append(d.Resources, obj)
		l := reconcile.NewLoop(rt, store, reconcile.LoopOptions{
			Load: func(context.Context, []reconcile.Cause) (reconcile.Loaded, error) {
				return reconcile.Loaded{Desired: d}, nil
			},
			Plan:  func() plan.Options { return plan.Options{AcceptLostRecords: true} },
			Quiet: time.Millisecond,
		})
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		for range 3 {
			if _, err := l.Await(ctx, reconcile.CauseCommand); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	history, err := store.History(0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rec := range history {
		got = append(got, fmt.Sprintf("%d %s %v", rec.Number, rec.Result, len(rec.Changes)))
	}
	if diff := cmp.Diff([]string{"2 converged 1", "1 converged 3"}, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
