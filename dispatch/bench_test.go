// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// What an execution costs beside its container: in memory there is none.
func BenchmarkExecution(b *testing.B) {
	for name, warm := range map[string]plan.WarmPool{
		"cold":        {},
		"initialised": {Size: 64, TTL: time.Hour},
		"started":     {Size: 64, TTL: time.Hour, Started: true},
	} {
		b.Run(name, func(b *testing.B) {
			mem := &dispatchtest.Memory{Programs: programs()}
			defer mem.Close()
			l := &lab{mem: mem, dir: b.TempDir(), agents: map[string]plan.Agent{}}
			l.d = dispatch.NewDispatcher(dispatch.DispatcherOptions{Runtime: mem, Journal: dispatch.OpenFolder(l.dir), Scratch: b.TempDir()})
			end := l.run()
			defer end()
			a := agent("a", dispatchtest.Cat)
			a.Warm = warm
			l.set(a)
			<-l.d.Opened()
			full := func() {
				for {
					if s, _ := l.d.Status(a.ID); s.Slots.Ready >= warm.Size {
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if warm.Size > 0 && i%32 == 0 {
					b.StopTimer()
					full()
					b.StartTimer()
				}
				if res := l.do(request("POST", "a", `{"text":"hello world from clrk"}`, "Content-Type", "application/json")); res.StatusCode != 200 {
					b.Fatal(res.Status)
				}
			}
		})
	}
}
