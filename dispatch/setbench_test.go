// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"fmt"
	"testing"
	"time"

	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// What it costs to be told again which agents there are while an execution goes on:
// ns/agent is of the same order however many there are.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{100, 3200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newBench(b, plan.WarmPool{})
			agents := []plan.Agent{agent("busy", "nap")}
			for i := range n - 1 {
				agents = append(agents, agent(fmt.Sprint("idle-", i), dispatchtest.Cat))
			}
			l.d.Set(agents)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				l.do(request("POST", "busy", "x"))
			}()
			b.Cleanup(func() { l.d.Cut(); <-answered })
			for busy := false; !busy; {
				s, _ := l.d.Status(agents[0].ID)
				busy = len(s.InUse) > 0
				time.Sleep(time.Millisecond)
			}
			for b.Loop() {
				l.d.Set(agents)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/agent")
		})
	}
}
