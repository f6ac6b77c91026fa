// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// The clock of a timeout starts when the request is accepted, and a process that is
// told to end has five seconds.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.mem.CreateTime = 4 * time.Second
		begin := time.Now()
		var told, killed time.Duration
		l.mem.Programs["deaf"] = func(p *dispatchtest.Process) int {
			<-p.Terminated
			told = time.Since(begin)
			<-p.Killed
			killed = time.Since(begin)
			return 0
		}
		a := agent("a", "deaf")
		a.Timeout = 10 * time.Second
		slow := agent("slow", "deaf") // is not even created in time
		slow.Timeout = 3 * time.Second
		l.set(a, slow)
		synctest.Wait()
		c, s := l.begin(request("POST", "a", "")), l.begin(request("POST", "slow", ""))
		<-c.done
		<-s.done
		if got := c.at.Sub(begin); c.res.StatusCode != 504 || got != 10*time.Second {
			t.Errorf("answered %d after %v, want 504 after 10s", c.res.StatusCode, got)
		}
		if got := s.at.Sub(begin); s.res.StatusCode != 504 || got != 3*time.Second {
			t.Errorf("answered %d after %v, want 504 after 3s", s.res.StatusCode, got)
		}
		if n := l.status("a").InFlight; n != 1 {
			t.Errorf("%d in flight: it counts until it has ended", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if told != 10*time.Second || killed != 15*time.Second {
			t.Errorf("told to end after %v, killed after %v", told, killed)
		}
		if last := l.last("slow"); last.Outcome != dispatch.TimedOut || last.Exit != nil {
			t.Errorf("slow: %+v", last)
		}
		if left := l.mem.Left(); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	})
}

// No client waits longer than its timeout for a runtime that takes its time, nor for
// the removal of what cannot be started.
func TestSlowRuntime(t *testing.T) {
	for name, c := range map[string]struct {
		fault  func(op string) error
		want   int
		after  time.Duration
		ending dispatch.Outcome
	}{
		"create": {func(op string) error {
			if op == "Create" {
				time.Sleep(time.Minute)
			}
			return nil
		}, 504, 10 * time.Second, dispatch.TimedOut},
		"create fails": {func(op string) error {
			if op == "Create" {
				time.Sleep(time.Minute)
				return errors.New("too late")
			}
			return nil
		}, 504, 10 * time.Second, dispatch.TimedOut},
		"start": {func(op string) error {
			if op == "Start" {
				time.Sleep(time.Minute)
			}
			return nil
		}, 504, 10 * time.Second, dispatch.TimedOut},
		"remove": {func(op string) error {
			if op == "Start" || op == "Remove" && time.Now().Second() < 20 {
				return errors.New("broken")
			}
			return nil
		}, 502, 0, dispatch.NotStarted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, nil)
				synctest.Wait()
				l.mem.Fault = func(op string, _ plan.Launch) error { return c.fault(op) }
				a := agent("a", dispatchtest.Cat)
				a.Timeout = 10 * time.Second
				l.set(a)
				begin := time.Now()
				call := l.begin(request("POST", "a", ""))
				<-call.done
				if got := call.at.Sub(begin); call.res.StatusCode != c.want || got != c.after {
					t.Errorf("answered %d after %v, want %d after %v", call.res.StatusCode, got, c.want, c.after)
				}
				if n := len(l.status("a").InUse); n != 1 {
					t.Errorf("%d revisions are in use before the container is gone", n)
				}
				time.Sleep(2 * time.Minute)
				if last := l.last("a"); last.Outcome != c.ending || last.Status != c.want {
					t.Errorf("%+v", last)
				}
				if s, left := l.status("a"), l.mem.Left(); s.InFlight != 0 || len(s.InUse) > 0 || len(left) > 0 {
					t.Errorf("left %+v and %v", s, left)
				}
			})
		})
	}
}

