// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// TestLoopFollowsTags: a tag that moves is seen within five minutes though nothing
// else happens, of a TaskAgent and of a DaemonAgent.
func TestLoopFollowsTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		daemon := daemonAgent("daemon", plan.Restart{})
		b := newBed(t, []plan.Resource{taskAgent("a"), daemon}, func(_ *bed, o *reconcile.LoopOptions) { o.Interval = 0 })
		b.wait(time.Minute)
		for _, digest := range []string{"sha256:a2", "sha256:a3"} {
			b.rt.PushImage(testImage, digest)
			b.wait(5 * time.Minute)
			if got := b.agentStatus("a"); got.ImageID != digest || got.Actual != reconcile.ActualReady {
				t.Errorf("after a push of %s the TaskAgent is served by %+v", digest, got)
			}
			in := plan.Input{Kind: plan.InputImage, Name: testImage}.String()
			if got := b.object("daemon"); got.Inputs[in] != digest || got.State != plan.StateRunning {
				t.Errorf("after a push of %s the DaemonAgent is %+v", digest, got)
			}
		}
		var ops []plan.Op
		for _, s := range b.rt.Journal() {
			if s.Target == daemon.ID && s.Op != plan.OpRecord {
				ops = append(ops, s.Op)
			}
		}
		for i, op := range ops {
			if op == plan.OpStop && (i < 2 || ops[i-1] != plan.OpCreate || ops[i-2] != plan.OpPrepare) {
				t.Errorf("stopped before its successor was there: %v", ops)
			}
		}
	})
}
