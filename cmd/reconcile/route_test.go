// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// What is routed to is what a dependent would not wait for any more.
func TestRoutes(t *testing.T) {
	began := time.Unix(1000, 0)
	probed := plan.ContainerSpec{Image: "x", Readiness: &plan.Probe{Script: "r.sh"}}
	health := func(v plan.Verdict) *plan.Health { return &plan.Health{Readiness: &plan.ProbeState{Verdict: v}} }
	hook := []plan.Hook{{Name: plan.HookPostinstall, Digest: "sha256:1"}}
	ran := func(container string, at time.Time) []plan.Record {
		return []plan.Record{{
			ID: plan.ID{Kind: plan.Manifest, Name: "web"}, Kind: plan.RecordHook, Key: string(plan.HookPostinstall),
			At: at, Data: map[string]string{"container": container},
		}}
	}
	for name, c := range map[string]struct {
		spec    plan.ContainerSpec
		state   plan.State
		old     bool // made of another spec
		health  *plan.Health
		hooks   []plan.Hook
		records []plan.Record
		blocked bool
		leave   bool
		want    string // why not; "" = ready
	}{
		"runs":                   {state: plan.StateRunning},
		"blocked, and runs":      {state: plan.StateRunning, blocked: true},
		"never started":          {state: plan.StateCreated, want: "has never been started"},
		"is stopped":             {state: plan.StateRunning, leave: true, want: "it is being stopped"},
		"not heard of":           {spec: probed, state: plan.StateRunning, want: "nothing has been heard of its readiness probe yet"},
		"of before the probe":    {spec: probed, state: plan.StateRunning, old: true},
		"pending":                {spec: probed, state: plan.StateRunning, health: health(plan.VerdictPending), want: "its readiness probe has not passed yet"},
		"failing":                {spec: probed, state: plan.StateRunning, health: health(plan.VerdictFailing), want: "its readiness probe fails"},
		"passing":                {spec: probed, state: plan.StateRunning, health: health(plan.VerdictPassing)},
		"hook has not run":       {state: plan.StateRunning, hooks: hook, want: "its postinstall hook has not run in this container"},
		"hook ran elsewhere":     {state: plan.StateRunning, hooks: hook, records: ran("other", began), want: "its postinstall hook has not run in this container"},
		"hook ran, no restart":   {state: plan.StateRunning, hooks: hook, records: ran("c1", began), want: "it has not been started again after its postinstall hook"},
		"hook ran, and restart":  {state: plan.StateRunning, hooks: hook, records: ran("c1", began.Add(-time.Second))},
		"absent":                 {want: "it is new"},
		"absent, and is blocked": {blocked: true, want: "no image"},
	} {
		t.Run(name, func(t *testing.T) {
			id := plan.ID{Kind: plan.Manifest, Name: "web"}
			spec := plan.Spec{Container: &c.spec}
			res := plan.Resource{ID: id, Name: "acme-web", Origin: "w:1:1", Spec: spec, Want: plan.WantRunning, Hooks: c.hooks}
			if c.blocked {
				res.Blocked = []plan.Reason{{Code: plan.CodeInvalid, Text: "no image", Origin: "w:1:1"}}
			}
			d := plan.Desired{Workspace: "acme", Resources: []plan.Resource{res}}
			o := plan.Observed{Records: plan.Records{Owner: "o", Records: c.records}}
			if c.state != "" {
				obj := plan.Object{ID: id, Handle: "c1", Name: "acme-web", Workspace: "acme", Owner: "o", Role: plan.RoleInstance, Digest: spec.Digest(), State: c.state, Health: c.health}
				if c.state == plan.StateRunning {
					obj.Started = began
				}
				if c.old {
					obj.Digest = "v1:old"
				}
				o.Objects = []plan.Object{obj}
			}
			s := &routes{timeouts: &routeTimeouts{}}
			s.open(nil)
			if s.table() != nil {
				t.Error("there is a table before the first look")
			}
			s.looked(d, o, plan.New(d, o, plan.Options{Now: began.Add(time.Hour)}))
			if c.leave {
				s.leave("c1", false)
			}
			got := s.table()["web"]
			if got.Ready != (c.want == "") || c.want != "" && c.want != "has never been started" && got.Reason != c.want {
				t.Errorf("got %+v, want %q", got, c.want)
			}
			if c.want != "" && got.Retry <= 0 {
				t.Errorf("%s: to be tried again after %v", got.State, got.Retry)
			}
			if diff := cmp.Diff(dispatch.Target{Handle: "c1", Started: began}, got.Target); got.Ready && diff != "" {
				t.Errorf("target (-want +got)\n%s", diff)
			}
			if !c.leave {
				return
			}
			// It comes back with an observation that began after the stop.
			s.see(s.left())
			s.looked(d, o, plan.Plan{})
			if s.table()["web"].Ready {
				t.Error("routed to while it is being stopped")
			}
			s.leave("c1", true)
			s.see(s.left())
			s.looked(d, o, plan.Plan{})
			if !s.table()["web"].Ready {
				t.Error("not routed to after it came back")
			}
		})
	}
}

func TestListenerURL(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8088": "http://127.0.0.1:8088", "0.0.0.0:80": "http://127.0.0.1:80", "[::]:80": "http://[::1]:80", "[::1]:80": "http://[::1]:80",
		"10.1.2.3:80": "http://10.1.2.3:80", "": "", "x": "",
	} {
		if got, err := listenerURL(listen); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", listen, got, err, want)
		}
	}
}
