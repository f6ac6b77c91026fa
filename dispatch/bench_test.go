// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// What an execution costs beside its container: in memory there is none. The floor
// is a round trip over a unix socket, and agent what the process itself takes;
// x-floor is in round trips and without that. What goes on after a reply is not in
// these figures, but in those of all.
func BenchmarkExecution(b *testing.B) {
	var floor, itself time.Duration
	b.Run("floor", func(b *testing.B) { floor = echo(b) })
	b.Run("agent", func(b *testing.B) { itself = bare(b) })
	for _, c := range []struct {
		name string
		warm plan.WarmPool
	}{{"started", started}, {"initialised", initialised}, {"cold", plan.WarmPool{}}} {
		b.Run(c.name, func(b *testing.B) {
			l := newBench(b, c.warm)
			b.ReportAllocs()
			took := bursts(b, l.rest, func() { l.post(b) })
			if floor > 0 && itself > 0 {
				b.ReportMetric((took-itself).Seconds()/floor.Seconds(), "x-floor")
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		l := newBench(b, started)
		for i := 0; b.Loop(); i++ {
			if i%burst == 0 {
				l.rest()
			}
			l.post(b)
		}
		l.rest()
	})
}

// The same over connections. The floor is a handler of net/http that echoes.
func BenchmarkExecutionHTTP(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		c := dialHTTP(b, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { _, _ = io.Copy(w, req.Body) }))
		bursts(b, func() {}, func() { c.post(b) })
	})
	b.Run("started", func(b *testing.B) {
		l := newBench(b, started)
		c := dialHTTP(b, l.d)
		bursts(b, l.rest, func() {
			l.posted++
			c.post(b)
		})
	})
}

// bursts does something again and again, after rest from time to time. What is
// reported is the median, so that what else goes on is not in it.
func bursts(b *testing.B, rest, do func()) time.Duration {
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		if i%burst == 0 {
			b.StopTimer()
			rest()
			b.StartTimer()
		}
		begin := time.Now()
		do()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	b.ReportMetric(float64(median.Nanoseconds()), "ns/op")
	return median
}

