// SPDX-License-Identifier: Apache-2.0

package plan

import "time"

// slots returns the runs of a CronTask that its schedule asks for now, and what
// is to be recorded of its slots, which is so before any of them is started. wake
// is when the next slot is; why says what there is to say of slots that are not
// run, or nil. A slot that has a run already is no skipped one; what is returned
// as due and has a record is not started again. What is due and cannot be run now
// (something is missing) is asked for again by the next plan, since recs is not
// recorded then.
func (v *view) slots(d *decision, runs []run) (due []dueRun, recs []Record, wake time.Time, why *hold) {
	return nil, nil, time.Time{}, nil
}

// history returns the ended runs of a CronTask that are beyond its limits.
func (v *view) history(d *decision, runs []run) (drop []run) { return nil }
