// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// What waits to become ready can be acted on meanwhile: the wait is given up, not
// awaited.
func TestLoopGivesUpAWait(t *testing.T) {
	a := instance("a")
	a.Spec.Container.Readiness = &plan.Probe{Script: "ready.sh", Interval: 1000, Timeout: 5000, FailureThreshold: 5, SuccessThreshold: 1}
	a.Spec.Container.Liveness = &plan.Probe{Script: "live.sh", Interval: 1000, Timeout: 5000, FailureThreshold: 5, SuccessThreshold: 1}
	tests := map[string]struct {
		do   func(b *bed, handle string)
		want plan.State
		word reconcile.Word // "" = no pass has ended that would know
	}{
		"its liveness probe fails": {func(b *bed, handle string) {
			b.rt.FailLiveness(handle, "no answer")
			b.loop.Notify(reconcile.CauseRuntime)
		}, plan.StateExited, reconcile.WordCrashLoop},
		"somebody stops it":    {func(b *bed, _ string) { b.wish("a", plan.WishStop, "true") }, plan.StateExited, reconcile.WordStopped},
		"somebody restarts it": {func(b *bed, _ string) { b.wish("a", plan.WishRestart) }, plan.StateRunning, ""},
		"somebody renews it":   {func(b *bed, _ string) { b.wish("a", plan.WishRefresh) }, plan.StateRunning, ""},
	}
	for name, tt := range tests {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/by another process %t", name, again), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBed(t, []plan.Resource{a, instance("b", agent("a"))}, func(b *bed, _ *reconcile.LoopOptions) {
						b.rt.SetUnready(agent("a"), true)
					}, slowly)
					b.wait(10 * time.Second)
					if again { // whose pass has nothing else to do for it
						b.stop()
						b.run()
						b.wait(10 * time.Second)
					}
					before := b.object("a")
					tt.do(b, before.Handle)
					b.wait(5 * time.Second)
					got := b.object("a")
					if got.State != tt.want || got.State == plan.StateRunning && !got.Started.After(before.Started) {
						t.Errorf("a is %s, started %s, before %s", got.State, got.Started, before.Started)
					}
					if tt.word != "" && b.status("a").State != tt.word {
						t.Errorf("a is %+v", b.status("a"))
					}
					if got := b.states()["b"]; got == plan.StateRunning {
						t.Errorf("b runs without a")
					}
				})
			})
		}
	}
}
