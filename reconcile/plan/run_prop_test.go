// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

var (
	runImage  = plan.Input{Kind: plan.InputImage, Name: "img:1"}
	runSecret = plan.Input{Kind: plan.InputSecret, Name: "keys:db"}
	taskPool  = []string{"a", "b", "c", "d"}
	cronPool  = []string{"p", "q"}
)

func taskID(name string) plan.ID { return plan.ID{Kind: plan.Task, Name: name} }
func cronID(name string) plan.ID { return plan.ID{Kind: plan.CronTask, Name: name} }

// runGen draws what becomes of a runWorld.
type runGen struct {
	*rapid.T
	w    *runWorld
	keys int
}

func genRunWorld(t *rapid.T) *runGen {
	g := &runGen{T: t, w: &runWorld{
		now: testNow, facts: map[plan.Input]plan.Fact{}, specs: map[string]json.RawMessage{}, starts: map[string]int{},
		desired: plan.Desired{Workspace: "acme", Root: testRoot, Source: "workspace.yaml:1:1"},
	}}
	g.w.desired.Resources = []plan.Resource{{
		ID: plan.ID{Kind: plan.Network, Name: "net"}, Name: "acme", Origin: "net.yaml:1:1",
		Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", DNS: true}},
	}}
	g.heal()
	for _, name := range taskPool {
		if rapid.Bool().Draw(t, "has "+name) {
			g.add(taskID(name))
		}
	}
	for _, name := range cronPool {
		if rapid.Bool().Draw(t, "has "+name) {
			g.add(cronID(name))
		}
	}
	return g
}

func (g *runGen) oneIn(n int, what string) bool { return rapid.IntRange(1, n).Draw(g.T, what) == n }

// add has a Task or a CronTask asked for, anew or otherwise than before.
func (g *runGen) add(id plan.ID) {
	g.keys++
	c := &plan.ContainerSpec{
		Image: runImage.Name, Helper: true, Task: &plan.TaskSpec{Dir: "/runs/" + id.Name},
		Env: []plan.EnvVar{{Name: "LEVEL", Value: strconv.Itoa(rapid.IntRange(0, 2).Draw(g.T, "level"))}},
	}
	if g.oneIn(3, "secret") {
		c.EnvFrom = []string{runSecret.Name}
	}
	r := plan.Resource{
		ID: id, Name: "acme-task-" + id.Name, Origin: id.Name + ".yaml:1:1", Want: plan.WantOnce, Spec: plan.Spec{Container: c},
		Needs: []plan.Need{{On: plan.ID{Kind: plan.Network, Name: "net"}, Until: plan.UntilExists}},
		Run:   &plan.Run{Once: g.oneIn(6, "once")},
	}
	r.Run.Group = rapid.SampledFrom([]string{"", "agent/x", "agent/y"}).Draw(g.T, "group")
	r.Run.Max = limits[r.Run.Group]
	if rapid.Bool().Draw(g.T, "ttl") {
		r.Run.TTL = time.Hour
	}
	if id.Kind == plan.CronTask {
		r.Run.Cron = &plan.Cron{
			Schedule: "*/10 * * * *", Completed: 1, Failed: 1, Deadline: -1,
			Policy: rapid.SampledFrom([]plan.CronPolicy{plan.CronForbid, plan.CronAllow, plan.CronReplace}).Draw(g.T, "policy"),
		}
	} else {
		r.Run.Key = fmt.Sprintf("k%d", g.keys)
		if g.oneIn(4, "a key of before") {
			r.Run.Key = fmt.Sprintf("k%d", rapid.IntRange(1, g.keys).Draw(g.T, "which"))
		}
	}
	g.drop(id)
	g.w.desired.Resources = append(g.w.desired.Resources, r)
	slices.SortFunc(g.w.desired.Resources, func(a, b plan.Resource) int { return a.ID.Compare(b.ID) })
}

func (g *runGen) drop(id plan.ID) {
	g.w.desired.Resources = slices.DeleteFunc(g.w.desired.Resources, func(r plan.Resource) bool { return r.ID == id })
}

