// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"testing"

	"reconcile/reconcile/plan"
)

func TestSameDesired(t *testing.T) {
	d := func(edit func(*plan.Desired)) plan.Desired {
		d := plan.Desired{
			Workspace: "acme",
			Resources: []plan.Resource{{ID: plan.ID{Kind: plan.Task, Name: "a"}, Run: &plan.Run{Key: "1"}}},
			Contents:  map[string][]byte{"sha256:1": []byte("a")},
			Sealed:    map[string]plan.Sealed{"doc:default/s/k": {Format: plan.SealedPlain, Data: []byte("v"), Key: "k"}},
		}
		if edit != nil {
			edit(&d)
		}
		return d
	}
	tests := []struct {
		name string
		edit func(*plan.Desired)
		want bool
	}{
		{"itself", nil, true},
		{"contents", func(d *plan.Desired) { d.Contents = nil }, true}, // specs have the digests
		{"why it is partial", func(d *plan.Desired) { d.Partial = []plan.Reason{{Text: "x"}} }, true},
		{"another key", func(d *plan.Desired) { d.Resources[0].Run = &plan.Run{Key: "2"} }, false},
		{"no sealed value", func(d *plan.Desired) { d.Sealed = nil }, false},
		{"another sealed value", func(d *plan.Desired) {
			d.Sealed = map[string]plan.Sealed{"doc:default/s/k": {Format: plan.SealedPlain, Data: []byte("w"), Key: "k"}}
		}, false},
		{"another reference", func(d *plan.Desired) {
			d.Sealed = map[string]plan.Sealed{"doc:default/s/l": {Format: plan.SealedPlain, Data: []byte("v"), Key: "k"}}
		}, false},
		{"another format", func(d *plan.Desired) {
			d.Sealed = map[string]plan.Sealed{"doc:default/s/k": {Format: plan.SealedAge, Data: []byte("v"), Key: "k"}}
		}, false},
	}
	for _, tt := range tests {
		if got := sameDesired(d(nil), d(tt.edit)); got != tt.want {
			t.Errorf("%s: same %t, want %t", tt.name, got, tt.want)
		}
	}
}
