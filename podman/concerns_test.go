// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"encoding/json"
	"testing"
)

func TestConcerns(t *testing.T) {
	r := &Runtime{workspace: "acme", foreign: map[string]bool{"f1": true}}
	for _, tt := range []struct {
		name, line string
		want       bool
	}{
		{"ours", `{"Type":"container","Action":"died","Actor":{"ID":"a1","Attributes":{"reconcile.workspace":"acme"}}}`, true},
		{"an execution", `{"Type":"container","Action":"died","Actor":{"ID":"a1","Attributes":{"reconcile.workspace":"acme","reconcile.role":"execution"}}}`, false},
		{"a slot", `{"Type":"container","Action":"create","Actor":{"ID":"a1","Attributes":{"reconcile.workspace":"acme","reconcile.role":"slot"}}}`, false},
		{"another workspace", `{"Type":"container","Action":"died","Actor":{"ID":"a1","Attributes":{"reconcile.workspace":"other"}}}`, false},
		{"no labels", `{"Type":"container","Action":"remove","Actor":{"ID":"x1","Attributes":{"name":"x"}}}`, false},
		{"held our name", `{"Type":"container","Action":"remove","Actor":{"ID":"f1","Attributes":{"name":"x"}}}`, true},
		{"renamed away", `{"Type":"container","Action":"rename","Actor":{"ID":"f1"}}`, true},
		{"still holds our name", `{"Type":"container","Action":"died","Actor":{"ID":"f1"}}`, false},
		{"image", `{"Type":"image","Action":"tag","Actor":{"ID":"i1"}}`, true},
		{"secret", `{"Type":"secret","Action":"create","Actor":{"ID":"s1"}}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e event
			if err := json.Unmarshal([]byte(tt.line), &e); err != nil {
				t.Fatal(err)
			}
			if got := r.concerns(e); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	first := &Runtime{}
	if e := (event{Type: "container"}); first.concerns(e) {
		t.Error("a container without labels, before any observation")
	}
	e := event{Type: "container", Action: "start"}
	e.Actor.Attributes = map[string]string{"reconcile.workspace": "any"}
	if !first.concerns(e) {
		t.Error("before any observation each workspace counts")
	}
}
