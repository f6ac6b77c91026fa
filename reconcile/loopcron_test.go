// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// cronBed is a loop in virtual time, which begins at midnight of 1 January 2000,
// that notes when runs are started.
type cronBed struct {
	*bed
	mu      sync.Mutex
	started []string // "SLOT" or "SLOT at TIME", in the order of the starts
}

func newCronBed(t *testing.T, rs ...plan.Resource) *cronBed {
	t.Helper()
	c := &cronBed{}
	c.bed = newBed(t, rs, c.note)
	synctest.Wait()
	return c
}

// note has the starts of runs noted, and the loop look for nothing but slots.
func (c *cronBed) note(_ *bed, o *reconcile.LoopOptions) {
	o.Interval = 10000 * time.Hour
	progress := o.Apply.Progress
	o.Apply.Progress = func(e reconcile.Event) {
		progress(e)
		if e.State != reconcile.StepDone || e.Step.Op != plan.OpStart {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		slot, now := keyTime(e.Step.Run), time.Now().UTC().Format(time.DateTime)
		if slot != now {
			slot += " at " + now
		}
		c.started = append(c.started, slot)
	}
}

// keyTime is the moment that the key of a run names.
func keyTime(key string) string {
	sec, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return key
	}
	return time.Unix(sec, 0).UTC().Format(time.DateTime)
}

// until lets virtual time pass, up to a moment of the year 2000.
func (c *cronBed) until(moment string) {
	c.t.Helper()
	c.wait(time.Until(in2000(c.t, moment)))
}

func in2000(t *testing.T, moment string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, "2000-"+moment)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// again starts another loop on what the last one left.
func (c *cronBed) again() {
	c.run(c.note)
	synctest.Wait()
}

func (c *cronBed) checkStarts(want ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range want {
		want[i] = "2000-" + want[i]
	}
	if diff := cmp.Diff(want, c.started); diff != "" {
		c.t.Errorf("starts (-want +got):\n%s", diff)
	}
	c.started = nil
}

// runs are the recorded runs of a CronTask, by slot, each with its end.
func (c *cronBed) runs(id plan.ID) map[string]string {
	c.t.Helper()
	records, err := c.mem.Load()
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range plan.RunsOf(records, id) {
		out[keyTime(r.Key)[len("2000-"):]] = string(r.Phase) + r.Reason
	}
	return out
}

func (c *cronBed) checkSkipped(id plan.ID, want int) {
	c.t.Helper()
	records, err := c.mem.Load()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range records.Records {
		if r.ID == id && r.Kind == plan.RecordSlot {
			if got := r.Data["skipped"]; got != strconv.Itoa(want) {
				c.t.Errorf("%s slots of %s were skipped, want %d", got, id, want)
			}
			return
		}
	}
	c.t.Errorf("nothing is recorded of the slots of %s", id)
}

// scheduled is a CronTask with a schedule whose runs take a time each, all of which stay.
func scheduled(schedule, zone string, takes time.Duration, edits ...func(*plan.Cron)) plan.Resource {
	r := cron("c", "for", takes.String(), "0")
	r.Run.Cron.Schedule, r.Run.Cron.Zone, r.Run.Cron.Completed, r.Run.Cron.Failed = schedule, zone, 1000, 1000
	for _, edit := range edits {
		edit(r.Run.Cron)
	}
	return r
}

func TestLoopRunsEachSlotAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCronBed(t, scheduled("*/20 * * * *", "", 90*time.Second))
		c.until("01-01 01:05:00")
		c.checkStarts("01-01 00:20:00", "01-01 00:40:00", "01-01 01:00:00")
		c.until("01-01 01:21:00")
		want := map[string]string{"01-01 00:20:00": "Completed", "01-01 00:40:00": "Completed", "01-01 01:00:00": "Completed", "01-01 01:20:00": "Running"}
		if diff := cmp.Diff(want, c.runs(cronID("c"))); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
		c.checkSkipped(cronID("c"), 0)
	})
}

