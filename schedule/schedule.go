// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones on hosts without a database of them

	"github.com/robfig/cron/v3"
)

// Schedule is when something is due.
type Schedule struct {
	cron cron.Schedule
	zone *time.Location
}

// Parse reads a schedule in the IANA time zone, "" being UTC. A schedule that never
// comes is an error, and so is one that comes more often than every ten seconds.
func Parse(text, zone string) (Schedule, error) {
	loc, err := Zone(zone)
	if err != nil {
		return Schedule{}, err
	}
	c, err := parse(text)
	if err != nil {
		return Schedule{}, err
	}
	return Schedule{c, loc}, nil
}

// Zone is the time zone with an IANA name, "" being UTC.
func Zone(name string) (*time.Location, error) {
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("%q is not a time zone", name)
	}
	return loc, nil
}

// Next is the first slot after t.
func (s Schedule) Next(t time.Time) time.Time { return s.cron.Next(t.In(s.zone)) }

// parse reads a schedule. The parser of the library panics on some input, which
// counts as not understood.
func parse(s string) (c cron.Schedule, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("not a schedule")
		}
	}()
	s = strings.TrimSpace(s)
	if strings.Contains(s, "TZ=") {
		return nil, errors.New("the time zone goes into the field timeZone")
	}
	if every, ok := strings.CutPrefix(s, "@every "); ok {
		if d, err := time.ParseDuration(strings.TrimSpace(every)); err != nil || d < 10*time.Second {
			return nil, errors.New("@every needs a duration of at least 10s")
		}
	}
	c, err = cron.ParseStandard(sundayIsZero(s))
	if err != nil {
		return nil, err
	}
	// Any moment will do: what does not fire within years of it never does.
	if c.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("no such date ever comes")
	}
	return c, nil
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
