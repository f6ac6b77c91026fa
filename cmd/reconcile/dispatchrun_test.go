// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// A run of a schedule that failed is in the journal, in one line.
func TestFired(t *testing.T) {
	slot := time.Date(2026, 1, 2, 3, 4, 0, 0, time.FixedZone("x", 3600))
	for want, s := range map[string]dispatch.CronState{
		"": {Slot: slot, Outcome: dispatch.Succeeded, Status: 200},
		"warning: taskagent/team/clock: the run of 2026-01-02T02:04:00Z failed: status 500: too late \\u{1b}[1m\n": {
			Slot: slot, Outcome: dispatch.Failed, Status: 500, Reply: "too\n\tlate \x1b[1m\n",
		},
		"warning: taskagent/team/clock: the run of 2026-01-02T02:04:00Z failed: timeout\n": {Slot: slot, Outcome: dispatch.TimedOut},
		"warning: taskagent/team/clock: the run of 2026-01-02T02:04:00Z failed: status 502: " + strings.Repeat("é", 149) + "…\n": {
			Slot: slot, Outcome: dispatch.Failed, Status: 502, Reply: "x" + strings.Repeat("é", 400),
		},
	} {
		d, _, said := testDaemon(t)
		d.fired(plan.ID{Kind: plan.TaskAgent, Namespace: "team", Name: "clock"}, s)
		if got := strings.Replace(said.String(), ": xé", ": é", 1); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
