// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// queues returns the places in their queues of the runs that are queued, by the
// text of their ID; of several of one ID that of the first.
func queues(records plan.Records) map[string]int {
	var waiting []plan.Record
	for _, rec := range records.Records {
		if rec.Kind == plan.RecordRun && rec.RunState().Phase == plan.RunQueued {
			waiting = append(waiting, rec)
		}
	}
	slices.SortStableFunc(waiting, func(a, b plan.Record) int {
		return cmp.Or(a.At.Compare(b.At), a.ID.Compare(b.ID), cmp.Compare(a.Key, b.Key))
	})
	out, length := map[string]int{}, map[string]int{}
	for _, rec := range waiting {
		group := rec.RunState().Group
		length[group]++
		if out[rec.ID.String()] == 0 {
			out[rec.ID.String()] = length[group]
		}
	}
	return out
}

// scheduleOf is the schedule of a CronTask, or of a TaskAgent that has one; "" of all
// else.
func scheduleOf(st reconcile.Status, d plan.Desired) string {
	for _, r := range d.Resources {
		if !st.Orphan && r.Run != nil && r.Run.Cron != nil && r.ID.Compare(st.ID) == 0 {
			return scheduleText(r.Run.Cron.Schedule, r.Run.Cron.Zone)
		}
		if !st.Orphan && r.Dispatch != nil && r.ID.Compare(st.ID) == 0 {
			return scheduleText(r.Dispatch.Schedule, r.Dispatch.Zone)
		}
	}
	return ""
}

// scheduleText is a schedule for people, with its zone where it names one.
func scheduleText(schedule, zone string) string { return strings.TrimSpace(schedule + " " + zone) }

// reasonOf is what stands behind a resource in the list: why it is as it is.
func reasonOf(st statusJSON) string {
	if st.ID.Kind == plan.TaskAgent {
		return agentReason(st)
	}
	if !isTask(st.ID) {
		return firstReason(st.Status)
	}
	var parts []string
	add := func(text string) {
		if text != "" && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	add(failure(st.Phase, st.PhaseReason, st.ExitCode))
	if st.QueuePosition > 0 {
		add(fmt.Sprintf("place %d in the queue", st.QueuePosition))
	}
	add(firstReason(st.Status))
	if !st.NextSlot.IsZero() {
		add("next " + st.NextSlot.UTC().Format(time.RFC3339))
	}
	if st.Suspended && st.State != reconcile.WordSuspended {
		add("suspended")
	}
	return strings.Join(parts, "; ")
}

// failure says why a run failed; "" = it did not.
func failure(phase plan.RunPhase, reason string, code *int) string {
	switch {
	case phase != plan.RunFailed:
		return ""
	case reason == plan.FailedExit && code != nil:
		return fmt.Sprintf("exit code %d", *code)
	}
	return reason
}

// printRuns prints what is known of a Task or CronTask beyond its line.
func (a *app) printRuns(st statusJSON) {
	if !isTask(st.ID) {
		return
	}
	w := a.std.out
	if st.QueuePosition > 0 {
		fmt.Fprintf(w, "%-10s place %d\n", "queue", st.QueuePosition)
	}
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"last slot", st.LastSlot}, {"next slot", st.NextSlot}} {
		if !t.at.IsZero() {
			fmt.Fprintf(w, "%-10s %s\n", t.name, t.at.UTC().Format(time.RFC3339))
		}
	}
	if st.Skipped > 0 {
		fmt.Fprintf(w, "%-10s %s\n", "skipped", count(st.Skipped, "slot"))
	}
	if st.Suspended {
		fmt.Fprintf(w, "%-10s no slot is run\n", "suspended")
	}
	if len(st.Runs) == 0 {
		return
	}
	s := a.styleFor(w)
	var rows [][]string
	for _, r := range st.Runs {
		rows = append(rows, []string{
			escape(r.Name), escape(r.Run), string(r.Phase), orDash(clock(r.Started)), orDash(clock(r.Finished)),
			orDash(runTook(r)), orDash(exitText(r)), escape(runNote(r)),
		})
	}
	fmt.Fprintln(w)
	table(w, []string{"RUN", "KEY", "PHASE", "STARTED", "FINISHED", "TOOK", "EXIT", "NOTE"}, rows, func(col int, cell string) string {
		if col != 2 {
			return cell
		}
		return s.word(cell)
	})
	fmt.Fprintln(w)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

func runTook(r reconcile.RunStatus) string {
	if r.Started.IsZero() || r.Finished.IsZero() {
		return ""
	}
	return r.Finished.Sub(r.Started).Round(time.Second).String()
}

func exitText(r reconcile.RunStatus) string {
	if r.ExitCode == nil {
		return ""
	}
	return fmt.Sprint(*r.ExitCode)
}

// runNote says why a run failed, and what is left of it.
func runNote(r reconcile.RunStatus) string {
	var parts []string
	if r.Phase == plan.RunFailed && r.Reason != plan.FailedExit {
		parts = append(parts, r.Reason)
	}
	up := r.Actual == string(plan.StateRunning) || r.Actual == string(plan.StatePaused)
	switch ended := r.Phase == plan.RunCompleted || r.Phase == plan.RunFailed; {
	case ended && up:
		parts = append(parts, "its container is kept alive")
	case ended && !r.Kept && !r.Started.IsZero():
		parts = append(parts, "nothing of it is left")
	case !r.Queued.IsZero():
		parts = append(parts, "since "+clock(r.Queued))
	}
	return strings.Join(parts, ", ")
}
