// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconcile/schedule"
)

// The keys of the data of a [RecordSlot].
const (
	slotLast     = "last"
	slotSchedule = "schedule"
	slotSkipped  = "skipped"
	slotRerun    = "rerun"
)

// clockSlip is how far a clock may have been set back for the slots that came
// before that to stay done. Beyond it the clock was wrong then, and what it made
// of the schedule counts for nothing.
const clockSlip = 24 * time.Hour

// slotState is what a [RecordSlot] says.
type slotState struct {
	last     int64 // Unix seconds
	schedule string
	skipped  int
	rerun    time.Time
}

// slotsOf returns what is recorded of the slots of id. False: nothing that makes
// sense is.
func (v *view) slotsOf(id ID) (slotState, bool) {
	return v.records[recordKey{id, RecordSlot}].slots()
}

// LastSlot returns the latest slot that a [RecordSlot] says was run or skipped, in
// UTC, and how many were skipped. False: it says nothing that makes sense.
func (r Record) LastSlot() (last time.Time, skipped int, ok bool) {
	s, ok := r.slots()
	return time.Unix(s.last, 0).UTC(), s.skipped, ok
}

func (r Record) slots() (slotState, bool) {
	data := r.Data
	last, err := strconv.ParseInt(data[slotLast], 10, 64)
	s := slotState{last: last, schedule: data[slotSchedule]}
	s.skipped, _ = strconv.Atoi(data[slotSkipped])
	s.rerun, _ = time.Parse(time.RFC3339Nano, data[slotRerun])
	return s, err == nil
}

func (s slotState) record(id ID, at time.Time) Record {
	data := map[string]string{
		slotLast: strconv.FormatInt(s.last, 10), slotSchedule: s.schedule, slotSkipped: strconv.Itoa(s.skipped),
	}
	if !s.rerun.IsZero() {
		data[slotRerun] = clockText(s.rerun)
	}
	return Record{ID: id, Kind: RecordSlot, At: at, Data: data}
}

// scheduleText is what makes the slots of c those of another schedule.
func (c *Cron) scheduleText() string {
	text := strings.Join(strings.Fields(c.Schedule), " ")
	if c.Zone == "" || c.Zone == "UTC" {
		return text
	}
	return text + " " + c.Zone
}

// slots returns the run of a CronTask that its schedule asks for now, if one does,
// and what is to be recorded of its slots, which is so before that is started: a
// slot of which it has been comes no more. wake is when the next slot is; why says
// what there is to say of slots that are not run, or nil.
//
// What is due and cannot be run now (something is missing) is asked for again by
// the next plan, since recs is not recorded then, until a later slot takes its
// place.
func (v *view) slots(d *decision, runs []run) (due []dueRun, recs []Record, wake time.Time, why *hold) {
	times, err := d.times()
	if err != nil {
		why = &hold{reasons: []Reason{{CodeInvalid, fmt.Sprintf("its schedule cannot be read: %v", err), d.origin}}}
		return nil, nil, time.Time{}, why
	}
	was, known := v.slotsOf(d.id)
	is, now := was, v.opts.Now
	wake = times.Next(now).UTC()
	last := time.Unix(was.last, 0)
	switch text := d.res.Run.Cron.scheduleText(); {
	case !known || was.schedule != text || last.Sub(now) > clockSlip:
		is.last, is.schedule = now.Unix(), text
	case last.After(now):
		wake = times.Next(last).UTC()
		why = d.slotNote(fmt.Sprintf("the clock was set back: the slots up to %s have been", slotText(last)))
	default:
		due, why = v.slot(d, runs, times, &is)
	}
	if d.res.Run.Cron.Suspend {
		why = &hold{reasons: []Reason{{CodeSuspended, "it is suspended", d.origin}}, benign: true}
	}
	wish, answered := v.rerunAnswered(d.id, runs)
	if _, asked := v.cronRerun(d, runs); asked && len(due) > 0 {
		if d.res.Run.Cron.Policy == CronAllow {
			wake = now.Add(time.Second)
		} else { // only one may go on: that of the slot is what was asked for
			answered = true
		}
	}
	if answered && wish.At.After(is.rerun) {
		is.rerun = wish.At
	}
	if !known || is != was {
		recs = []Record{is.record(d.id, now)}
	}
	return due, recs, wake, why
}

// times are the slots of a CronTask.
func (d *decision) times() (schedule.Schedule, error) {
	if d.todo.times == nil {
		times, err := schedule.Parse(d.res.Run.Cron.Schedule, d.res.Run.Cron.Zone)
		if err != nil {
			return times, err
		}
		d.todo.times = &times
	}
	return *d.todo.times, nil
}

