// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"slices"

	"reconcile/reconcile/plan"
)

// maxRecordRuns bounds the runs of a record.
const maxRecordRuns = 500

// PassRun is a run that was started in a pass, or that a pass found ended.
// Field names are part of the JSON output.
type PassRun struct {
	ID       plan.ID       `json:"id"`
	Run      string        `json:"run"` // its key
	Name     string        `json:"name"`
	Phase    plan.RunPhase `json:"phase"` // Running, Completed or Failed
	Reason   string        `json:"reason,omitempty"`
	ExitCode *int          `json:"exit_code,omitempty"`
}

// runKey names a run.
type runKey struct{ id, key string }

// runs lists the runs that were started, and those of which the end was recorded,
// in the order of the steps; one that did both has ended.
func (r PassResult) runs() []PassRun {
	var out []PassRun
	at := map[runKey]int{}
	add := func(run PassRun) {
		k := runKey{run.ID.String(), run.Run}
		if i, known := at[k]; known {
			out[i] = run
			return
		}
		at[k] = len(out)
		out = append(out, run)
	}
	over := map[runKey]bool{} // before
	for _, rec := range r.Before.Records.Records {
		if rec.Kind == plan.RecordRun {
			over[runKey{rec.ID.String(), rec.Key}] = rec.RunState().Ended()
		}
	}
	for _, st := range r.Outcome.Steps {
		s := st.Step
		switch {
		case st.State != StepDone:
		case s.Op == plan.OpStart && s.Run != "":
			add(PassRun{ID: s.Target, Run: s.Run, Name: s.RunName, Phase: plan.RunRunning})
		case s.Record != nil && !s.Record.Forget && s.Record.RunState().Ended() && !over[runKey{s.Target.String(), s.Record.Key}]:
			rs := s.Record.RunState()
			add(PassRun{ID: s.Target, Run: rs.Key, Name: rs.Name, Phase: rs.Phase, Reason: rs.Reason, ExitCode: exitCode(rs)})
		}
	}
	return out
}

// exitCode is that of the command of a run that ended by itself.
func exitCode(rs plan.RunState) *int {
	if rs.Phase != plan.RunCompleted && rs.Reason != plan.FailedExit {
		return nil
	}
	return &rs.Code
}

// recordsRuns reports whether steps record how far runs are, or which slots have
// been.
func recordsRuns(steps []plan.Step) bool {
	return slices.ContainsFunc(steps, func(s plan.Step) bool {
		return s.Record != nil && (s.Record.Kind == plan.RecordRun || s.Record.Kind == plan.RecordSlot)
	})
}

// ranLast is what the last run of each resource was made as, where that is known.
func ranLast(rs plan.Records) map[plan.ID]string {
	out, order := map[plan.ID]string{}, map[plan.ID]int{}
	for _, r := range rs.Records {
		if st := r.RunState(); st.Digest != "" && st.Order >= order[r.ID] {
			out[r.ID], order[r.ID] = st.Digest, st.Order
		}
	}
	return out
}