// A client that goes away cancels its run, whatever state that is in; in Metadata
// mode not once it was answered.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.mem.CreateTime = time.Second
		l.mem.Programs["posts"] = func(p *dispatchtest.Process) int {
			if code := post(p, "", "done"); code != 0 {
				return code
			}
			return nap(p, 10*time.Second)
		}
		posts, live := agent("posts", "posts"), agent("live", "nap")
		posts.Mode, live.Streaming = plan.DeliverMetadata, true
		l.set(agent("a", "nap"), posts, live)
		synctest.Wait()
		for _, after := range []time.Duration{0, time.Second / 2, 5 * time.Second} {
			for _, name := range []string{"a", "live"} {
				c := l.begin(request("POST", name, ""))
				time.Sleep(after)
				synctest.Wait()
				c.cancel()
				<-c.done
				synctest.Wait()
				if last := l.last(name); last.Outcome != dispatch.Cancelled || last.Status != 0 {
					t.Errorf("%s, gone after %v: %+v", name, after, last)
				}
				if left := l.mem.Left(); len(left) > 0 {
					t.Errorf("%s, gone after %v: left %v", name, after, left)
				}
			}
		}
		c := l.begin(request("POST", "posts", ""))
		<-c.done // and with that its request ends
		c.cancel()
		if s := l.status("posts"); c.res.StatusCode != 200 || s.InFlight != 1 {
			t.Errorf("answered %d, in flight %d", c.res.StatusCode, s.InFlight)
		}
		time.Sleep(time.Minute)
		if last := l.last("posts"); last.Outcome != dispatch.Succeeded || last.Ended.Sub(last.Accepted) != 11*time.Second {
			t.Errorf("%+v", last)
		}
	})
}

func TestMaxConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		a := agent("a", "nap")
		a.MaxConcurrent = 2
		l.set(a, agent("b", "ok"))
		synctest.Wait()
		first, second := l.begin(request("POST", "a", "")), l.begin(request("POST", "a", ""))
		synctest.Wait()
		begin := time.Now()
		res := l.do(request("POST", "a", ""))
		if got := text(t, res); res.StatusCode != 429 || res.Header.Get("Retry-After") != "1" || !strings.Contains(got, "maxConcurrent") || time.Since(begin) > 0 {
			t.Errorf("%d, Retry-After %q: %s", res.StatusCode, res.Header.Get("Retry-After"), got)
		}
		if res := l.do(request("POST", "b", "")); res.StatusCode != 200 {
			t.Errorf("another agent: %s", res.Status)
		}
		<-first.done
		<-second.done
		// Whoever has got the answer may ask again at once.
		again := l.begin(request("POST", "a", ""))
		<-again.done
		if again.res.StatusCode != 200 {
			t.Errorf("afterwards: %s", again.res.Status)
		}
		// What is rejected does not count.
		for range 5 {
			l.do(request("POST", "a", "{", "Content-Type", "application/json"))
		}
		a.MaxConcurrent = 1
		l.set(a)
		if res := l.do(request("POST", "a", "")); res.StatusCode != 200 {
			t.Errorf("after rejections: %s", res.Status)
		}
	})
}

// The end lets executions finish for a while, and takes no new ones.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(o *dispatch.DispatcherOptions) { o.DrainTimeout = 20 * time.Second })
		l.mem.Programs["long"] = func(p *dispatchtest.Process) int { return nap(p, time.Hour) }
		l.set(agent("a", "nap"), agent("long", "long"))
		synctest.Wait()
		short, long := l.begin(request("POST", "a", "")), l.begin(request("POST", "long", ""))
		synctest.Wait()
		begin := time.Now()
		stopped := make(chan struct{})
		go func() { l.stop(); close(stopped) }()
		synctest.Wait()
		if res := l.do(request("POST", "a", "")); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("while it ends: %s", res.Status)
		}
		<-short.done
		if got := text(t, short.res); short.res.StatusCode != 200 || got != "rested" {
			t.Errorf("%d %q", short.res.StatusCode, got)
		}
		<-long.done
		if got := text(t, long.res); long.res.StatusCode != 503 || !strings.Contains(got, "the daemon ended") || long.at.Sub(begin) != 20*time.Second {
			t.Errorf("%d %q after %v", long.res.StatusCode, got, long.at.Sub(begin))
		}
		<-stopped
		if left := l.mem.Left(); len(left) > 0 || time.Since(begin) != 20*time.Second {
			t.Errorf("after %v left %v", time.Since(begin), left)
		}
		recent, err := dispatch.OpenFolder(l.dir).Recent(plan.ID{Kind: plan.TaskAgent, Name: "long"})
		if err != nil || len(recent) != 1 || recent[0].Outcome != dispatch.Stopped {
			t.Errorf("%+v, %v", recent, err)
		}
	})
}

