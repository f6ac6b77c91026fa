// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"slices"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schedule"
)

// The words of a CronTask without a run. Those of a run, and of a Task, are the
// phases, see [plan.RunPhase].
const (
	WordScheduled Word = "Scheduled"
	WordSuspended Word = "Suspended"
)

// RunStatus is one run. Field names are part of the JSON output.
type RunStatus struct {
	Run      string        `json:"run"` // its key
	Name     string        `json:"name"`
	Phase    plan.RunPhase `json:"phase"`
	Reason   string        `json:"reason,omitempty"`    // why it failed, one of plan.FailedExit and so on
	Detail   string        `json:"detail,omitempty"`    // what is wrong with its image
	ExitCode *int          `json:"exit_code,omitempty"` // of a command that ended by itself
	Queued   time.Time     `json:"queued,omitzero"`     // since when, while it is
	Started  time.Time     `json:"started,omitzero"`
	Finished time.Time     `json:"finished,omitzero"`

	Container string `json:"container,omitempty"` // its handle
	// Actual is a plan.State, or "absent" when its container is not there, or not any
	// more.
	Actual string            `json:"actual"`
	Digest string            `json:"digest,omitempty"` // of the spec it was made from
	Inputs map[string]string `json:"inputs,omitempty"` // that it was made with
	Image  string            `json:"image,omitempty"`  // reference
	// Kept: something of it is left on the host, such as its log.
	Kept bool `json:"kept"`

	object *plan.Object
}

// goesOn reports whether the run has not ended.
func (r RunStatus) goesOn() bool {
	return r.Phase != plan.RunCompleted && r.Phase != plan.RunFailed
}

// noteRuns takes in what is recorded of runs, and what the plan is to record of
// what it found: that a run has ended, or waits.
func (s *summary) noteRuns(o plan.Observed, p plan.Plan) {
	s.ran, s.slots = map[string][]plan.Record{}, map[string]plan.Record{}
	found := map[runKey]plan.Record{}
	for _, st := range p.Steps {
		switch {
		case st.Record != nil && st.Record.Kind == plan.RecordRun && len(st.After) == 0:
			found[runKey{st.Target.String(), st.Record.Key}] = *st.Record
		case st.Op == plan.OpStop:
			delete(found, runKey{st.Target.String(), st.Run}) // it is recorded before it is so
		}
	}
	add := func(r plan.Record) {
		if id := r.ID.String(); !r.Forget {
			s.ran[id] = append(s.ran[id], r)
		}
	}
	for _, r := range o.Records.Records {
		switch r.Kind {
		case plan.RecordSlot:
			s.slots[r.ID.String()] = r
		case plan.RecordRun:
			k := runKey{r.ID.String(), r.Key}
			if now, ok := found[k]; ok {
				r = now
			}
			delete(found, k)
			add(r)
		}
	}
	for _, r := range found {
		add(r)
	}
	for _, rs := range s.ran {
		slices.SortFunc(rs, func(a, b plan.Record) int {
			return cmp.Or(cmp.Compare(b.RunState().Order, a.RunState().Order), cmp.Compare(b.Key, a.Key))
		})
	}
}

// run sums up a resource that is run; objs are those under its ID.
func (s *summary) run(st *Status, r plan.Resource, objs []plan.Object) {
	for _, rec := range s.ran[r.ID.String()] {
		run := runStatus(rec, objs)
		run.Name = cmp.Or(run.Name, r.RunName(run.Run))
		if c := r.Spec.Container; c != nil {
			run.Image = c.Image
		}
		st.Runs = append(st.Runs, run)
	}
	if run := mainRun(st.Runs); run != nil {
		if run.object != nil {
			s.fill(st, *run.object)
		}
		st.Phase, st.PhaseReason, st.ExitCode = run.Phase, cmp.Or(run.Detail, run.Reason), run.ExitCode
		st.Started, st.Finished, st.Digest = run.Started, run.Finished, cmp.Or(st.Digest, run.Digest)
	}
	if c := r.Run.Cron; c != nil {
		s.slot(st, *c)
	}
	s.await(st, r)
	st.State = Word(st.Phase)
}

