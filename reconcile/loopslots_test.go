// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// slotKeys is the keys of the runs that were ever started, in any order.
func (b *bed) slotKeys(name string) map[string]bool {
	out := map[string]bool{}
	for run := range starts(b.rt) {
		if _, key, _ := strings.Cut(run, " "); strings.HasPrefix(run, name+"-") {
			out[key] = true
		}
	}
	return out
}

func TestLoopRunsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := cron("good", "for", "5s", "0"), cron("bad", "for", "5s", "1")
		idle := cron("idle", "exit", "0")
		idle.Run.Cron.Suspend = true
		time.Sleep(7 * time.Second) // it is midnight, which is a slot
		b := newRunBed(t, []plan.Resource{good, bad, idle}, func(_ *bed, o *reconcile.LoopOptions) { o.Interval = 240 * time.Hour })
		b.wait(time.Second)
		if st := b.taskStatus(cronID("good")); st.State != reconcile.WordScheduled || st.Phase != "Scheduled" || !st.LastSlot.IsZero() ||
			time.Until(st.NextSlot) > time.Minute || len(st.Runs) != 0 || !st.InSync {
			t.Errorf("before its first slot: %+v", st)
		}
		if st := b.taskStatus(cronID("idle")); st.State != reconcile.WordSuspended || !st.Suspended || !st.NextSlot.IsZero() {
			t.Errorf("suspended: %+v", st)
		}
		b.wait(10*time.Minute - time.Second)
		for name, want := range map[string]int{"good": 3, "bad": 1} {
			id := cronID(name)
			st := b.taskStatus(id)
			if n := len(b.slotKeys(name)); n < 9 || n > 10 {
				t.Errorf("%s ran %d times in 10 minutes", name, n)
			}
			ended := 0
			for _, r := range st.Runs {
				if !r.Finished.IsZero() {
					ended++
				}
			}
			if ended != want || len(containers(b.rt, id)) > want+1 || st.Skipped != 0 {
				t.Errorf("%s: %d ended runs and %d containers are kept, want %d; skipped %d", name, ended, len(containers(b.rt, id)), want, st.Skipped)
			}
			if st.LastSlot.Unix()%60 != 0 || st.NextSlot.Sub(st.LastSlot) != time.Minute || st.Runs[0].Name != name+"-"+st.Runs[0].Run {
				t.Errorf("%s: last slot %s, next %s, run %s", name, st.LastSlot, st.NextSlot, st.Runs[0].Name)
			}
		}
		if n := len(starts(b.rt)); n != len(b.slotKeys("good"))+len(b.slotKeys("bad")) {
			t.Errorf("what is suspended ran: %v", starts(b.rt))
		}
	})
}

func TestLoopSlotsWhileRunsGoOn(t *testing.T) {
	for policy, want := range map[plan.CronPolicy]struct {
		runs, together, skipped int
		reason                  string
	}{
		plan.CronForbid:  {runs: 5, together: 1, skipped: 4},
		plan.CronAllow:   {runs: 9, together: 2},
		plan.CronReplace: {runs: 9, together: 1, reason: plan.FailedReplaced},
	} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := cron("c", "for", "90s", "0")
				r.Run.Cron.Policy, r.Run.Cron.Failed = policy, 100
				b := newRunBed(t, []plan.Resource{r})
				time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(90 * time.Second)))
				most := 0
				for range 8 * 6 {
					up := 0
					for _, o := range containers(b.rt, cronID("c")) {
						if o.State == plan.StateRunning {
							up++
						}
					}
					most = max(most, up)
					b.wait(10 * time.Second)
				}
				st := b.taskStatus(cronID("c"))
				if n := len(b.slotKeys("c")); n != want.runs || most != want.together || st.Skipped != want.skipped {
					t.Errorf("%d runs, %d at once, %d slots skipped; want %d, %d, %d", n, most, st.Skipped, want.runs, want.together, want.skipped)
				}
				for run, n := range starts(b.rt) {
					if n != 1 {
						t.Errorf("%s was started %d times", run, n)
					}
				}
				for _, r := range st.Runs[1:] {
					if r.Phase == plan.RunFailed && r.Reason != want.reason {
						t.Errorf("%s failed: %s", r.Name, r.Reason)
					}
				}
			})
		})
	}
}

// Of the slots that came while nobody looked, the last one is run, if it is not
// too late, and no other.
func TestLoopSlotsThatWereMissed(t *testing.T) {
	for deadline, want := range map[time.Duration]int{-1: 1, time.Hour: 1, time.Second: 0} {
		t.Run(deadline.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := cron("c", "exit", "0")
				r.Run.Cron.Deadline = deadline
				b := newRunBed(t, []plan.Resource{r})
				time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(30 * time.Second)))
				b.wait(time.Second)
				n := len(b.slotKeys("c"))
				b.stop()
				b.wait(10 * time.Minute)
				b.run()
				b.listen()
				b.wait(10 * time.Second)
				st := b.taskStatus(cronID("c"))
				if got := len(b.slotKeys("c")) - n; got != want || st.Skipped != 10-want {
					t.Errorf("%d runs and %d skipped slots of 10, want %d and %d", got, st.Skipped, want, 10-want)
				}
				if key := strconv.FormatInt(st.LastSlot.Unix(), 10); want == 1 && !b.slotKeys("c")[key] {
					t.Errorf("slot %s was not the one that was run: %v", key, b.slotKeys("c"))
				}
			})
		})
	}
}
