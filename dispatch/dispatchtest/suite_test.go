// SPDX-License-Identifier: Apache-2.0

package dispatchtest

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"reconcile/reconcile/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		m := &Memory{Programs: Programs(), IPv6: v6}
		defer m.Close()
		launch := func(_ *testing.T, script string) plan.Launch {
			return plan.Launch{
				Agent: plan.ID{Kind: plan.TaskAgent, Name: "suite"},
				Name:  "acme-run-suite",
				Spec: &plan.ContainerSpec{
					Image: "localhost/shell:1", Network: "acme",
					Main: plan.Process{Command: []string{"/bin/sh", "-c", script}},
				},
			}
		}
		Run(t, Target{
			Runtime: m,
			Launch:  launch,
			Missing: func(t *testing.T) plan.Launch { return launch(t, "no such program") },
			Exists:  func(_ *testing.T, handle string) bool { return slices.Contains(m.Left(), handle) },
			Volume: func(_ *testing.T, size int64) string {
				m.Fill("state", size)
				return "state"
			},
		})
		if left := m.Left(); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}
