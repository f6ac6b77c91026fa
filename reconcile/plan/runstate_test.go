// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

func TestRunStateIsWhatItsRecordSays(t *testing.T) {
	at := testNow.Add(-time.Hour)
	for _, tt := range []struct {
		name  string
		state plan.RunState
		data  map[string]string
		ended bool
	}{
		{
			"queued",
			plan.RunState{Key: "k", Name: "t", Order: 1, Group: "agent/x", Phase: plan.RunQueued},
			map[string]string{"phase": "Queued", "name": "t", "order": "1", "group": "agent/x"},
			false,
		},
		{
			"running",
			plan.RunState{
				Key: "k", Name: "t", Order: 2, Phase: plan.RunRunning, Started: at, Container: "h1", Digest: "v1:x",
				Inputs: map[string]string{"image:img:1": "sha256:one"}, Kept: true,
			},
			map[string]string{
				"phase": "Running", "name": "t", "order": "2", "started": "2026-05-01T11:00:00Z", "container": "h1", "digest": "v1:x",
				"inputs": `{"image:img:1":"sha256:one"}`, "kept": "true",
			},
			false,
		},
		{
			"completed",
			plan.RunState{Key: "k", Name: "t", Order: 1, Phase: plan.RunCompleted, Started: at, Finished: testNow},
			map[string]string{
				"phase": "Completed", "name": "t", "order": "1", "started": "2026-05-01T11:00:00Z", "finished": "2026-05-01T12:00:00Z",
				"code": "0", "kept": "false",
			},
			true,
		},
		{
			"failed",
			plan.RunState{Key: "k", Name: "t", Order: 1, Phase: plan.RunFailed, Reason: plan.FailedExit, Code: 3},
			map[string]string{"phase": "Failed", "name": "t", "order": "1", "reason": "exit", "code": "3", "kept": "false"},
			true,
		},
		{
			"stopped",
			plan.RunState{Key: "k", Name: "t", Order: 1, Phase: plan.RunFailed, Reason: plan.FailedStopped, Finished: testNow},
			map[string]string{"phase": "Failed", "name": "t", "order": "1", "reason": "stopped", "finished": "2026-05-01T12:00:00Z", "kept": "false"},
			true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := tt.state.Record(taskID("t"), testNow)
			if diff := cmp.Diff(tt.data, rec.Data); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.state, rec.RunState()); diff != "" {
				t.Errorf("read again (-want +got):\n%s", diff)
			}
			if got := rec.RunState().Ended(); got != tt.ended {
				t.Errorf("ended is %t", got)
			}
		})
	}
	if got := (plan.Record{Kind: plan.RecordWish, Data: map[string]string{"phase": "Running"}}).RunState(); got.Phase != "" {
		t.Errorf("a wish is a run: %+v", got)
	}
	odd := plan.Record{Kind: plan.RecordRun, Data: map[string]string{"order": "x", "code": "-", "started": "then", "inputs": "{", "kept": "yes"}}
	if diff := cmp.Diff(plan.RunState{}, odd.RunState()); diff != "" {
		t.Errorf("nonsense (-want +got):\n%s", diff)
	}
}