// TestLoopPolicies has a slot every minute, and runs that take two and a half.
func TestLoopPolicies(t *testing.T) {
	minutes := func(ms ...int) (out []string) {
		for _, m := range ms {
			out = append(out, fmt.Sprintf("01-01 00:%02d:00", m))
		}
		return out
	}
	for policy, want := range map[plan.CronPolicy]struct {
		starts  []string
		up      int
		skipped int
		ends    map[string]int
	}{
		plan.CronForbid:  {minutes(1, 4, 7), 1, 6, map[string]int{"Completed": 2, "Running": 1}},
		plan.CronAllow:   {minutes(1, 2, 3, 4, 5, 6, 7, 8, 9), 3, 0, map[string]int{"Completed": 6, "Running": 3}},
		plan.CronReplace: {minutes(1, 2, 3, 4, 5, 6, 7, 8, 9), 1, 0, map[string]int{"Failedreplaced": 8, "Running": 1}},
	} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCronBed(t, scheduled("* * * * *", "", 150*time.Second, func(c *plan.Cron) { c.Policy = policy }))
				c.until("01-01 00:09:10")
				c.checkStarts(want.starts...)
				c.checkSkipped(cronID("c"), want.skipped)
				ends, up := map[string]int{}, 0
				for end := range maps.Values(c.runs(cronID("c"))) {
					ends[end]++
				}
				for _, o := range containers(c.rt, cronID("c")) {
					if o.State == plan.StateRunning {
						up++
					}
				}
				if diff := cmp.Diff(want.ends, ends); diff != "" || up != want.up {
					t.Errorf("%d go on, want %d; ends (-want +got):\n%s", up, want.up, diff)
				}
			})
		})
	}
}

// TestLoopMissesSlots has nobody look for a while.
func TestLoopMissesSlots(t *testing.T) {
	for _, tt := range []struct {
		name     string
		deadline time.Duration
		want     []string
		skipped  int
	}{
		{"the latest is run", -1, []string{"01-01 06:00:00 at 2000-01-01 06:10:00"}, 4},
		{"within its deadline", 10 * time.Minute, []string{"01-01 06:00:00 at 2000-01-01 06:10:00"}, 4},
		{"too late", 5 * time.Minute, nil, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCronBed(t, scheduled("@hourly", "", 90*time.Minute, func(c *plan.Cron) { c.Deadline = tt.deadline }))
				c.until("01-01 01:30:00")
				c.stop()
				c.checkStarts("01-01 01:00:00")
				c.until("01-01 06:10:00")
				c.again()
				c.checkStarts(tt.want...)
				c.checkSkipped(cronID("c"), tt.skipped)
				c.until("01-01 07:45:00")
				if tt.want == nil { // nothing is in the way of the next one
					c.checkStarts("01-01 07:00:00")
				}
				if got := c.runs(cronID("c"))["01-01 01:00:00"]; got != "Completed" {
					t.Errorf("the run that ended meanwhile is %s", got)
				}
			})
		})
	}
}

// TestLoopKeepsHistory has an hour of runs every ten minutes, of which some fail.
func TestLoopKeepsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := scheduled("*/10 * * * *", "", time.Minute, func(c *plan.Cron) { c.Completed, c.Failed = 2, 1 })
		bad := cron("bad", "for", "1m", "3")
		bad.Run.Cron.Schedule, bad.Run.Cron.Completed, bad.Run.Cron.Failed = "*/10 * * * *", 2, 1
		none := cron("none", "for", "1m", "0")
		none.Run.Cron.Schedule, none.Run.Cron.Completed, none.Run.Cron.Failed = "*/10 * * * *", 0, 0
		c := newCronBed(t, good, bad, none)
		c.until("01-01 01:05:00")
		c.loop.Notify(reconcile.CauseRuntime)
		c.wait(time.Minute)
		for id, want := range map[plan.ID]map[string]string{
			cronID("c"):    {"01-01 00:50:00": "Completed", "01-01 01:00:00": "Completed"},
			cronID("bad"):  {"01-01 01:00:00": "Failedexit"},
			cronID("none"): {},
		} {
			if diff := cmp.Diff(want, c.runs(id)); diff != "" {
				t.Errorf("runs of %s (-want +got):\n%s", id, diff)
			}
			if n := len(containers(c.rt, id)); n != len(want) {
				t.Errorf("%d containers of %s, want %d", n, id, len(want))
			}
			c.checkSkipped(id, 0)
		}
		if got := c.rt.RunFolders(); len(got) != 3 {
			t.Errorf("folders %q, want three", got)
		}
	})
}

