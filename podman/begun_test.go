// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"testing"
	"time"

	"reconcile/reconcile/plan"
)

// TestStarted: a start is told from what happened before it in the same second.
func TestStarted(t *testing.T) {
	b := newBed(t, nil)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause"), StopTimeout: 1})
	res := b.resource(id)
	res.Hooks = []plan.Hook{{Name: plan.HookPostinstall, Commands: []string{"true"}}}
	b.add(res)
	obj := b.create(t, id)
	second := open(t, nil)
	for range 4 {
		before := time.Now()
		b.do(t, on(plan.OpStart, obj))
		got := b.object(t, id).Started
		// /proc tells hundredths of a second.
		if got.Before(before.Add(-30*time.Millisecond)) || got.After(time.Now()) {
			t.Errorf("started %v, between %v and now", got, before)
		}
		if again := b.object(t, id).Started; !again.Equal(got) {
			t.Errorf("started %v, and seen again %v", got, again)
		}
		o, err := second.Observe(t.Context(), b.d)
		must(t, err)
		if other := o.Objects[0].Started; other.Sub(got).Abs() > 50*time.Millisecond {
			t.Errorf("another runtime sees %v, want %v", other, got)
		}
		b.do(t, on(plan.OpStop, obj))
		if ended := b.object(t, id).Started; !ended.Equal(got) {
			t.Errorf("started %v, and once it has ended %v", got, ended)
		}
		o, err = open(t, nil).Observe(t.Context(), b.d)
		must(t, err)
		// The process was made before Podman says that it started.
		if other := o.Objects[0].Started; other.Sub(got).Abs() > 2*time.Second {
			t.Errorf("a runtime that never saw it run says %v, want %v", other, got)
		}
	}
}
