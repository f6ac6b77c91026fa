// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
	"reconcile/schedule"
)

// cronWorld is one CronTask on a host whose clock is set, which does steps in their
// order until it fails or is cut off.
type cronWorld struct {
	*rapid.T
	now     time.Time
	res     plan.Resource
	objects []plan.Object
	records map[string]plan.Record
	handles int

	first   time.Time       // when it was seen first
	started map[string]bool // keys
	runs    map[string]bool // keys of all that were recorded
	exact   bool            // every slot since is run or counted
}

func (w *cronWorld) oneIn(n int, what string) bool { return rapid.IntRange(1, n).Draw(w.T, what) == n }

func newCronWorld(t *rapid.T) *cronWorld {
	w := &cronWorld{T: t, now: testNow.Add(time.Second), records: map[string]plan.Record{}, started: map[string]bool{}, runs: map[string]bool{}, exact: true}
	w.first = w.now
	limit := func(what string) int { return rapid.IntRange(0, 2).Draw(t, what) }
	w.res = plan.Resource{
		ID: plan.ID{Kind: plan.CronTask, Name: "c"}, Name: "acme-task-c", Origin: "c.yaml:1:1", Want: plan.WantOnce,
		Spec: plan.Spec{Container: &plan.ContainerSpec{Image: "img:1"}},
		Run: &plan.Run{Cron: &plan.Cron{
			Schedule:  rapid.SampledFrom([]string{"*/10 * * * *", "0,7 * * * *", "@every 25m", "30 */2 * * *"}).Draw(t, "schedule"),
			Zone:      rapid.SampledFrom([]string{"", "Europe/Berlin"}).Draw(t, "zone"),
			Policy:    rapid.SampledFrom([]plan.CronPolicy{plan.CronForbid, plan.CronAllow, plan.CronReplace}).Draw(t, "policy"),
			Deadline:  rapid.SampledFrom([]time.Duration{-1, 0, 5 * time.Minute, time.Hour}).Draw(t, "deadline"),
			Completed: limit("completed"), Failed: limit("failed"),
		}},
	}
	return w
}

func (w *cronWorld) plan() plan.Plan {
	o := plan.Observed{
		Objects: slices.Clone(w.objects), Records: plan.Records{Owner: testOwner, Records: slices.Collect(maps.Values(w.records))},
		Inputs: map[plan.Input]plan.Fact{{Kind: plan.InputImage, Name: "img:1"}: {State: plan.FactKnown, Value: "sha256:one"}},
	}
	d := plan.Desired{Workspace: "acme", Root: testRoot, Resources: []plan.Resource{w.res}}
	return plan.New(d, o, plan.Options{Now: w.now})
}

// happen has something happen between two plans.
func (w *cronWorld) happen() {
	c := *w.res.Run.Cron
	switch rapid.IntRange(0, 9).Draw(w.T, "what") {
	case 0:
		w.now = w.now.Add(-time.Duration(rapid.IntRange(0, 3*3600).Draw(w.T, "back")) * time.Second)
	case 1: // at a second that is never that of a slot
		at := w.now.Truncate(time.Minute).Add(-53 * time.Second)
		w.put(plan.Record{ID: w.res.ID, Kind: plan.RecordWish, Key: plan.WishRerun, At: at, Data: map[string]string{}})
	case 2:
		if w.oneIn(3, "suspend") {
			c.Suspend, w.exact = !c.Suspend, false
		}
	case 3:
		w.res.Blocked = nil
		if w.oneIn(2, "block") {
			w.res.Blocked = []plan.Reason{{Code: plan.CodePending, Text: "it lacks something", Origin: "c.yaml:1:1"}}
		}
	case 4, 5:
		for i := range w.objects {
			if o := &w.objects[i]; o.State == plan.StateRunning && w.oneIn(2, "ends") {
				o.State, o.ExitCode, o.Finished = plan.StateExited, rapid.IntRange(0, 1).Draw(w.T, "code"), w.now
			}
		}
	default:
		w.now = w.now.Add(time.Duration(rapid.IntRange(0, 90*60).Draw(w.T, "forward")) * time.Second)
	}
	w.res.Run = &plan.Run{Cron: &c}
}

func (w *cronWorld) put(r plan.Record) {
	key := string(r.Kind) + " " + r.Key
	if w.records[key] = r; r.Forget {
		delete(w.records, key)
	}
	if r.Kind == plan.RecordRun {
		w.runs[r.Key] = true
	}
}

// apply does the steps of a plan, but for one that fails and what comes after it,
// up to where it is cut off.
func (w *cronWorld) apply(p plan.Plan) {
	fails, limit := -1, len(p.Steps)
	if len(p.Steps) > 0 && w.oneIn(4, "trouble") {
		fails, limit = rapid.IntRange(-1, len(p.Steps)-1).Draw(w.T, "fails"), rapid.IntRange(0, len(p.Steps)).Draw(w.T, "cut")
	}
	begun, skipped, made := 0, map[string]bool{}, map[string]string{}
	for i, s := range p.Steps[:limit] {
		if i == fails || slices.ContainsFunc(s.After, func(id string) bool { return skipped[id] }) {
			skipped[s.ID] = true
			continue
		}
		if s.Op == plan.OpCreate {
			begun++
		}
		if err := w.do(s, made); err != nil {
			w.Fatalf("%s: %v\n%s", s.ID, err, p)
		}
	}
	if begun > 1 {
		w.Fatalf("%d runs are begun in one plan\n%s", begun, p)
	}
}

