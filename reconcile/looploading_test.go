// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

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
		if rec := ended[0].rec; rec.Result != reconcile.ResultFailed || rec.Errors[0] != want || rec.ExitCode != plan.ExitFault {
			t.Errorf("record %+v", rec)
		}
		b.rt.Exit(b.object("a").Handle, 1)
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
		b.loaded = fatal(instance("b"))
		b.mu.Unlock()
		b.loop.Notify(reconcile.CauseEdit)
		b.wait(9 * time.Minute)
		loads, ended := b.took()
		if len(loads) != 1 {
			t.Errorf("%d loads, want one: nothing is tried again until somebody edits", len(loads))
		}
		if rec := ended[0].rec; rec.Result != reconcile.ResultFailed || rec.Errors[0] != "a/manifest.yaml:2:1: unknown field: containr" {
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
