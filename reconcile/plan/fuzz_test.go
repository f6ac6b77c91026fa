// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"reconcile/reconcile/plan"
)

// FuzzNew makes a plan of anything that has the form of an input. It must not
// panic or hang, and every plan has a JSON form and steps that can be ordered.
func FuzzNew(f *testing.F) {
	add := func(desired, observed string) {
		d, err1 := json.Marshal(json.RawMessage(desired))
		o, err2 := json.Marshal(json.RawMessage(observed))
		if err1 != nil || err2 != nil {
			f.Fatal(err1, err2)
		}
		f.Add(d, o, byte(0))
	}
	add(`{"Workspace":"w","Root":"/w","Resources":[{"ID":"manifest/a","Name":"w-a","Want":"running","Spec":{"container":{"image":"i",
		"ports":[{"container":80,"protocol":"tcp"}]}},"Needs":[{"On":"network/n","Until":"exists"},{"On":"manifest/a"}]},
		{"ID":"network/n","Name":"w","Spec":{"network":{"driver":"bridge"}}}]}`,
		`{"Objects":[{"ID":"manifest/a","Handle":"1","Name":"w-a","Root":"/w","State":"exited","Digest":"v1:x"},
		{"ID":"manifest/b","Handle":"1","Name":"w-a","Root":"/w","State":"running"}],
		"Inputs":{"image:i":{"State":"missing"}},"Specs":{"v1:x":{"container":{"image":"j"}}},
		"Records":{"Owner":"","Records":[{"id":"manifest/a","kind":"restarts","data":{"count":"-9"}}]}}`)
	add(`{"Destroy":true,"Volumes":true}`, `{"Objects":[{"ID":"volume/v","Keep":true},{"ID":"volume/v"}]}`)
	add(`{"Volumes":true}`, `{"Objects":[{},{"ID":"volume/0"}]}`)
	f.Fuzz(func(t *testing.T, desired, observed []byte, flags byte) {
		var d plan.Desired
		var o plan.Observed
		if json.Unmarshal(desired, &d) != nil || json.Unmarshal(observed, &o) != nil {
			return
		}
		p := plan.New(d, o, plan.Options{
			Now: testNow, AllowMassDelete: flags&1 != 0, AcceptLostRecords: flags&2 != 0, Adopt: flags&4 != 0,
		})
		if _, err := p.JSON(plan.ModeObserved, nil); err != nil {
			t.Fatal(err)
		}
		_ = p.String()
		seen := map[string]bool{}
		for _, s := range p.Steps {
			for _, a := range s.After {
				if !seen[a] {
					t.Fatalf("%s is before %s", s.ID, a)
				}
			}
			seen[s.ID] = true
		}
	})
}

// BenchmarkNew plans a workspace of 1,000 resources.
func BenchmarkNew(b *testing.B) {
	for _, state := range []string{"empty", "converged", "changed"} {
		b.Run(state, func(b *testing.B) {
			d, o := large(state)
			b.ReportAllocs()
			for b.Loop() {
				plan.New(d, o, plan.Options{Now: testNow})
			}
		})
	}
}

func large(state string) (plan.Desired, plan.Observed) {
	net := plan.ID{Kind: plan.Network, Name: "net"}
	img := plan.Input{Kind: plan.InputImage, Name: "img:1"}
	d := plan.Desired{Workspace: "acme", Root: testRoot}
	o := plan.Observed{Inputs: map[plan.Input]plan.Fact{img: {State: plan.FactKnown, Value: "sha256:one"}}}
	add := func(r plan.Resource, st plan.State) {
		d.Resources = append(d.Resources, r)
		digest := r.Spec.Digest()
		switch state {
		case "empty":
			return
		case "changed":
			digest = "v1:before"
		}
		o.Objects = append(o.Objects, plan.Object{
			ID: r.ID, Handle: r.Name, Name: r.Name, Root: testRoot, State: st, Digest: digest, Role: r.ID.Kind.Role(),
			Inputs: map[string]string{img.String(): "sha256:one"},
		})
	}
	add(plan.Resource{ID: net, Name: "acme", Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge"}}}, plan.StateExists)
	for i := range 999 {
		r := plan.Resource{
			ID: manifest(fmt.Sprintf("agent-%03d", i)), Name: fmt.Sprintf("acme-agent-%03d", i), Origin: "a.yaml:1:1",
			Want: plan.WantRunning, Needs: []plan.Need{{On: net, Until: plan.UntilExists}},
			Spec: plan.Spec{Container: &plan.ContainerSpec{
				Image: "img:1", Env: []plan.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
				Ports:   []plan.Port{{HostIP: "127.0.0.1", HostPort: uint16(10000 + i), Container: 7000, Protocol: "tcp"}},
				Network: "acme", CapDrop: []string{"ALL"}, NoNewPrivileges: true,
			}},
		}
		if i > 0 {
			r.Needs = append(r.Needs, plan.Need{On: manifest(fmt.Sprintf("agent-%03d", i/2)), Until: plan.UntilReady})
		}
		if i == 1 {
			r.Needs = r.Needs[:1]
		}
		add(r, plan.StateRunning)
	}
	return d, o
}