func (w *cronWorld) do(s plan.Step, made map[string]string) error {
	handle := s.Object
	if handle == "" {
		handle = made[s.Run]
	}
	i := slices.IndexFunc(w.objects, func(o plan.Object) bool { return o.Handle == handle })
	switch {
	case s.Op == plan.OpDelete && s.Object == "": // what is left of it on the host
		return nil
	case i < 0 && !slices.Contains([]plan.Op{plan.OpPrepare, plan.OpCreate, plan.OpRecord}, s.Op):
		return fmt.Errorf("no object %q", handle)
	}
	switch s.Op {
	case plan.OpPrepare:
	case plan.OpCreate:
		w.handles++
		made[s.Run] = fmt.Sprintf("h%d", w.handles)
		w.objects = append(w.objects, plan.Object{
			ID: s.Target, Handle: made[s.Run], Name: s.Name, Workspace: "acme", Root: testRoot, Owner: testOwner, Role: plan.RoleInstance,
			Run: s.Run, Digest: s.Digest, Inputs: s.Bound, State: plan.StateCreated, Created: w.now,
		})
	case plan.OpRecord:
		r := *s.Record
		if r.Kind == plan.RecordRun && r.Data["phase"] == string(plan.RunRunning) && r.Data["container"] == "" {
			r.Data = maps.Clone(r.Data)
			r.Data["container"] = handle
		}
		w.put(r)
	case plan.OpStart:
		return w.start(&w.objects[i])
	case plan.OpStop:
		w.objects[i].State, w.objects[i].ExitCode, w.objects[i].Finished = plan.StateExited, 143, w.now
	case plan.OpDelete:
		if o := w.objects[i]; o.State == plan.StateRunning {
			return fmt.Errorf("%s is deleted while it runs", o.Handle)
		}
		w.objects = slices.Delete(w.objects, i, i+1)
	default:
		return fmt.Errorf("what is %s", s.Op)
	}
	return nil
}

func (w *cronWorld) start(o *plan.Object) error {
	policy := w.res.Run.Cron.Policy
	switch {
	case w.started[o.Run]:
		return fmt.Errorf("run %s is started again", o.Run)
	case w.records["run "+o.Run].RunState().Container != o.Handle:
		return fmt.Errorf("run %s is started and not recorded", o.Run)
	case policy != plan.CronAllow && slices.ContainsFunc(w.objects, func(o plan.Object) bool { return o.State == plan.StateRunning }):
		return fmt.Errorf("run %s is started beside another", o.Run)
	}
	if sec, isSlot := w.slot(o.Run); isSlot && sec <= w.first.Unix() {
		return fmt.Errorf("slot %s was before there was a schedule", o.Run)
	}
	w.started[o.Run] = true
	o.State, o.Started = plan.StateRunning, w.now
	return nil
}

// slot is the slot of a key in Unix seconds, if it is of one.
func (w *cronWorld) slot(key string) (int64, bool) {
	sec, err := strconv.ParseInt(key, 10, 64)
	return sec, err == nil && w.times().Next(time.Unix(sec-1, 0)).Unix() == sec
}

func (w *cronWorld) times() schedule.Schedule {
	times, err := schedule.Parse(w.res.Run.Cron.Schedule, w.res.Run.Cron.Zone)
	if err != nil {
		w.Fatal(err)
	}
	return times
}

type slotCounts struct {
	last    int64
	skipped int
}

func (w *cronWorld) slots() (s slotCounts) {
	data := w.records["slot "].Data
	s.last, _ = strconv.ParseInt(data["last"], 10, 64)
	s.skipped, _ = strconv.Atoi(data["skipped"])
	return s
}

// settle makes plans until there is nothing to do.
func (w *cronWorld) settle() {
	for range 10 {
		p := w.plan()
		if len(p.Steps) == 0 {
			return
		}
		for _, s := range p.Steps {
			if s.Op == plan.OpCreate && w.started[s.Run] {
				w.Fatalf("run %s is made again\n%s", s.Run, p)
			}
		}
		made := map[string]string{}
		for _, s := range p.Steps {
			if err := w.do(s, made); err != nil {
				w.Fatalf("%s: %v\n%s", s.ID, err, p)
			}
		}
	}
	w.Fatalf("there is always something to do\n%s", w.plan())
}

// check compares what has been run and what was skipped with the slots that there
// were.
func (w *cronWorld) check() {
	counts, ran := w.slots(), 0
	for key := range w.runs {
		// One that was begun before the clock was set back is counted when its slot comes.
		if sec, isSlot := w.slot(key); isSlot && sec <= counts.last {
			ran++
		}
	}
	slot, missed := w.times().Latest(w.first, time.Unix(counts.last, 0))
	were := missed
	if !slot.IsZero() {
		were++
	}
	if w.exact && ran+counts.skipped != were || ran+counts.skipped > were {
		w.Fatalf("%d slots were run and %d skipped of %d", ran, counts.skipped, were)
	}
	over := map[plan.RunPhase]int{}
	for _, r := range w.records {
		// One that was run before the clock was set back is kept from coming again.
		if sec, isSlot := w.slot(r.Key); r.RunState().Ended() && !(isSlot && sec > counts.last) {
			over[r.RunState().Phase]++
		}
	}
	c := w.res.Run.Cron
	if over[plan.RunCompleted] > c.Completed || over[plan.RunFailed] > c.Failed {
		w.Fatalf("%v stay, of which %d and %d may", over, c.Completed, c.Failed)
	}
}

// TestSlotsProperty: whatever happens, each slot is run at most once, none beside
// another unless it may, never two in one plan; and none is lost.
func TestSlotsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newCronWorld(t)
		w.apply(w.plan())
		w.settle()
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			w.happen()
			w.apply(w.plan())
			if w.oneIn(3, "settle") {
				w.settle()
			}
		}
		w.res.Blocked = nil
		w.settle()
		w.check()
	})
}
