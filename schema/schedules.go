// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones on hosts without a database of them

	"github.com/robfig/cron/v3"
)

// schedule reads a cron schedule.
func (c cursor) schedule() Str {
	s := c.filled()
	if !s.IsSet() {
		return s
	}
	if err := checkSchedule(s.V); err != nil {
		hint := "five fields: minute hour day-of-month month day-of-week; or @hourly, @daily, @weekly, @monthly, @yearly, @every 10m"
		c.invalid(fmt.Sprintf("%s: %v", quoteKey(s.V), err), hint)
	}
	return s
}

func (c cursor) timeZone() Str {
	s := c.filled()
	if !s.IsSet() {
		return s
	}
	if _, err := time.LoadLocation(s.V); err != nil || s.V == "Local" {
		c.invalid(fmt.Sprintf("%s is not a time zone", quoteKey(s.V)), `IANA names, for example "Europe/Paris"`)
	}
	return s
}

// checkSchedule reports why a schedule can never run. The parser panics on
// some input, which counts as not understood.
func checkSchedule(s string) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("not a schedule")
		}
	}()
	s = strings.TrimSpace(s)
	if strings.Contains(s, "TZ=") {
		return fmt.Errorf("the time zone goes into the field timeZone")
	}
	if every, ok := strings.CutPrefix(s, "@every "); ok {
		if d, err := time.ParseDuration(strings.TrimSpace(every)); err != nil || d < 10*time.Second {
			return fmt.Errorf("@every needs a duration of at least 10s")
		}
	}
	sched, err := cron.ParseStandard(sundayIsZero(s))
	if err != nil {
		return err
	}
	// Any moment will do: what does not fire within years of it never does.
	if sched.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Errorf("no such date ever comes")
	}
	return nil
}

// sundayIsZero rewrites day-of-week 7 for a parser that knows 0 only.
func sundayIsZero(s string) string {
	fields := strings.Fields(s)
	if len(fields) != 5 || !strings.Contains(fields[4], "7") {
		return s
	}
	var days []string
	for part := range strings.SplitSeq(fields[4], ",") {
		days = append(days, sundayPart(part)...)
	}
	fields[4] = strings.Join(days, ",")
	return strings.Join(fields, " ")
}

// sundayPart spells out a range that ends in 7.
func sundayPart(part string) []string {
	span, stepText, hasStep := strings.Cut(part, "/")
	from, to, isRange := strings.Cut(span, "-")
	if !isRange && span == "7" && !hasStep {
		return []string{"0"}
	}
	first, err := strconv.Atoi(from)
	if !isRange || to != "7" || err != nil || first < 0 || first > 7 {
		return []string{part}
	}
	step := 1
	if hasStep {
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
			return []string{part}
		}
	}
	var days []string
	for d := first; d <= 7; d += step {
		days = append(days, strconv.Itoa(d%7))
	}
	slices.Sort(days)
	return slices.Compact(days)
}
