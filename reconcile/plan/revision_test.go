// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

func TestDispatchSurvivesItsRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(0, 1<<40)
		word := rapid.StringMatching(`[a-z@* /-]{0,12}`)
		span := func(label string) time.Duration {
			return time.Duration(rapid.Int64Range(1, int64(1000*time.Hour)).Draw(t, label))
		}
		want := plan.Dispatch{
			ContentType: word.Draw(t, "type"), MaxConcurrent: count.Draw(t, "max"), Name: word.Draw(t, "name"),
			Mode:     rapid.SampledFrom([]plan.DeliveryMode{plan.DeliverStdin, plan.DeliverMetadata}).Draw(t, "mode"),
			Schedule: word.Draw(t, "schedule"), Zone: word.Draw(t, "zone"), Streaming: rapid.Bool().Draw(t, "streaming"),
			StateLimit: int64(count.Draw(t, "limit")), StateVolume: word.Draw(t, "volume"), Timeout: span("timeout"),
			Warm: plan.WarmPool{Size: count.Draw(t, "size"), TTL: span("ttl"), Started: rapid.Bool().Draw(t, "started")},
		}
		if rapid.Bool().Draw(t, "has input") {
			want.ScheduleInput, _ = json.Marshal(rapid.String().Draw(t, "input"))
		}
		rec := plan.Record{Kind: plan.RecordDispatch, Data: want.Data()}
		if diff := cmp.Diff(want, rec.Dispatch()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// Agents is what dispatch is given: by the records what can be, and by what is
// desired only that it is there at all.
func TestAgents(t *testing.T) {
	s := parseScene(t, `
		taskagent/a timeout=5s
		taskagent/b
		taskagent/invalid blocked=invalid
		taskagent/new
		manifest/m
	`, `
		fact image:img:1 known sha256:one
		revision taskagent/a 9 2h
		revision taskagent/a 10 1h level=debug
		dispatch taskagent/a timeout=1m
		revision taskagent/b 3 1h
		record taskagent/b revision/00004 digest=v1:x spec={
		dispatch taskagent/b
		wish taskagent/b stop 1m wanted=true
		revision taskagent/destroyed 1 1h
		revision taskagent/removed 2 1h
		dispatch taskagent/removed
		dispatch taskagent/unready
	`, "")
	for i, r := range s.desired.Resources {
		if r.ID.Name == "invalid" {
			s.desired.Resources[i].Dispatch = nil
		}
	}
	type agent struct {
		ID, Name, Revision, Image string
		Timeout                   time.Duration
		Stopped                   bool
	}
	see := func(d plan.Desired) []agent {
		var got []agent
		for _, a := range plan.Agents(d, s.observed.Records) {
			is := agent{ID: a.ID.String(), Name: a.Name, Timeout: a.Timeout, Stopped: a.Stopped}
			if a.Revision.Number > 0 {
				is.Revision = a.Revision.Name()
				_, is.Image = a.Revision.Image()
			}
			got = append(got, is)
		}
		return got
	}
	want := []agent{
		{"taskagent/a", "acme-a", "a-00010", "sha256:one", time.Minute, false},
		{"taskagent/b", "acme-b", "b-00003", "sha256:one", 100 * time.Second, true},
		{"taskagent/invalid", "acme-invalid", "", "", 0, false},
		{"taskagent/new", "acme-new", "", "", 100 * time.Second, false},
		{"taskagent/removed", "acme-removed", "removed-00002", "sha256:one", 100 * time.Second, false},
		{"taskagent/unready", "acme-unready", "", "", 100 * time.Second, false},
	}
	if diff := cmp.Diff(want, see(s.desired)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.desired.Destroy = true // of which the plan forgets what is recorded
	for _, a := range see(s.desired) {
		if a.Revision == "" && a.ID != "taskagent/unready" {
			t.Errorf("%s is there although all is to go", a.ID)
		}
	}
}

// What is compared with another state of the workspace takes requests there, and no
// number can be told.
func TestAssumedRevisions(t *testing.T) {
	const facts = "fact image:img:1 known sha256:one"
	old := parseScene(t, "taskagent/edited level=info\ntaskagent/gone\ntaskagent/settings timeout=5s\ntaskagent/same", facts, "")
	now := parseScene(t, "taskagent/edited level=debug\ntaskagent/new\ntaskagent/settings timeout=6s\ntaskagent/same", facts, "")
	for _, known := range []bool{true, false} {
		if !known {
			clear(old.observed.Inputs)
		}
		p := plan.New(now.desired, plan.Assume(old.desired, old.observed.Inputs), plan.Options{})
		got := map[string]string{}
		for _, c := range p.Changes {
			got[c.ID.String()] = string(c.Actions[0]) + ": " + c.Reasons[0].Text
		}
		want := map[string]string{
			"taskagent/edited":   "replace: new revision of edited (template changed)",
			"taskagent/gone":     "delete: no longer in the workspace",
			"taskagent/new":      "create: new revision new-00001",
			"taskagent/settings": "update: timeout 5s → 6s (no new revision)",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("facts known: %t (-want +got):\n%s", known, diff)
		}
		if len(p.Held) > 0 || !p.Complete {
			t.Errorf("facts known: %t: held %v", known, p.Held)
		}
	}
}

// A daemon that ends stops what runs, and makes nothing.
func TestNoRevisionOfWhatIsToStop(t *testing.T) {
	s := parseScene(t, "taskagent/t level=debug timeout=5s want=stopped", "fact image:img:1 known sha256:one\nrevision taskagent/t 1 1h level=info\ndispatch taskagent/t timeout=1m", "")
	if p := plan.New(s.desired, s.observed, s.options); len(p.Steps) > 0 || !p.Complete {
		t.Errorf("%s", p)
	}
}

func TestSavedRevisionPlan(t *testing.T) {
	const observed = "fact image:img:1 known sha256:one local\nrevision taskagent/t 1 1h level=info\ndispatch taskagent/t timeout=1m"
	s := parseScene(t, "taskagent/t level=debug timeout=5s", observed, "")
	p := plan.New(s.desired, s.observed, s.options)
	raw, err := plan.Save(s.desired, s.observed, s.options, p, "").JSON()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ desired, observed string }{
		"same":     {"taskagent/t level=debug timeout=5s", observed},
		"template": {"taskagent/t level=trace timeout=5s", observed},
		"settings": {"taskagent/t level=debug timeout=6s", observed},
		"another revision since": {
			"taskagent/t level=debug timeout=5s",
			observed + "\nrevision taskagent/t 2 1m level=other",
		},
		"image": {"taskagent/t level=debug timeout=5s", "fact image:img:1 known sha256:two\n" + observed[len("fact image:img:1 known sha256:one local\n"):]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			saved, err := plan.ParseSaved(raw)
			if err != nil {
				t.Fatal(err)
			}
			now := parseScene(t, tt.desired, tt.observed, "")
			now.options.Now = testNow.Add(time.Hour)
			again := plan.New(now.desired, now.observed, now.options)
			narrow, moved := saved.Narrow(now.desired, now.observed, again, "")
			if (len(moved) > 0) != (name != "same") || len(moved) == 0 && len(narrow.Steps) != len(p.Steps) {
				t.Errorf("moved %v, %d steps", moved, len(narrow.Steps))
			}
		})
	}
}