// runStatus is what is recorded of a run, which has its container among objs if
// that is there.
func runStatus(rec plan.Record, objs []plan.Object) RunStatus {
	rs := rec.RunState()
	run := RunStatus{
		Run: rs.Key, Name: rs.Name, Phase: rs.Phase, Reason: rs.Reason, Detail: rs.Detail, ExitCode: exitCode(rs),
		Started: rs.Started, Finished: rs.Finished,
		Container: rs.Container, Actual: Absent, Digest: rs.Digest, Inputs: rs.Inputs, Kept: rs.Kept,
	}
	if rs.Phase == plan.RunQueued {
		run.Queued = rec.At
	}
	i := slices.IndexFunc(objs, func(o plan.Object) bool { return o.Run == rs.Key })
	if i < 0 {
		return run
	}
	obj := objs[i]
	run.object, run.Container, run.Actual = &obj, obj.Handle, string(obj.State)
	if rs.Phase == plan.RunRunning && obj.State == plan.StateCreated {
		run.Phase, run.Started = plan.RunPending, time.Time{} // it is recorded before it is started
	}
	if rs.Halted() && (obj.State == plan.StateRunning || obj.State == plan.StatePaused) {
		run.Phase, run.Reason, run.Finished = plan.RunRunning, "", time.Time{} // it is recorded before it is stopped
	}
	return run
}

// mainRun is the run to speak of: the newest of those that go on, else the newest;
// nil = there is none.
func mainRun(runs []RunStatus) *RunStatus {
	for _, phase := range []plan.RunPhase{plan.RunRunning, plan.RunPending, plan.RunQueued} {
		if i := slices.IndexFunc(runs, func(r RunStatus) bool { return r.Phase == phase }); i >= 0 {
			return &runs[i]
		}
	}
	if len(runs) == 0 {
		return nil
	}
	return &runs[0]
}

// await says of a run that is to be, and of which nothing is recorded, that it is
// pending; of a CronTask that has not been run, that it is scheduled; and why.
func (s *summary) await(st *Status, r plan.Resource) {
	key := st.ID.String()
	held, isHeld := s.held[key]
	isHeld = isHeld && !held.Benign
	due := s.toRun[key]
	switch {
	case slices.ContainsFunc(st.Runs, RunStatus.goesOn):
		if st.Phase != plan.RunRunning {
			st.PhaseReason = firstText(s.reasons(key))
		}
	case r.Run.Cron == nil && (due || len(st.Runs) == 0 || isHeld && !hasRun(st.Runs, r.Run.Key)),
		r.Run.Cron != nil && len(st.Runs) == 0 && (due || isHeld):
		st.Phase, st.PhaseReason = plan.RunPending, firstText(s.reasons(key))
		st.ExitCode, st.Started, st.Finished = nil, time.Time{}, time.Time{}
	case len(st.Runs) > 0:
	case r.Run.Cron.Suspend:
		st.Phase = plan.RunPhase(WordSuspended)
	default:
		st.Phase = plan.RunPhase(WordScheduled)
	}
}

func firstText(reasons []plan.Reason) string {
	if len(reasons) == 0 {
		return ""
	}
	return reasons[0].Text
}

// hasRun reports whether there is a run with a key, however often it was asked for.
func hasRun(runs []RunStatus, key string) bool {
	return slices.ContainsFunc(runs, func(r RunStatus) bool { return plan.IsRunOf(r.Run, key) })
}

// slot says which slots of a CronTask have been, and which is next.
func (s *summary) slot(st *Status, c plan.Cron) {
	st.Suspended = c.Suspend
	rec, ok := s.slots[st.ID.String()]
	if !ok {
		return
	}
	last, skipped, ok := rec.LastSlot()
	st.Skipped = skipped
	if !ok {
		return
	}
	times, err := schedule.Parse(c.Schedule, c.Zone)
	if err != nil {
		return
	}
	if times.Next(last.Add(-time.Second)).Equal(last) { // else it is when the schedule was first seen
		st.LastSlot = last
	}
	if !c.Suspend {
		st.NextSlot = times.Next(last)
	}
}

// orphanRun says how far the run is that an object, which nothing asks for, is.
func (s *summary) orphanRun(st *Status, obj plan.Object) {
	for _, rec := range s.ran[obj.ID.String()] {
		if rec.Key != obj.Run {
			continue
		}
		run := runStatus(rec, []plan.Object{obj})
		st.Runs = []RunStatus{run}
		st.Phase, st.PhaseReason, st.ExitCode, st.State = run.Phase, run.Reason, run.ExitCode, Word(run.Phase)
		st.Started, st.Finished = run.Started, run.Finished
	}
}
