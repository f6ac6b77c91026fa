// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

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