// BenchmarkExecutionMemory is what is on the heap after 1,000 executions, and after
// 10,000 more. What is kept of them has a bound: 2 MiB more are 200 bytes of each.
// A goroutine of each would be 10,000.
func BenchmarkExecutionMemory(b *testing.B) {
	l := newBench(b, plan.WarmPool{Size: burst, TTL: time.Hour, Started: true})
	heap := func(n int) float64 {
		for i := range n {
			l.post(b)
			if i%burst == 0 {
				l.rest()
			}
		}
		l.rest()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	early := heap(1000)
	before := runtime.NumGoroutine()
	late := heap(10000)
	goroutines := runtime.NumGoroutine()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(early, "early-MiB")
	b.ReportMetric(late, "MiB")
	b.ReportMetric(float64(goroutines), "goroutines")
	if late > early+2 || goroutines > before+3*burst {
		b.Errorf("the heap grew from %.1f to %.1f MiB, and %d goroutines became %d", early, late, before, goroutines)
	}
}

// The slots of benchmarks. A burst takes less than there are.
const burst = 32

var (
	initialised = plan.WarmPool{Size: 2 * burst, TTL: time.Hour}
	started     = plan.WarmPool{Size: 2 * burst, TTL: time.Hour, Started: true}
)

const benchBody = `{"text":"hello world from clrk"}`

// benchLab is a dispatcher with one agent, which copies.
type benchLab struct {
	*lab
	agent   plan.Agent
	journal counted
	posted  int64
}

// counted is a journal that counts what is ended.
type counted struct {
	dispatch.Journal
	ended *atomic.Int64
}

func (c counted) Begin(e dispatch.Execution) (dispatch.Entry, error) {
	entry, err := c.Journal.Begin(e)
	return countedEntry{entry, c.ended}, err
}

type countedEntry struct {
	dispatch.Entry
	ended *atomic.Int64
}

func (c countedEntry) End(e dispatch.Execution) error {
	defer c.ended.Add(1)
	return c.Entry.End(e)
}

func newBench(b *testing.B, warm plan.WarmPool) *benchLab {
	mem := &dispatchtest.Memory{Programs: programs()}
	l := &benchLab{lab: &lab{mem: mem, dir: b.TempDir(), agents: map[string]plan.Agent{}}, agent: agent("a", dispatchtest.Cat)}
	l.journal = counted{dispatch.OpenFolder(l.dir), new(atomic.Int64)}
	l.d = dispatch.NewDispatcher(dispatch.DispatcherOptions{Runtime: mem, Journal: l.journal, Scratch: b.TempDir()})
	l.stop = l.run()
	b.Cleanup(func() { l.stop(); mem.Close() })
	l.agent.Warm = warm
	l.set(l.agent)
	<-l.d.Opened()
	return l
}

// rest waits until all slots are there and nothing goes on. It is called at least
// once for 50 requests, which are all in the journal then.
func (l *benchLab) rest() {
	for {
		s, _ := l.d.Status(l.agent.ID)
		if s.Slots.Ready >= l.agent.Warm.Size && len(s.InUse) == 0 && l.journal.ended.Load() >= l.posted {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// post sends a request, and fails unless it is answered by its event.
func (l *benchLab) post(b *testing.B) {
	l.posted++
	w := recorder{header: http.Header{}}
	l.d.ServeHTTP(&w, &http.Request{
		Method: "POST", URL: &url.URL{Path: "/agents/default/a"}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Host: "localhost",
		Body: io.NopCloser(strings.NewReader(benchBody)), ContentLength: int64(len(benchBody)),
	})
	if w.status != http.StatusOK || w.size < len(benchBody) {
		b.Fatalf("the answer has status %d and %d bytes", w.status, w.size)
	}
}

// recorder is an answer that nobody reads.
type recorder struct {
	header       http.Header
	status, size int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { r.size += len(p); return len(p), nil }

// httpClient is one connection to a server.
type httpClient struct {
	conn net.Conn
	r    *bufio.Reader
	raw  []byte
}

func dialHTTP(b *testing.B, h http.Handler) *httpClient {
	conn := dialUnix(b, func(l net.Listener) {
		s := &http.Server{Handler: h}
		b.Cleanup(func() { _ = s.Close() })
		_ = s.Serve(l)
	})
	raw := fmt.Appendf(nil, "POST /agents/default/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(benchBody), benchBody)
	return &httpClient{conn, bufio.NewReader(conn), raw}
}

func (c *httpClient) post(b *testing.B) {
	if _, err := c.conn.Write(c.raw); err != nil {
		b.Fatal(err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		b.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n < int64(len(benchBody)) || res.StatusCode != http.StatusOK {
		b.Fatalf("the answer is %s with %d bytes, %v", res.Status, n, err)
	}
}

// dialUnix connects to a server, which ends with the benchmark.
func dialUnix(b *testing.B, serve func(net.Listener)) net.Conn {
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(l)
	}()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); l.Close(); <-done })
	return c
}

func echo(b *testing.B) time.Duration {
	c := dialUnix(b, func(l net.Listener) {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	})
	buf := make([]byte, 300)
	return bursts(b, func() {}, func() {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	})
}

// bare feeds processes that are started, without a dispatcher.
func bare(b *testing.B) time.Duration {
	type process struct {
		handle string
		dispatch.Attached
	}
	mem := &dispatchtest.Memory{Programs: programs()}
	b.Cleanup(mem.Close)
	ctx, event := context.Background(), make([]byte, 300)
	a := agent("a", dispatchtest.Cat)
	var ready []process
	prepare := func() {
		for _, handle := range mem.Left() {
			_ = mem.Remove(ctx, handle)
		}
		for i := range burst {
			handle, _, err := mem.Create(ctx, plan.Launch{Name: a.Name, Key: fmt.Sprint(i), Spec: a.Revision.Spec.Container, Stdin: true})
			if err != nil {
				b.Fatal(err)
			}
			at, err := mem.Attach(ctx, handle, io.Discard, io.Discard)
			if err == nil {
				err = mem.Start(ctx, handle)
			}
			if err != nil {
				b.Fatal(err)
			}
			ready = append(ready, process{handle, at})
		}
	}
	return bursts(b, prepare, func() {
		p := ready[0]
		ready = ready[1:]
		if _, err := p.Write(event); err != nil {
			b.Fatal(err)
		}
		_ = p.CloseWrite()
		if _, err := mem.Wait(ctx, p.handle); err != nil {
			b.Fatal(err)
		}
		_ = p.Wait()
	})
}