// heal has nothing be in the way of anything.
func (g *runGen) heal() {
	w := g.w
	w.facts[runImage] = plan.Fact{State: plan.FactKnown, Value: "sha256:one"}
	w.facts[runSecret] = plan.Fact{State: plan.FactKnown, Value: "fp1"}
	w.incomplete, w.busy, w.foreign, w.backoff = false, nil, nil, nil
	for i := range w.objects {
		w.objects[i].Keep = false
	}
	for i := range w.desired.Resources {
		w.desired.Resources[i].Blocked = nil
	}
}

func (g *runGen) anyID(what string) plan.ID {
	ids := []plan.ID{}
	for _, name := range taskPool {
		ids = append(ids, taskID(name))
	}
	for _, name := range cronPool {
		ids = append(ids, cronID(name))
	}
	return rapid.SampledFrom(ids).Draw(g.T, what)
}

// happen has something happen between two passes.
func (g *runGen) happen() {
	w := g.w
	w.now = w.now.Add(time.Second)
	switch id := g.anyID("to"); rapid.IntRange(0, 12).Draw(g.T, "what") {
	case 0, 1:
		g.add(id)
	case 2:
		g.drop(id)
	case 3:
		w.put(plan.Record{ID: id, Kind: plan.RecordWish, Key: plan.WishRerun, At: w.now, Data: map[string]string{}})
	case 4:
		w.put(plan.Record{ID: id, Kind: plan.RecordWish, Key: plan.WishStop, At: w.now, Data: map[string]string{"wanted": "true"}})
	case 5, 6, 7:
		g.processes()
	case 8:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(g.T, "minutes")) * time.Minute)
	case 9:
		g.trouble(id)
	case 10:
		g.heal()
	case 11:
		if r := w.resource(id); r != nil {
			c := *r.Spec.Container
			c.WorkDir = fmt.Sprintf("/w%d", rapid.IntRange(0, 2).Draw(g.T, "dir"))
			r.Spec.Container = &c
		}
	case 12: // the host is restarted
		for i := range w.objects {
			if isUp(w.objects[i]) {
				w.objects[i].State = plan.StateCreated
			}
		}
	}
}

// processes has each process go on, end, or be taken away.
func (g *runGen) processes() {
	w := g.w
	var left []plan.Object
	for _, o := range w.objects {
		if !isUp(o) {
			left = append(left, o)
			continue
		}
		code := rapid.IntRange(0, 1).Draw(g.T, "code")
		switch rapid.IntRange(0, 7).Draw(g.T, "what becomes of "+o.Handle) {
		case 0, 1:
			o.State, o.ExitCode, o.Finished = plan.StateExited, code, w.now
		case 2, 3:
			o.Outcome = &plan.Outcome{Code: code, Timeout: g.oneIn(3, "timeout"), Finished: w.now}
		case 4:
			o.State = rapid.SampledFrom([]plan.State{plan.StatePaused, plan.StateBroken}).Draw(g.T, "state")
		case 5:
			continue
		}
		left = append(left, o)
	}
	w.objects = left
}

func (g *runGen) trouble(id plan.ID) {
	w := g.w
	r := w.resource(id)
	switch rapid.IntRange(0, 7).Draw(g.T, "trouble") {
	case 0:
		w.facts[runImage] = plan.Fact{State: plan.FactMissing, Detail: "not found"}
	case 1:
		w.facts[runSecret] = plan.Fact{State: plan.FactMissing}
	case 2:
		w.incomplete = true
	case 3:
		w.busy = append(w.busy, id)
	case 4:
		w.foreign = append(w.foreign, plan.Object{ID: plan.ID{Kind: plan.Task}, Name: "acme-task-" + id.Name, Handle: "f"})
		if slices.ContainsFunc(w.objects, func(o plan.Object) bool { return o.Name == "acme-task-"+id.Name }) {
			w.foreign = w.foreign[:len(w.foreign)-1]
		}
	case 5:
		if r != nil {
			r.Blocked = []plan.Reason{{Code: plan.CodePending, Text: "Context default/x does not exist", Origin: "x.yaml:1:1"}}
		}
	case 6:
		if r != nil {
			w.backoff = append(w.backoff, plan.Backoff{
				ID: id, Digest: r.Spec.Digest(), At: w.now, Until: w.now.Add(time.Minute), Detail: "no space left",
				Image: rapid.Bool().Draw(g.T, "for its image"),
			})
		}
	case 7:
		for i := range w.objects {
			w.objects[i].Keep = w.objects[i].Role == plan.RoleInstance && g.oneIn(3, "keep "+w.objects[i].Handle)
		}
	}
}

