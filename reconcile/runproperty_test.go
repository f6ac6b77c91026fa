// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// runGroups are the tasks that there may be, with the limit of the group of each.
var runGroups = map[string]struct {
	group string
	most  int
}{"a": {"agent/one", 1}, "b": {"agent/one", 1}, "c": {"agent/two", 2}, "d": {"agent/two", 2}, "e": {"agent/two", 2}, "f": {}}

func drawTasks(t *rapid.T, label string) []plan.Resource {
	var rs []plan.Resource
	for _, name := range agentNames {
		if rapid.IntRange(0, 3).Draw(t, label+" lacks "+name) == 0 {
			continue
		}
		r := task(name, rapid.SampledFrom([][]string{
			{"exit", "0"}, {"exit", "3"}, {"for", "2s", "0"}, {"for", "40s", "0"},
		}).Draw(t, label+" command of "+name)...)
		r.Run.Key = keyOf(rapid.SampledFrom([]string{"1", "2"}).Draw(t, label+" version of "+name))
		r.Run.Group, r.Run.Max = runGroups[name].group, runGroups[name].most
		r.Run.TTL = rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, label+" retention of "+name)
		r.Spec.Container.Task.KeepAlive = rapid.SampledFrom([]int64{0, 0, 30_000}).Draw(t, label+" keep alive of "+name)
		rs = append(rs, r)
	}
	return rs
}

// runGuard checks each start of a run as it happens.
type runGuard struct {
	mu     sync.Mutex
	fails  map[string]bool
	takes  time.Duration
	faults []string
}

func (g *runGuard) watch(b *bed) {
	group := func(id plan.ID) string { return runGroups[id.Name].group }
	b.rt.Hook(func(_ int, s plan.Step) error {
		g.mu.Lock()
		fails, takes := g.fails[s.Target.Name], g.takes
		g.mu.Unlock()
		time.Sleep(takes)
		if fails {
			return errors.New("injected failure")
		}
		if s.Op != plan.OpStart {
			return nil
		}
		for _, o := range b.rt.Things() {
			if o.Handle == s.Object && (o.State == plan.StateExited || o.Run != s.Run) {
				g.fault("%s, which is %s and run %s", s.ID, o.State, o.Run)
			}
		}
		return nil
	}, func(_ int, s plan.Step) error {
		if s.Op != plan.OpStart || group(s.Target) == "" {
			return nil
		}
		up := 0
		for _, o := range b.rt.Things() {
			if o.Outcome == nil && group(o.ID) == group(s.Target) && o.Workspace != "" && (o.State == plan.StateRunning || o.State == plan.StatePaused) {
				up++
			}
		}
		if up > runGroups[s.Target.Name].most {
			g.fault("%d runs of %s at once after %s", up, group(s.Target), s.ID)
		}
		return nil
	})
}

func (g *runGuard) fault(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, fmt.Sprintf(format, args...))
}

func (g *runGuard) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// befallRun has something happen to a task.
func (b *bed) befallRun(g *runGuard, what, name string) {
	id := taskID(name)
	all := containers(b.rt, id)
	up := slices.DeleteFunc(slices.Clone(all), func(o plan.Object) bool { return o.State != plan.StateRunning })
	switch what {
	case "fail":
		g.set(func() { g.fails[name] = true })
	case "mend":
		g.set(func() { delete(g.fails, name) })
	case "slow":
		g.set(func() { g.takes = 700 * time.Millisecond })
	case "quick":
		g.set(func() { g.takes = 0 })
	case "down", "up":
		b.rt.SetDown(what == "down")
	case "restart":
		b.rt.OnChange(nil)
		b.stop()
		b.run(runLoop)
		b.listen()
	case "rerun", "stop":
		r := plan.Record{ID: id, Kind: plan.RecordWish, Key: what, At: time.Now()}
		if what == plan.WishStop {
			r.Data = map[string]string{"wanted": "true"}
		}
		if err := b.mem.Put(b.t.Context(), r); err != nil {
			b.t.Error(err)
		}
		b.loop.Notify(reconcile.CauseCommand)
	case "kill", "pause":
		for _, o := range up {
			if what == "kill" {
				b.rt.Kill(o.Handle)
			} else {
				b.rt.Pause(o.Handle)
			}
		}
	case "remove":
		for _, o := range all {
			b.rt.Remove(o.Handle)
		}
	}
}

