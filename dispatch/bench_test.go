// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// What an execution costs beside its container: in memory there is none.
// The floor is a round trip over a unix socket.
func BenchmarkExecution(b *testing.B) {
	b.Run("floor", echo)
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

func echo(b *testing.B) {
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 300)
	for b.Loop() {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}