// A runtime that is away holds up the end for a while only: the next session removes
// what is left.
func TestDrainWithoutRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		synctest.Wait()
		var away atomic.Bool
		l.mem.Fault = func(op string, _ plan.Launch) error {
			if away.Load() {
				return errors.New("nobody answers")
			}
			return nil
		}
		a := agent("a", dispatchtest.Cat)
		a.Warm.Size = 4
		l.set(a)
		time.Sleep(time.Second)
		away.Store(true)
		begin := time.Now()
		l.stop()
		slots := l.mem.Left()
		if took := time.Since(begin); took < 5*time.Second || took > 15*time.Second {
			t.Errorf("it ended after %v", took)
		}
		away.Store(false)
		l.open(nil)
		synctest.Wait()
		if left := l.mem.Left(); len(slots) != 4 || len(left) > 0 {
			t.Errorf("left %v, and then %v", slots, left)
		}
	})
}

// Before it is known which agents there are, and what others have left is gone,
// nothing runs.
func TestOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		synctest.Wait()
		if res := l.do(request("POST", "a", "")); res.StatusCode != 503 {
			t.Errorf("without agents: %s", res.Status)
		}
		var running *call
		l.set(agent("a", "nap"))
		running = l.begin(request("POST", "a", ""))
		synctest.Wait()
		// The daemon is killed, and another comes.
		killed := l.stop
		var fails atomic.Bool
		fails.Store(true)
		synctest.Wait()
		l.mem.Fault = func(op string, _ plan.Launch) error {
			if op == "Sweep" && fails.Load() {
				return errors.New("no runtime")
			}
			return nil
		}
		before := l.mem.Left()
		l.open(nil)
		l.set()
		synctest.Wait()
		if res := l.do(request("POST", "a", "")); res.StatusCode != 503 {
			t.Errorf("with the leftovers of others: %s", res.Status)
		}
		fails.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if left := l.mem.Left(); len(before) != 1 || len(left) > 0 {
			t.Errorf("before %v, now %v", before, left)
		}
		if last := l.last("a"); last.Outcome != dispatch.Lost || last.Key == "" {
			t.Errorf("%+v", last)
		}
		if res := l.do(request("POST", "a", "")); res.StatusCode != 200 {
			t.Errorf("opened: %s", res.Status)
		}
		running.cancel()
		<-running.done
		killed()
	})
}

// Every request is answered once, by the revision that was the newest when it came,
// while revisions change under load. Nobody hears of a revision that is in use.
func TestRevisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := map[string]int{}
		var l *lab
		var violations atomic.Int32
		seen := make(chan string, 100)
		l = newLab(t, func(o *dispatch.DispatcherOptions) {
			o.Idle = func(_ plan.ID, revision string) { seen <- revision }
		})
		l.mem.CreateTime = 100 * time.Millisecond
		l.mem.Programs["rev"] = func(p *dispatchtest.Process) int {
			if nap(p, time.Second) != 0 {
				violations.Add(1)
			}
			return write("|"+p.Launch.Revision, 0)(p)
		}
		a := agent("a", "rev")
		type sent struct {
			*call
			want string
		}
		var all []sent
		for i := range 200 {
			if i%20 == 0 {
				a.Revision = revision("a", i/20+1, "rev")
				l.set(a)
				synctest.Wait()
			}
			all = append(all, sent{l.begin(request("POST", "a", "")), a.Revision.Name()})
			time.Sleep(30 * time.Millisecond)
		}
		for i, s := range all {
			<-s.done
			if got := text(t, s.res); s.res.StatusCode != 200 || got != "rested|"+s.want {
				t.Fatalf("request %d: %d %q, want %s", i, s.res.StatusCode, got, s.want)
			}
		}
		synctest.Wait()
		close(seen)
		for r := range seen {
			idle[r]++
		}
		want := map[string]int{}
		for i := range 9 {
			want[fmt.Sprintf("a-%05d", i+1)] = 1
		}
		if diff := cmp.Diff(want, idle); diff != "" || violations.Load() > 0 {
			t.Errorf("idle (-want +got)\n%s, %d cut", diff, violations.Load())
		}
		if s := l.status("a"); len(s.Executions) != 50 || s.InFlight != 0 {
			t.Errorf("%d executions, %d in flight", len(s.Executions), s.InFlight)
		}
	})
}

// An agent that goes away lets its executions end, and is forgotten.
func TestAgentGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.set(agent("a", "nap"))
		synctest.Wait()
		c := l.begin(request("POST", "a", ""))
		synctest.Wait()
		l.d.Set(nil)
		if res := l.do(request("POST", "a", "")); res.StatusCode != 404 {
			t.Errorf("gone: %s", res.Status)
		}
		<-c.done
		if got := text(t, c.res); got != "rested" {
			t.Errorf("got %q", got)
		}
	})
}

