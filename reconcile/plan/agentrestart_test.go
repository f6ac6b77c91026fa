// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"testing"
	"time"

	"reconcile/reconcile/plan"
)

// What somebody asked for is part of an agent, whichever record comes first.
func TestAgentsAsAskedFor(t *testing.T) {
	id, at := plan.ID{Kind: plan.TaskAgent, Name: "a"}, time.Unix(1_700_000_000, 5)
	records := plan.Records{Records: []plan.Record{
		{ID: id, Kind: plan.RecordWish, Key: plan.WishRestart, At: at},
		{ID: id, Kind: plan.RecordWish, Key: plan.WishStop, At: at, Data: map[string]string{"wanted": "true"}},
		{ID: id, Kind: plan.RecordDispatch, Data: testDispatch("acme-a").Data()},
		{ID: plan.ID{Kind: plan.TaskAgent, Name: "gone"}, Kind: plan.RecordWish, Key: plan.WishRestart, At: at},
	}}
	got := plan.Agents(plan.Desired{}, records)
	if len(got) != 1 || !got[0].Stopped || !got[0].Restarted.Equal(at) {
		t.Errorf("got %+v", got)
	}
}
