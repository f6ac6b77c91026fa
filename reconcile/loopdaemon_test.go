// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

func daemonAgent(name string, rule plan.Restart) plan.Resource {
	r := instance(name)
	r.ID.Kind, r.Restart = plan.DaemonAgent, rule
	r.Restart.Curve = plan.CurveDaemon
	return r
}

func (b *bed) daemonStatus(name string) reconcile.Status {
	b.t.Helper()
	return statusOf(b.t, b.loop.Status().Statuses, plan.ID{Kind: plan.DaemonAgent, Name: name})
}

// Daemons go on while nobody reconciles, and whoever does so next finds what they
// are, how often they were restarted, and which are done.
func TestLoopAdoptsDaemons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := []plan.Resource{
			daemonAgent("always", plan.Restart{}), daemonAgent("done", plan.Restart{Policy: plan.RestartOnFailure}),
			daemonAgent("limited", plan.Restart{Max: 1}), daemonAgent("old", plan.Restart{Lifetime: 10 * time.Minute}),
		}
		b := newBed(t, all)
		b.wait(time.Minute)
		exit := func(name string, code int) {
			b.rt.Exit(b.object(name).Handle, code)
			b.loop.Notify(reconcile.CauseRuntime)
			b.wait(time.Second)
		}
		exit("always", 1)
		exit("done", 3)
		exit("done", 0)
		exit("limited", 1)
		exit("limited", 1)
		b.wait(time.Minute)
		handles := map[string]string{}
		check := func(when string) {
			t.Helper()
			for name, want := range map[string]struct {
				state    reconcile.Word
				restarts int
			}{
				"always": {reconcile.WordRunning, 1}, "done": {reconcile.WordStopped, 1}, "limited": {reconcile.WordStopped, 1}, "old": {reconcile.WordRunning, 0},
			} {
				st := b.daemonStatus(name)
				if st.State != want.state || st.Restarts != want.restarts {
					t.Errorf("%s: %s is %s after %d restarts, want %s after %d", when, name, st.State, st.Restarts, want.state, want.restarts)
				}
				if h := handles[name]; h != "" && h != st.Handle {
					t.Errorf("%s: %s is another container", when, name)
				}
				handles[name] = st.Handle
			}
		}
		check("before")
		b.stop()
		b.run()
		b.wait(time.Minute)
		check("after")
		b.wait(10 * time.Minute)
		if st := b.daemonStatus("old"); st.Restarts != 1 || st.State != reconcile.WordRunning || time.Since(st.Started) > 10*time.Minute {
			t.Errorf("what has run for as long as it may: %+v", st)
		}
	})
}

// A daemon that exits again and again says so.
func TestLoopBacksOffDaemons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []plan.Resource{daemonAgent("a", plan.Restart{})})
		starts := b.watchStarts("a")
		b.wait(time.Second)
		for range 300 {
			if obj := b.object("a"); obj.State == plan.StateRunning {
				b.rt.Exit(obj.Handle, 1)
				b.loop.Notify(reconcile.CauseRuntime)
			}
			b.wait(time.Second)
		}
		times := starts()
		if n := len(times); n < 8 || n > 12 {
			t.Errorf("%d starts in 5 minutes: %v", n, times)
		}
		if st := b.daemonStatus("a"); st.State != reconcile.WordCrashLoop {
			t.Errorf("it is %s", st.State)
		}
	})
}