// A log has both streams, and what is kept of it is bounded; so is how many are.
func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.mem.Programs["logs"] = func(p *dispatchtest.Process) int {
			for _, part := range []string{"a", "b\nc\n", "d"} {
				fmt.Fprint(p.Stdout, part)
			}
			fmt.Fprint(p.Stderr, "error: "+strings.Repeat("x", 20<<10)+"\n")
			for range 20 {
				_, _ = p.Stdout.Write([]byte(strings.Repeat(strings.Repeat("y", 99)+"\n", 1000)))
			}
			return 0
		}
		a := agent("logs", "logs")
		a.ID.Namespace = "team"
		l.set(a)
		synctest.Wait()
		for range 60 {
			time.Sleep(time.Second)
			req := request("POST", "logs", "")
			req.URL.Path = "/agents/team/logs"
			if res := l.do(req); res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
		}
		synctest.Wait()
		entries, err := os.ReadDir(filepath.Join(l.dir, "team", "logs"))
		if err != nil || len(entries) != 50 {
			t.Fatalf("%d are kept, %v", len(entries), err)
		}
		recent, err := dispatch.OpenFolder(l.dir).Recent(a.ID)
		if err != nil || len(recent) != 50 || recent[0].Accepted.Sub(recent[49].Accepted) != 49*time.Second || recent[0].Accepted.Before(time.Now().Add(-time.Second)) {
			t.Fatalf("%d are read, %v", len(recent), err)
		}
		b, err := os.ReadFile(filepath.Join(l.dir, "team", "logs", recent[0].Key, "log"))
		if err != nil {
			t.Fatal(err)
		}
		at := recent[0].Accepted.UTC().Format(time.RFC3339Nano)
		lines := strings.Split(string(b), "\n")
		want := []string{
			at + " stdout F ab", at + " stdout F c",
			at + " stderr P error: " + strings.Repeat("x", 16<<10-7), at + " stderr F " + strings.Repeat("x", 20<<10-16<<10+7),
			at + " stdout F d" + strings.Repeat("y", 99),
		}
		if diff := cmp.Diff(want, lines[:5]); diff != "" {
			t.Errorf("log (-want +got)\n%s", diff)
		}
		if end := lines[len(lines)-2]; !strings.HasSuffix(end, "(what comes after 1 MiB is not kept)") || len(b) > 2<<20 {
			t.Errorf("%d bytes, ending in %q", len(b), end)
		}
	})
}

// Ten thousand executions leave nothing behind, in memory neither.
func TestFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	l := newLab(t, func(o *dispatch.DispatcherOptions) {
		o.Journal = nowhere{}
		o.Log = nil
	})
	posted := agent("posted", "structured")
	posted.Mode = plan.DeliverMetadata
	warm := agent("warm", dispatchtest.Cat)
	warm.Warm.Size, warm.Warm.Started = 4, true
	l.set(agent("a", dispatchtest.Cat), posted, warm)
	names := []string{"a", "a", "posted", "warm"}
	body := strings.Repeat("x", 2<<10)
	run := func(n int) {
		done := make(chan struct{})
		next := atomic.Int32{}
		for range 8 {
			go func() {
				defer func() { done <- struct{}{} }()
				for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
					res := l.do(request("POST", names[i%len(names)], body, "Content-Type", "text/plain"))
					if got := text(t, res); res.StatusCode != http.StatusOK || len(got) < len(body) {
						t.Errorf("%d, %d bytes", res.StatusCode, len(got))
					}
				}
			}()
		}
		for range 8 {
			<-done
		}
	}
	l.ready()
	measure := func() (uint64, int) {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	run(500)
	before, goroutines := measure()
	run(10000)
	after, now := measure()
	t.Logf("heap %d KiB before, %d KiB after; goroutines %d, %d", before>>10, after>>10, goroutines, now)
	if after > before+4<<20 {
		t.Errorf("the heap grew from %d KiB to %d KiB", before>>10, after>>10)
	}
	if now > goroutines+50 {
		t.Errorf("there were %d goroutines, and are %d", goroutines, now)
	}
}

// nowhere is a journal that keeps nothing.
type nowhere struct{}

func (nowhere) Begin(dispatch.Execution) (dispatch.Entry, error) { return nowhere{}, nil }
func (nowhere) Recent(plan.ID) ([]dispatch.Execution, error)     { return nil, nil }
func (nowhere) Cron(plan.ID) (dispatch.CronState, error)         { return dispatch.CronState{}, nil }
func (nowhere) PutCron(plan.ID, dispatch.CronState) error        { return nil }
func (nowhere) Write(p []byte) (int, error)                      { return len(p), nil }
func (nowhere) End(dispatch.Execution) error                     { return nil }
