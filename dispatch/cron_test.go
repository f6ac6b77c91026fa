// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
)

// fired are the times and inputs with which a program was run.
type fired struct {
	mu   sync.Mutex
	list []string
}

func (f *fired) program(t *testing.T, nap time.Duration, code int) dispatchtest.Program {
	return func(p *dispatchtest.Process) int {
		b, err := io.ReadAll(p.Stdin)
		if err != nil {
			t.Error(err)
		}
		_, data, _ := strings.Cut(string(b), `"data":`)
		f.mu.Lock()
		f.list = append(f.list, time.Now().UTC().Format("15:04")+" "+strings.TrimSuffix(data, "}\n"))
		f.mu.Unlock()
		if !strings.Contains(string(b), `"subject":"cron"`) || !strings.Contains(string(b), `"datacontenttype":"application/json"`) || !strings.Contains(string(b), `"httpmethod":"POST"`) {
			t.Errorf("the envelope is %s", b)
		}
		time.Sleep(nap)
		_, _ = io.WriteString(p.Stdout, "said")
		return code
	}
}

func (f *fired) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.list...)
}

// Slots fire through the path of requests, and what came of them is kept.
func TestCron(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fired
		l := newLab(t, nil)
		l.mem.Programs["a"] = f.program(t, time.Second, 0)
		l.mem.Programs["bad"] = f.program(t, 0, 4)
		a := agent("a", "a")
		a.Schedule, a.ScheduleInput, a.Streaming = "*/10 * * * *", []byte(`{"n":12345678901234567890}`), true
		l.set(a)
		synctest.Wait()
		begin := time.Now()
		if s := l.status("a"); !s.Next.Equal(begin.Add(10 * time.Minute)) {
			t.Errorf("next %v", s.Next)
		}
		time.Sleep(25 * time.Minute)
		want := []string{`00:10 {"n":12345678901234567890}`, `00:20 {"n":12345678901234567890}`}
		if diff := cmp.Diff(want, f.all()); diff != "" {
			t.Errorf("fired (-want +got)\n%s", diff)
		}
		s := l.status("a")
		if c := s.Cron; !c.Slot.Equal(begin.Add(20*time.Minute)) || c.Outcome != dispatch.Succeeded || c.Status != 200 || c.Reply != "" || c.Execution != s.Executions[0].ID {
			t.Errorf("%+v", c)
		}
		if e := s.Executions[0]; e.Trigger != "cron" || len(s.Executions) != 2 {
			t.Errorf("%+v", s.Executions)
		}
		// Another zone and no input; a failure is kept with its reply.
		a.Schedule, a.Zone, a.ScheduleInput, a.Revision = "30 5 * * *", "Asia/Kolkata", nil, revision("a", 2, "bad")
		l.set(a)
		time.Sleep(24 * time.Hour)
		if got := f.all(); len(got) != 3 || got[2] != "00:00 {}" {
			t.Errorf("fired %q", got)
		}
		c := l.status("a").Cron
		if c.Outcome != dispatch.Failed || c.Status != 500 || c.Reply != "said" {
			t.Errorf("%+v", c)
		}
		kept, err := dispatch.OpenFolder(l.dir).Cron(a.ID)
		if diff := cmp.Diff(c, kept); err != nil || diff != "" {
			t.Errorf("kept (-want +got)\n%s%v", diff, err)
		}
		// What is rejected is a failure too.
		a.Schedule, a.Zone, a.MaxConcurrent, a.Revision = "* * * * *", "", 1, revision("a", 3, "nap")
		l.mem.Programs["nap"] = func(p *dispatchtest.Process) int { return nap(p, time.Hour) }
		a.Timeout = time.Hour
		l.set(a)
		busy := l.begin(request("POST", "a", ""))
		time.Sleep(90 * time.Second)
		if c := l.status("a").Cron; c.Status != 429 || c.Outcome != dispatch.Failed || !strings.Contains(c.Reply, "maxConcurrent") {
			t.Errorf("%+v", c)
		}
		a.Schedule = ""
		l.set(a)
		if s := l.status("a"); !s.Next.IsZero() {
			t.Errorf("without a schedule the next slot is %v", s.Next)
		}
		busy.cancel()
		<-busy.done
	})
}

// A slot that comes while the run before goes on is skipped and counted, and delays
// nobody else.
func TestCronOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow, quick fired
		l := newLab(t, nil)
		l.mem.Programs["slow"] = slow.program(t, 150*time.Second, 0)
		l.mem.Programs["quick"] = quick.program(t, 0, 0)
		a, b := agent("slow", "slow"), agent("quick", "quick")
		a.Schedule, b.Schedule, a.Timeout = "* * * * *", "* * * * *", time.Hour
		l.set(a, b)
		synctest.Wait()
		begin := time.Now()
		time.Sleep(8*time.Minute + time.Second)
		if diff := cmp.Diff([]string{"00:01 {}", "00:04 {}", "00:07 {}"}, slow.all()); diff != "" {
			t.Errorf("fired (-want +got)\n%s", diff)
		}
		if got := quick.all(); len(got) != 8 {
			t.Errorf("the quick one fired %q", got)
		}
		c := l.status("slow").Cron
		if c.Skipped != 5 || c.Outcome != dispatch.Running || !c.Slot.Equal(begin.Add(7*time.Minute)) {
			t.Errorf("%+v", c)
		}
		kept, err := l.journal.Cron(a.ID)
		if diff := cmp.Diff(c, kept); err != nil || diff != "" {
			t.Errorf("kept (-want +got)\n%s%v", diff, err)
		}
	})
}

// What nobody was there for is not made up for, and what was cut is lost.
func TestCronRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fired
		l := newLab(t, nil)
		l.mem.Programs["a"] = f.program(t, 0, 0)
		a := agent("a", "a")
		a.Schedule = "0 * * * *"
		l.set(a)
		time.Sleep(61 * time.Minute)
		if err := l.journal.PutCron(a.ID, dispatch.CronState{Slot: time.Now(), Outcome: dispatch.Running, Skipped: 3}); err != nil {
			t.Fatal(err)
		}
		l.stop()
		time.Sleep(5 * time.Hour)
		l.open(nil)
		l.set()
		synctest.Wait()
		if c := l.status("a").Cron; c.Outcome != dispatch.Lost || c.Skipped != 3 {
			t.Errorf("%+v", c)
		}
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"01:00 {}", "07:00 {}"}, f.all()); diff != "" {
			t.Errorf("fired (-want +got)\n%s", diff)
		}
	})
}

// A slot that was run comes no second time when the clock was set back, unless it was
// wrong by more than a day.
func TestCronClockSetBack(t *testing.T) {
	for ahead, want := range map[time.Duration][]string{
		2 * time.Hour:  {"03:00 {}"},
		50 * time.Hour: {"01:00 {}", "02:00 {}", "03:00 {}"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var f fired
			l := newLab(t, nil)
			synctest.Wait()
			l.mem.Programs["a"] = f.program(t, 0, 0)
			a := agent("a", "a")
			a.Schedule = "0 * * * *"
			if err := l.journal.PutCron(a.ID, dispatch.CronState{Slot: time.Now().Add(ahead), Outcome: dispatch.Succeeded}); err != nil {
				t.Fatal(err)
			}
			l.set(a)
			time.Sleep(3*time.Hour + time.Minute)
			if diff := cmp.Diff(want, f.all()); diff != "" {
				t.Errorf("%v ahead: fired (-want +got)\n%s", ahead, diff)
			}
		})
	}
}
