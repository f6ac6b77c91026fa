// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"

	"reconcile/reconcile/plan"
)

func TestRouteTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		args       []string
		web, other time.Duration
		text       string
	}{
		"default":          {nil, 10 * time.Minute, 10 * time.Minute, "10m0s"},
		"all":              {[]string{"--route-timeout", "5s"}, 5 * time.Second, 5 * time.Second, "5s"},
		"one":              {[]string{"--route-timeout", "web=1h"}, time.Hour, 10 * time.Minute, "10m0s,web=1h0m0s"},
		"one and the rest": {[]string{"--route-timeout=web=0", "--route-timeout=30s"}, 0, 30 * time.Second, "30s,web=0s"},
		"in one":           {[]string{"--route-timeout=30s,agent/web=2m"}, 2 * time.Minute, 30 * time.Second, "30s,web=2m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			var f listenFlags
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			f.add(fs)
			if err := fs.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			s := &routes{timeouts: &f.routeTimeouts}
			if s.timeouts.of("web") != c.web || s.timeouts.of("other") != c.other || s.timeouts.String() != c.text {
				t.Errorf("web %v, other %v, %s; want %+v", s.timeouts.of("web"), s.timeouts.of("other"), s.timeouts, c)
			}
		})
	}
	for _, bad := range []string{"", "x", "-1s", "web=", "=3s", "web=-1s", "5s,"} {
		if err := new(routeTimeouts).Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Every route has the time of its own instance.
func TestRoutesHaveTimeouts(t *testing.T) {
	s := &routes{timeouts: &routeTimeouts{all: time.Second, each: map[string]time.Duration{"slow": time.Hour}}}
	s.open(nil)
	d, o := plan.Desired{Workspace: "acme"}, plan.Observed{Records: plan.Records{Owner: "o"}}
	for _, name := range []string{"slow", "web"} {
		id := plan.ID{Kind: plan.Manifest, Name: name}
		r := plan.Resource{ID: id, Name: name, Spec: plan.Spec{Container: &plan.ContainerSpec{Image: "x"}}, Want: plan.WantRunning}
		d.Resources = append(d.Resources, r)
		o.Objects = append(o.Objects, plan.Object{
			ID: id, Handle: name, Name: name, Workspace: "acme", Owner: "o", Role: plan.RoleInstance,
			Digest: r.Spec.Digest(), State: plan.StateRunning, Started: time.Unix(1, 0),
		})
	}
	s.looked(d, o, plan.New(d, o, plan.Options{Now: time.Unix(100, 0)}))
	for name, want := range map[string]time.Duration{"slow": time.Hour, "web": time.Second} {
		if got := s.table()[name]; !got.Ready || got.AnswerTimeout != want {
			t.Errorf("%s: %+v, want %v", name, got, want)
		}
	}
}