// TestLoopChangesClocks goes over both changes of a clock, in zones of each kind.
func TestLoopChangesClocks(t *testing.T) {
	for _, tt := range []struct {
		schedule, zone, from, to string
		want                     []string
	}{
		{"30 2 * * *", "Europe/Berlin", "03-25 00:00:00", "03-27 12:00:00", []string{"03-25 01:30:00", "03-26 01:00:00", "03-27 00:30:00"}},
		{"30 2 * * *", "Europe/Berlin", "10-28 00:00:00", "10-30 12:00:00", []string{"10-28 00:30:00", "10-29 00:30:00", "10-30 01:30:00"}},
		{"*/30 1-3 * * *", "Europe/Berlin", "03-26 00:00:00", "03-26 12:00:00", []string{"03-26 00:30:00", "03-26 01:00:00", "03-26 01:30:00"}},
		{"@hourly", "Europe/Berlin", "10-28 23:30:00", "10-29 02:30:00", []string{"10-29 00:00:00", "10-29 02:00:00"}},
		{"30 2 * * *", "America/New_York", "04-01 12:00:00", "04-03 12:00:00", []string{"04-02 07:00:00", "04-03 06:30:00"}},
		{"30 1 * * *", "America/New_York", "10-28 12:00:00", "10-30 12:00:00", []string{"10-29 05:30:00", "10-30 06:30:00"}},
		{"15 2 * * *", "Australia/Lord_Howe", "08-25 12:00:00", "08-28 12:00:00", []string{"08-25 15:45:00", "08-26 15:30:00", "08-27 15:15:00"}},
		{"0 0 * * *", "America/Havana", "04-01 12:00:00", "04-03 12:00:00", []string{"04-02 05:00:00", "04-03 04:00:00"}},
		{"0 0 29 2 *", "Asia/Kathmandu", "02-27 00:00:00", "03-02 00:00:00", []string{"02-28 18:15:00"}},
		{"@every 36h", "Europe/Berlin", "03-24 00:00:00", "03-28 00:00:00", []string{"03-25 12:00:00", "03-27 00:00:00"}},
	} {
		t.Run(tt.schedule+" "+tt.zone+" "+tt.from, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(in2000(t, tt.from)))
				c := newCronBed(t, scheduled(tt.schedule, tt.zone, time.Minute))
				c.until(tt.to)
				c.checkStarts(slices.Clone(tt.want)...)
				c.checkSkipped(cronID("c"), 0)
			})
		})
	}
}

func TestLoopSuspendsAndEditsSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCronBed(t, scheduled("@hourly", "", time.Minute))
		c.until("01-01 01:30:00")
		c.want(scheduled("@hourly", "", time.Minute, func(c *plan.Cron) { c.Suspend = true }))
		c.until("01-01 04:30:00")
		c.want(scheduled("@hourly", "", time.Minute))
		c.until("01-01 05:30:00")
		c.checkStarts("01-01 01:00:00", "01-01 05:00:00")
		c.checkSkipped(cronID("c"), 0)

		c.want(scheduled("15 * * * *", "", time.Minute))
		c.until("01-01 06:05:00")
		c.want(scheduled("0 3 * * *", "Asia/Kolkata", time.Minute)) // as 21:30 in UTC
		c.until("01-01 22:00:00")
		c.checkStarts("01-01 21:30:00")
		c.checkSkipped(cronID("c"), 0)
	})
}

func TestLoopRunsBesideTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCronBed(t, scheduled("@hourly", "", 10*time.Minute, func(c *plan.Cron) { c.Completed = 0 }))
		ask := func() {
			wish := plan.Record{ID: cronID("c"), Kind: plan.RecordWish, Key: plan.WishRerun, At: time.Now(), Data: map[string]string{}}
			if err := c.mem.Put(t.Context(), wish); err != nil {
				t.Fatal(err)
			}
			c.loop.Notify(reconcile.CauseCommand)
		}
		c.until("01-01 00:20:00")
		ask()
		c.until("01-01 01:05:00")
		ask() // while that of the slot goes on
		c.until("01-01 01:09:00")
		c.checkStarts("01-01 00:20:00", "01-01 01:00:00")
		c.until("01-01 01:11:00")
		c.loop.Notify(reconcile.CauseRuntime)
		c.until("01-01 05:30:00")
		c.checkStarts("01-01 01:05:00 at 2000-01-01 01:11:00", "01-01 02:00:00", "01-01 03:00:00", "01-01 04:00:00", "01-01 05:00:00")
		if diff := cmp.Diff(map[string]string{"01-01 05:00:00": "Running"}, c.runs(cronID("c"))); diff != "" {
			t.Errorf("runs before anybody looked (-want +got):\n%s", diff)
		}
		c.loop.Notify(reconcile.CauseRuntime)
		c.wait(time.Minute)
		if got := c.runs(cronID("c")); len(got) != 0 || len(containers(c.rt, cronID("c"))) != 0 {
			t.Errorf("runs that stay: %v", got)
		}
		c.checkStarts()
	})
}

// TestLoopHasSlotsWait lacks something for a while.
func TestLoopHasSlotsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := scheduled("@hourly", "", time.Minute)
		blocked.Blocked = []plan.Reason{{Code: plan.CodePending, Text: "it lacks something", Origin: blocked.Origin}}
		c := newCronBed(t, blocked)
		c.until("01-01 02:20:00")
		c.checkStarts()
		c.want(scheduled("@hourly", "", time.Minute))
		c.until("01-01 02:30:00")
		c.checkSkipped(cronID("c"), 1)
		c.until("01-01 03:30:00")
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.started) != 2 || c.started[0][:19] != "2000-01-01 02:00:00" || c.started[1] != "2000-01-01 03:00:00" {
			t.Errorf("starts %q", c.started)
		}
	})
}