// pass plans and carries out, the one or the other way.
func (g *runGen) pass(rnd *rand.Rand) {
	w := g.w
	p := w.plan()
	g.checkPlan(p, rnd)
	before := w.clone()
	how := runWalk{limit: -1}
	if len(p.Steps) > 0 {
		switch rapid.IntRange(0, 4).Draw(g.T, "how it goes") {
		case 0:
			how.limit = rapid.IntRange(0, len(p.Steps)-1).Draw(g.T, "cut short after")
		case 1, 2:
			how.fail = p.Steps[rapid.IntRange(0, len(p.Steps)-1).Draw(g.T, "failing")].ID
			how.effects = rapid.Bool().Draw(g.T, "with its effect")
		}
	}
	if err := w.apply(p, rnd, how); err != nil {
		g.Fatalf("%v\n%s", err, p)
	}
	for _, o := range before.objects {
		now := w.object(o.ID, o.Handle)
		if o.Keep && (now == nil || isUp(o) && !isUp(*now)) {
			g.Fatalf("%s of %s was kept\n%s", o.Handle, o.ID, p)
		}
	}
}

// checkPlan checks what holds for every plan of runs.
func (g *runGen) checkPlan(p plan.Plan, rnd *rand.Rand) {
	w := g.w
	checkForm(g.T, p)
	o := w.observe()
	o.Objects, o.Records.Records = shuffled(rnd, o.Objects), shuffled(rnd, o.Records.Records)
	d := w.desired
	d.Resources = shuffled(rnd, d.Resources)
	if diff := cmp.Diff(p, plan.New(d, o, plan.Options{Now: w.now, AllowMassDelete: true})); diff != "" {
		g.Fatalf("the order of the input shows (-want +got):\n%s", diff)
	}
	g.checkQueue(p)
}

// checkQueue checks that nobody who waits is passed by: one that is started while
// another waits has waited for longer, unless that one is in other trouble.
func (g *runGen) checkQueue(p plan.Plan) {
	launched := map[plan.ID]time.Time{}
	for _, s := range p.Steps {
		if s.Op != plan.OpRecord || s.Record.RunState().Phase != plan.RunRunning || s.Record.Forget {
			continue
		}
		if o := g.w.object(s.Target, s.Object); o != nil && !o.Started.IsZero() {
			continue // only recorded
		}
		rec, ok := g.w.recorded(s.Target, plan.RecordRun, s.Record.Key)
		if ok && rec.RunState().Phase == plan.RunRunning {
			continue
		}
		launched[s.Target] = g.w.now
		for _, rec := range g.w.records { // an edited one keeps its place
			if rec.ID == s.Target && rec.RunState().Phase == plan.RunQueued && rec.At.Before(launched[s.Target]) {
				launched[s.Target] = rec.At
			}
		}
	}
	for _, c := range p.Held {
		if c.Reasons[0].Code != plan.CodeQueued || !c.Benign {
			continue
		}
		for _, rec := range g.w.records {
			if rec.ID != c.ID || rec.Kind != plan.RecordRun || rec.RunState().Phase != plan.RunQueued {
				continue
			}
			for id, since := range launched {
				same := g.w.resource(id).Run.Group == g.w.resource(c.ID).Run.Group && g.w.resource(id).Run.Group != ""
				if same && since.After(rec.At) && id.Kind == plan.Task && c.ID.Kind == plan.Task {
					g.Fatalf("%s, which waits since %s, is passed by %s, which does since %s\n%s", c.ID, rec.At, id, since, p)
				}
			}
		}
	}
}

