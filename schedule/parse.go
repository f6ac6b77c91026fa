// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// star is the bit of a field that was written as "*".
const star = 1 << 63

// parse reads a schedule without its zone. The parser of the library panics on some
// input, which counts as not understood.
func parse(text string) (s Schedule, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("not a schedule")
		}
	}()
	text = strings.TrimSpace(text)
	if strings.Contains(text, "TZ=") {
		return Schedule{}, errors.New("the time zone goes into the field timeZone")
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		if d, err := time.ParseDuration(strings.TrimSpace(every)); err != nil || d < 10*time.Second {
			return Schedule{}, errors.New("@every needs a duration of at least 10s")
		}
	}
	c, err := cron.ParseStandard(sundayIsZero(text))
	if err != nil {
		return Schedule{}, err
	}
	return convert(c)
}

// convert takes over what the parser made out.
func convert(c cron.Schedule) (Schedule, error) {
	switch c := c.(type) {
	case cron.ConstantDelaySchedule:
		return Schedule{every: int64(c.Delay / time.Second)}, nil
	case *cron.SpecSchedule:
		s := Schedule{hours: c.Hour & below(24), minutes: c.Minute & below(60)}
		s.days = days{c.Dom, c.Dow, c.Month, c.Dom&star == 0 && c.Dow&star == 0}
		if _, ok := s.days.after(0); !ok || s.hours == 0 || s.minutes == 0 {
			return Schedule{}, errors.New("no such date ever comes")
		}
		return s, nil
	default:
		return Schedule{}, errors.New("not a schedule")
	}
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