func TestRunsOf(t *testing.T) {
	a, b := taskID("a"), taskID("b")
	rs := plan.Records{Records: []plan.Record{
		plan.RunState{Key: "k2", Order: 2}.Record(a, testNow),
		plan.RunState{Key: "k9", Order: 1}.Record(b, testNow),
		{ID: a, Kind: plan.RecordWish, Key: plan.WishStop},
		plan.RunState{Key: "k1", Order: 1}.Record(plan.ID{Kind: plan.Task, Namespace: plan.DefaultNamespace, Name: "a"}, testNow),
	}}
	var got []string
	for _, s := range plan.RunsOf(rs, a) {
		got = append(got, s.Key)
	}
	if diff := cmp.Diff([]string{"k1", "k2"}, got); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

func TestRunName(t *testing.T) {
	task := plan.Resource{ID: taskID("t"), Run: &plan.Run{Key: "k"}}
	cron := plan.Resource{ID: cronID("c"), Run: &plan.Run{Cron: &plan.Cron{}}}
	for _, tt := range []struct {
		r         plan.Resource
		key, want string
	}{
		{task, "k", "t"},
		{task, "k.2", "t"},
		{cron, "1777636800", "c-1777636800"},
		{cron, "1777636800.2", "c-1777636800-2"},
	} {
		if got := tt.r.RunName(tt.key); got != tt.want {
			t.Errorf("run %s of %s is called %s, want %s", tt.key, tt.r.ID, got, tt.want)
		}
	}
}

func TestInputsOfATask(t *testing.T) {
	s := plan.Spec{Container: &plan.ContainerSpec{
		Image: "img:1", Env: []plan.EnvVar{{Name: "A", Secret: "key:db/url"}}, EnvFrom: []string{"keys:db", "keys:db"},
		SecretFiles: []plan.SecretFile{{Ref: "doc:default/ssh/id", Target: "/id"}, {Ref: "key:db/url", Target: "/url"}},
	}}
	var got []string
	for _, in := range s.Inputs() {
		got = append(got, in.String())
	}
	want := []string{"image:img:1", "secret:doc:default/ssh/id", "secret:key:db/url", "secret:keys:db"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}

// What a comparison of two workspaces tells of runs: what is new, edited and gone,
// and nothing of what is as it was.
func TestRunsAgainstAnother(t *testing.T) {
	facts := "fact image:img:1 known sha256:one"
	before := parseScene(t, "task/same run=k1 ttl=1h\ntask/edited run=k1\ntask/agent run=k1\ntask/gone run=k1\ncrontask/c cron=0␠*␠*␠*␠*\ncrontask/d cron=0␠*␠*␠*␠*\ncrontask/e cron=0␠*␠*␠*␠*\ncrontask/old cron=0␠*␠*␠*␠*", facts, "")
	after := parseScene(t, "task/same run=k1 ttl=1h\ntask/edited run=k2 text=new\ntask/agent run=k1 text=new\ntask/new run=k1\ncrontask/c cron=0␠*␠*␠*␠*\ncrontask/d cron=30␠*␠*␠*␠*\ncrontask/e cron=0␠*␠*␠*␠* text=new", facts, "")
	p := plan.New(after.desired, plan.Assume(before.desired, before.observed.Inputs), plan.Options{Now: testNow, AllowMassDelete: true})
	got := map[string]string{}
	for _, c := range p.Changes {
		got[c.ID.String()] = string(c.Actions[0]) + " " + c.Reasons[0].Text
	}
	for _, c := range p.Held {
		got[c.ID.String()] = "held " + c.Reasons[0].Text
	}
	want := map[string]string{
		"crontask/d":   "held its schedule changed: its next slot is 2026-05-01T12:30:00Z",
		"crontask/e":   "held inputs changed since it ran: task.md; its next run is made of them",
		"crontask/old": "delete no longer in the workspace",
		"task/agent":   "held inputs changed since it ran: task.md; reconcile task agent --rerun repeats it",
		"task/edited":  "run its spec changed",
		"task/gone":    "delete no longer in the workspace",
		"task/new":     "run it is new",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s\n%s", diff, p)
	}
	same := plan.New(before.desired, plan.Assume(before.desired, before.observed.Inputs), plan.Options{Now: testNow})
	if len(same.Steps)+len(same.Held) > 0 {
		t.Errorf("against itself:\n%s", same)
	}
	for _, c := range p.Changes {
		if c.ID == taskID("edited") && (c.Before == nil || c.After == nil || !strings.Contains(string(c.After), "sha256:new")) {
			t.Errorf("before %s, after %s", c.Before, c.After)
		}
	}
}

// A saved plan of runs is carried out later as it was made, and what is on the host
// is told in a snapshot.
func TestRunsAreSaved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, rnd := genRunWorld(t), drawRand(t)
		for range rapid.IntRange(0, 6).Draw(t, "passes") {
			g.pass(rnd)
			g.happen()
		}
		w := g.w
		w.backoff = nil
		w.desired.Resources = slicesWithoutCron(w.desired.Resources)
		for i := range w.desired.Resources {
			if r := w.desired.Resources[i].Run; r != nil {
				c := *r
				c.TTL = 0
				w.desired.Resources[i].Run = &c
			}
		}
		opts := plan.Options{Now: w.now, AllowMassDelete: true}
		p := w.plan()
		s := reread(t, plan.Save(w.desired, w.observe(), opts, p, ""))
		late := plan.New(w.desired, w.observe(), s.Options.At(w.now.Add(time.Minute)))
		if got, moved := s.Narrow(w.desired, w.observe(), late, ""); len(moved) > 0 || len(got.Steps) != len(p.Steps) {
			t.Fatalf("nothing moved, and yet %v\n%s\n%s", moved, p, late)
		}
		shot := plan.Snapshot{Taken: w.now, Workspace: "acme", Root: testRoot, Observed: w.observe()}
		b, err := shot.JSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := plan.ParseSnapshot(b)
		if err != nil {
			t.Fatal(err)
		}
		again := plan.New(w.desired, back.Observed, opts)
		w.busy = nil // a snapshot is of no moment between two steps
		if diff := cmp.Diff(w.plan().String(), again.String()); diff != "" {
			t.Fatalf("the snapshot leads to another plan (-host +snapshot)\n%s", diff)
		}
	})
}