func runLoop(_ *bed, o *reconcile.LoopOptions) {
	o.Plan = func() plan.Options { return plan.Options{AllowMassDelete: true} }
	o.Settle, o.Interval = time.Second, time.Minute
}

// Whatever befalls tasks and the loop, no run is started that was started before,
// none goes on beside more of its group than may, and in the end each task has been
// run, is what it is said to be, and nothing is left to do.
func TestPropertyLoopRuns(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first := drawTasks(rt, "first")
		type event struct {
			after      time.Duration
			what, name string
			next       []plan.Resource
		}
		var events []event
		for i := range rapid.IntRange(1, 12).Draw(rt, "events") {
			e := event{
				after: time.Duration(rapid.SampledFrom([]int{0, 1, 60, 300, 1000, 3000, 30_000}).Draw(rt, "after")) * time.Millisecond,
				what: rapid.SampledFrom([]string{
					"edit", "edit", "fail", "mend", "slow", "quick", "down", "up", "restart", "rerun", "rerun", "stop", "kill", "pause", "remove",
				}).Draw(rt, "what"),
				name: rapid.SampledFrom(agentNames).Draw(rt, "name"),
			}
			if e.what == "edit" {
				e.next = drawTasks(rt, fmt.Sprint("edit ", i))
			}
			events = append(events, e)
		}
		var faults []string
		synctest.Test(t, func(t *testing.T) {
			g := &runGuard{fails: map[string]bool{}}
			b := newBed(t, first, func(b *bed, o *reconcile.LoopOptions) { g.watch(b); runLoop(b, o) })
			b.listen()
			for _, e := range events {
				time.Sleep(e.after)
				if e.what == "edit" {
					b.want(e.next...)
				} else {
					b.befallRun(g, e.what, e.name)
				}
			}
			b.rt.SetDown(false)
			g.set(func() { clear(g.fails) })
			b.wait(20 * time.Minute)
			faults = append(g.faults, b.runFaults()...)
			if fault := b.unsettled(); fault != "" {
				faults = append(faults, fault)
			}
		})
		if len(faults) > 0 {
			rt.Fatal(faults)
		}
	})
}

// runFaults says what is not as it should be of the runs in the end.
func (b *bed) runFaults() []string {
	var out []string
	records, err := b.mem.Load()
	if err != nil {
		return []string{err.Error()}
	}
	for _, r := range b.loaded.Desired.Resources {
		if r.Run == nil {
			continue
		}
		ran := false
		for _, rs := range plan.RunsOf(records, r.ID) {
			first, _, _ := strings.Cut(rs.Key, ".")
			ran = ran || first == r.Run.Key
			if !rs.Ended() {
				out = append(out, fmt.Sprintf("%s: run %s is %s", r.ID, rs.Key, rs.Phase))
			}
		}
		st := statusOf(b.t, b.loop.Status().Statuses, r.ID)
		if !ran || st.Phase != plan.RunCompleted && st.Phase != plan.RunFailed || !st.InSync {
			out = append(out, fmt.Sprintf("%s is %s (%s), in sync %t, and was run: %t", r.ID, st.Phase, st.PhaseReason, st.InSync, ran))
		}
	}
	wanted := func(id plan.ID) bool {
		return slices.ContainsFunc(b.loaded.Desired.Resources, func(r plan.Resource) bool { return r.ID == id })
	}
	for _, o := range b.rt.Things() {
		if o.Run != "" && !wanted(o.ID) {
			out = append(out, fmt.Sprintf("%s is left", o.Name))
		}
	}
	return out
}