// drain has passes go on, and every process end well, until nothing is left to do.
func (g *runGen) drain(rnd *rand.Rand) {
	w := g.w
	for range 60 {
		p := w.plan()
		g.checkPlan(p, rnd)
		if err := w.apply(p, rnd, runWalk{limit: -1}); err != nil {
			g.Fatalf("%v\n%s", err, p)
		}
		again := w.plan()
		on := false
		for i, o := range w.objects {
			if o.State == plan.StateRunning && o.Outcome == nil {
				w.objects[i].State, w.objects[i].ExitCode, w.objects[i].Finished = plan.StateExited, 0, w.now
				on = true
			}
		}
		if !on && len(again.Steps) == 0 && (again.Wake.IsZero() || again.Wake.Sub(w.now) > time.Second) {
			return
		}
		if again.Wake.Sub(w.now) == time.Second {
			w.now = w.now.Add(time.Second)
		}
	}
	g.Fatalf("it never comes to an end\n%s", w.plan())
}

// checkDrained checks that everything that was asked for has been run.
func (g *runGen) checkDrained() {
	w := g.w
	p := w.plan()
	for _, r := range w.desired.Resources {
		if r.ID.Kind != plan.Task {
			continue
		}
		ran, others := false, false
		for _, s := range plan.RunsOf(plan.Records{Records: w.records}, r.ID) {
			if !s.Ended() {
				g.Fatalf("%s: run %s is %s\n%s", r.ID, s.Key, s.Phase, p)
			}
			base := s.Key
			if i := slices.Index([]byte(base), '.'); i >= 0 {
				base = base[:i]
			}
			ran, others = ran || base == r.Run.Key, others || base != r.Run.Key
		}
		if !ran && !(r.Run.Once && others) {
			g.Fatalf("%s was never run\n%s", r.ID, p)
		}
		if wish, ok := w.recorded(r.ID, plan.RecordWish, plan.WishRerun); ok && !slices.ContainsFunc(w.records, func(rec plan.Record) bool {
			return rec.ID == r.ID && rec.Kind == plan.RecordRun && !rec.At.Before(wish.At)
		}) {
			g.Fatalf("%s was asked for again at %s, and not run\n%s", r.ID, wish.At, p)
		}
	}
	for _, o := range w.objects {
		if w.resource(o.ID) == nil {
			g.Fatalf("%s is still there\n%s", o.ID, p)
		}
		if rec, _ := w.recorded(o.ID, plan.RecordRun, o.Run); isUp(o) && rec.RunState().Halted() {
			g.Fatalf("%s was to be stopped, and goes on\n%s", o.Handle, p)
		}
	}
	for _, rec := range w.records {
		gone := w.resource(rec.ID) == nil
		if gone && (rec.ID.Kind == plan.CronTask && rec.Kind != plan.RecordWish || rec.RunState().Kept || rec.RunState().Phase == plan.RunQueued) {
			g.Fatalf("%s is gone, and of it is remembered: %+v\n%s", rec.ID, rec, p)
		}
		if rec.Kind == plan.RecordWish && rec.Key == plan.WishStop && !gone {
			g.Fatalf("%s is still to be stopped\n%s", rec.ID, p)
		}
	}
	if !p.Complete {
		g.Fatalf("not complete\n%s", p)
	}
}

// Whatever happens, and wherever passes are cut short, nothing is run twice, limits
// hold, and in the end everything has run that was asked for.
func TestRunsConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, rnd := genRunWorld(t), drawRand(t)
		for range rapid.IntRange(1, 14).Draw(t, "passes") {
			g.pass(rnd)
			g.happen()
		}
		g.heal()
		g.drain(rnd)
		g.checkDrained()
	})
}

// The same, with a crash before each step and after each failing step of one plan.
func TestRunsConvergeAfterEachCutPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, rnd := genRunWorld(t), drawRand(t)
		for range rapid.IntRange(0, 6).Draw(t, "passes") {
			g.pass(rnd)
			g.happen()
		}
		start, p := g.w, g.w.plan()
		for n := range 3 * len(p.Steps) {
			g.w = start.clone()
			how := runWalk{limit: n}
			if n >= len(p.Steps) {
				how = runWalk{limit: -1, fail: p.Steps[n%len(p.Steps)].ID, effects: n >= 2*len(p.Steps)}
			}
			if err := g.w.apply(p, rnd, how); err != nil {
				t.Fatalf("%v\n%s", err, p)
			}
			g.heal()
			g.drain(rnd)
			g.checkDrained()
		}
	})
}
