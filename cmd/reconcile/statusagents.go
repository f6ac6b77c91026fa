// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// shownExecutions is how many executions are shown to people.
const shownExecutions = 10

// since is from when on a resource is as it is.
func (st statusJSON) since() time.Time {
	for _, rev := range st.Revisions {
		if rev.Serving {
			return rev.Ready
		}
	}
	return st.Started
}

// agentReason is what stands behind a TaskAgent in the list.
func agentReason(st statusJSON) string {
	parts := []string{firstReason(st.Status), st.Serving}
	if w := st.Dispatch; w != nil {
		if w.InFlight > 0 {
			parts = append(parts, fmt.Sprintf("%d in flight", w.InFlight))
		}
		if w.Slots.Problem != "" {
			parts = append(parts, slotsText(w.Slots))
		}
		if c := w.Cron; !c.Slot.IsZero() && c.Outcome != dispatch.Succeeded && c.Outcome != dispatch.Running {
			parts = append(parts, "its last slot: "+string(c.Outcome))
		}
		if !w.Next.IsZero() {
			parts = append(parts, "next "+w.Next.UTC().Format(time.RFC3339))
		}
	}
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "; ")
}

// printAgent prints what is known of a TaskAgent beyond its line.
func (a *app) printAgent(st statusJSON, daemon bool) {
	if st.ID.Kind != plan.TaskAgent {
		return
	}
	w := a.std.out
	field := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%-10s %s\n", name, escape(text))
		}
	}
	field("serving", cmp.Or(st.Serving, "no revision is ready"))
	if st.Dispatch != nil {
		work := st.Dispatch
		field("in flight", inFlightText(work.InFlight, st.Settings["maxConcurrent"]))
		field("slots", slotsHere(work.Slots, daemon))
		if !work.Next.IsZero() {
			next := work.Next.UTC().Format(time.RFC3339)
			if !daemon {
				next += ", if a daemon runs by then"
			}
			field("next slot", next)
		}
		a.printCron(work.Cron)
	}
	a.printRevisions(st)
	if st.Dispatch != nil {
		a.printExecutions(st.Dispatch.Executions)
	}
}

func inFlightText(n int, limit string) string {
	if limit == "" {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d of %s", n, limit)
}

// slotsText says how the warm pool is doing; "" = there is to be none.
func slotsText(s dispatch.SlotStatus) string {
	if s.Want == 0 && s.Ready == 0 {
		return ""
	}
	text := fmt.Sprintf("%d of %d ready", s.Ready, s.Want)
	if s.Started {
		text += ", started"
	}
	if s.Problem != "" {
		text += ": " + firstLine(s.Problem)
	}
	return text
}

// slotsHere is slotsText where only a daemon keeps slots.
func slotsHere(s dispatch.SlotStatus, daemon bool) string {
	text := slotsText(s)
	if text != "" && !daemon {
		text += "; a daemon keeps them"
	}
	return text
}

// printCron prints what came of the last slot of a schedule.
func (a *app) printCron(c dispatch.CronState) {
	if c.Slot.IsZero() {
		return
	}
	w, s := a.std.out, a.styleFor(a.std.out)
	line := c.Slot.UTC().Format(time.RFC3339) + ", " + s.outcome(c.Outcome)
	if c.Status != 0 && c.Outcome != dispatch.Succeeded {
		line += fmt.Sprintf(" (%d)", c.Status)
	}
	if reply := firstLine(c.Reply); reply != "" {
		line += ": " + escape(reply)
	}
	fmt.Fprintf(w, "%-10s %s\n", "last slot", line)
	if c.Skipped > 0 {
		fmt.Fprintf(w, "%-10s %s\n", "skipped", count(c.Skipped, "slot"))
	}
}

func (a *app) printRevisions(st statusJSON) {
	if len(st.Revisions) == 0 {
		return
	}
	var rows [][]string
	for _, rev := range st.Revisions {
		serving := ""
		if rev.Serving {
			serving = "yes"
		}
		rows = append(rows, []string{
			escape(rev.Name), clock(rev.Ready), serving, short(rev.ImageDigest), escape(rev.Image),
		})
	}
	fmt.Fprintln(a.std.out)
	table(a.std.out, []string{"REVISION", "READY", "SERVING", "IMAGE DIGEST", "IMAGE"}, rows, nil)
}

func (a *app) printExecutions(all []dispatch.Execution) {
	if len(all) == 0 {
		return
	}
	s := a.styleFor(a.std.out)
	var rows [][]string
	for _, e := range all[:min(len(all), shownExecutions)] {
		rows = append(rows, []string{
			escape(e.ID), escape(orDash(e.Trigger)), escape(e.Revision), clock(e.Accepted), executionTook(e),
			string(e.Outcome), escape(firstLine(e.Reason)),
		})
	}
	fmt.Fprintln(a.std.out)
	table(a.std.out, []string{"EXECUTION", "TRIGGER", "REVISION", "BEGAN", "TOOK", "OUTCOME", "NOTE"}, rows, func(col int, cell string) string {
		if col != 5 {
			return cell
		}
		return s.outcome(dispatch.Outcome(cell))
	})
}

// executionTook is how long an execution took, or has taken so far; "-" where that
// is not known.
func executionTook(e dispatch.Execution) string {
	d := e.Ended.Sub(e.Accepted)
	switch {
	case e.Outcome == dispatch.Running:
		d = time.Since(e.Accepted)
	case e.Ended.IsZero():
		return "-"
	}
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// outcome paints how an execution ended.
func (s style) outcome(o dispatch.Outcome) string {
	switch o {
	case dispatch.Succeeded:
		return s.green(string(o))
	case dispatch.Running, dispatch.Cancelled, dispatch.Stopped:
		return s.yellow(string(o))
	}
	return s.red(string(o))
}