func slicesWithoutCron(rs []plan.Resource) []plan.Resource {
	var out []plan.Resource
	for _, r := range rs {
		if r.Run == nil || r.Run.Cron == nil {
			out = append(out, r)
		}
	}
	return out
}

// What a saved plan was made of has moved when a run is another, or has ended.
func TestSavedRunsMove(t *testing.T) {
	desired := "task/a run=k1 text=one"
	observed := "fact image:img:1 known sha256:one\nrun task/a k1 Running 1h container=h1\nwish task/a stop 5s wanted=true\nobject task/a h1 running run=k1 started=1h"
	for _, tt := range []struct {
		name, desired, observed string
		moved                   bool
	}{
		{"nothing", desired, observed, false},
		{"another key", "task/a run=k2 text=one", observed, true},
		{"another limit", desired + " group=agent/x:1", observed, true},
		{"it ended", desired, observed + " outcome=0:1s", true},
		{"it is another run", desired, strings.ReplaceAll(observed, "running run=k1", "running run=k2"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := parseScene(t, desired, observed, "")
			p := plan.New(s.desired, s.observed, s.options)
			if len(p.Steps) == 0 {
				t.Fatal("nothing to save")
			}
			saved := reread(t, plan.Save(s.desired, s.observed, s.options, p, ""))
			now := parseScene(t, tt.desired, tt.observed, "")
			later := now.options
			later.Now = later.Now.Add(time.Second)
			_, moved := saved.Narrow(now.desired, now.observed, plan.New(now.desired, now.observed, later), "")
			if (len(moved) > 0) != tt.moved {
				t.Errorf("moved: %v", moved)
			}
		})
	}
}

func TestSecretGrantsOfATask(t *testing.T) {
	s := parseScene(t, "task/a run=k1 envfrom=keys:db secretfile=key:db/url", "", "")
	c := *s.desired.Resources[0].Spec.Container
	c.SecretFiles = append(c.SecretFiles, plan.SecretFile{Ref: "doc:default/ssh/id", Target: "/id"})
	c.Mounts = []plan.Mount{{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{{Path: "task.md", Digest: "sha256:1"}}}}
	s.desired.Resources[0].Spec.Container = &c
	got := map[string]string{}
	for _, g := range plan.Standing(s.desired, plan.Records{}) {
		if g.Kind == plan.GrantSecret || g.Kind == plan.GrantHostPath {
			got[g.Key] = g.Text
		}
	}
	want := map[string]string{
		"secret keys:db":            "gets every key of the secret db", // which includes its key url
		"secret doc:default/ssh/id": "gets the secret default/ssh/id",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	s.desired.Approvals.Keys = map[plan.ID][]string{taskID("a"): {"secret keys:db", "secret doc:default/ssh/id"}}
	for _, g := range plan.Standing(s.desired, plan.Records{}) {
		if g.Kind == plan.GrantSecret && !g.Approved {
			t.Errorf("%s is not approved", g.Key)
		}
	}
}