// slot decides about the latest slot since those that have been. Any before it are
// skipped.
func (v *view) slot(d *decision, runs []run, times schedule.Schedule, s *slotState) ([]dueRun, *hold) {
	c := d.res.Run.Cron
	slot, missed := times.Latest(time.Unix(s.last, 0), v.opts.Now)
	if slot.IsZero() {
		return nil, nil
	}
	before, due := s.last, true
	s.last = slot.Unix()
	if c.Suspend {
		return nil, nil
	}
	s.skipped += missed
	for _, r := range runs {
		at, ok := r.slot(times)
		switch {
		case !ok || r.record == nil && !r.found || at <= before || at > s.last:
		case at == s.last:
			due = false
		default:
			s.skipped--
		}
	}
	if !due {
		return nil, nil
	}
	late := time.Duration(v.opts.Now.Unix()-slot.Unix()) * time.Second
	switch {
	case c.Deadline >= 0 && late > c.Deadline:
		s.skipped++
		return nil, d.slotNote(fmt.Sprintf("slot %s is skipped: it came %s ago, and may be run for %s", slotText(slot), spanText(late), spanText(c.Deadline)))
	case c.Policy != CronAllow && c.Policy != CronReplace:
		if why := v.forbidden(d, runs); why != "" {
			s.skipped++
			return nil, d.slotNote(fmt.Sprintf("slot %s is skipped: %s", slotText(slot), why))
		}
	}
	key := strconv.FormatInt(s.last, 10)
	return []dueRun{{key: key, reason: Reason{CodeSlot, "slot " + slotText(slot), d.origin}}}, nil
}

// slot returns the slot that r is the run of, in Unix seconds. False: it is of none.
func (r run) slot(times schedule.Schedule) (int64, bool) {
	at, err := strconv.ParseInt(r.key, 10, 64)
	return at, err == nil && times.Next(time.Unix(at-1, 0)).Unix() == at
}

// forbidden says which run another must not be beside; "" = there is none.
func (v *view) forbidden(d *decision, runs []run) string {
	if on := v.goingOn(d, runs); on != nil {
		return on.state.Name + " goes on"
	}
	for _, r := range runs {
		if r.waits() {
			return r.state.Name + " waits for room"
		}
	}
	return ""
}

func slotText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (d *decision) slotNote(text string) *hold {
	return &hold{reasons: []Reason{{CodeSlot, text, d.origin}}, benign: true}
}

// cronRerun returns the run of a CronTask that somebody asked for beside its
// slots. Its key is when that was.
func (v *view) cronRerun(d *decision, runs []run) (dueRun, bool) {
	wish, asked := v.wished(d.id, WishRerun)
	if s, _ := v.slotsOf(d.id); !asked || !wish.At.After(s.rerun) {
		return dueRun{}, false
	}
	if _, answered := v.rerunAnswered(d.id, runs); answered {
		return dueRun{}, false
	}
	key := strconv.FormatInt(wish.At.Unix(), 10)
	if slices.ContainsFunc(runs, func(r run) bool { return r.key == key && r.record != nil }) {
		key = nextKey(key, runs)
	}
	return dueRun{key: key, reason: Reason{CodeRerun, "reconcile task --rerun asked for it", d.origin}}, true
}

// rerunAnswered returns the wish for a run beside the slots, and whether there has
// been a run for it.
func (v *view) rerunAnswered(id ID, runs []run) (Record, bool) {
	wish, ok := v.wishOf(id, WishRerun)
	return wish, ok && slices.ContainsFunc(runs, func(r run) bool { return r.answers(wish) })
}

// answers reports whether r is the run that somebody asked for.
func (r run) answers(wish Record) bool {
	return r.record != nil && r.of(strconv.FormatInt(wish.At.Unix(), 10)) && !r.begun().Before(wish.At)
}

// history returns the ended runs of a CronTask that are beyond its limits. With
// them it is forgotten that they were: what may only be run once for that stays.
func (v *view) history(d *decision, runs []run) (drop []run) {
	s, known := v.slotsOf(d.id)
	wish, wished := v.wishOf(d.id, WishRerun)
	times, err := d.times()
	if !known || err != nil {
		return nil
	}
	room := map[RunPhase]int{RunCompleted: d.res.Run.Cron.Completed, RunFailed: d.res.Run.Cron.Failed}
	for _, r := range slices.Backward(runs) {
		if !r.ended() {
			continue
		}
		room[r.state.Phase]--
		slot, ok := r.slot(times)
		if room[r.state.Phase] >= 0 || ok && slot > s.last || wished && r.answers(wish) && s.rerun.Before(wish.At) {
			continue
		}
		drop = append(drop, r)
	}
	return drop
}
