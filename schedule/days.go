// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"math/bits"
	"time"
)

const (
	minuteSeconds = 60
	dayMinutes    = 24 * 60
	daySeconds    = dayMinutes * minuteSeconds
)

// horizon is how many months may pass between two days of a schedule: 29 February
// comes but once in eight years where a century is no leap year.
const horizon = 8*12 + 1

// days are the days of a schedule.
type days struct {
	ofMonth, ofWeek, months uint64 // a bit for each, the first days and months being 1
	// either: it is enough that one of ofMonth and ofWeek fits.
	either bool
}

// month is one month of the calendar.
type month struct {
	year  int
	month time.Month
	first int64 // day, counted from the Unix epoch
}

// monthOf is the month of a day, and which day of it that is.
func monthOf(day int64) (month, int) {
	y, m, d := time.Unix(day*daySeconds, 0).UTC().Date()
	return month{y, m, day - int64(d) + 1}, d
}

func (m month) days() int {
	switch m.month {
	case time.February:
		if m.year%4 == 0 && (m.year%100 != 0 || m.year%400 == 0) {
			return 29
		}
		return 28
	case time.April, time.June, time.September, time.November:
		return 30
	default:
		return 31
	}
}

func (m month) next() month {
	next := month{m.year, m.month + 1, m.first + int64(m.days())}
	if m.month == time.December {
		next.year, next.month = m.year+1, time.January
	}
	return next
}

func (m month) previous() month {
	previous := month{year: m.year, month: m.month - 1}
	if m.month == time.January {
		previous.year, previous.month = m.year-1, time.December
	}
	previous.first = m.first - int64(previous.days())
	return previous
}

// of has a bit for each day of m that fits.
func (d days) of(m month) uint64 {
	if d.months>>m.month&1 == 0 {
		return 0
	}
	all := below(m.days()+1) &^ 1
	// 1 January 1970 was a Thursday.
	weekday := int(floorMod(m.first+int64(time.Thursday), 7))
	week := d.ofWeek & below(7)
	weeks := week | week<<7 | week<<14 | week<<21 | week<<28 | week<<35
	ofWeek := weeks >> weekday << 1
	if d.either {
		return (d.ofMonth | ofWeek) & all
	}
	return d.ofMonth & ofWeek & all
}

func (d days) has(day int64) bool {
	m, n := monthOf(day)
	return d.of(m)>>n&1 == 1
}

// after is the first day after day that fits.
func (d days) after(day int64) (int64, bool) {
	m, n := monthOf(day)
	fit := d.of(m) &^ below(n+1)
	for range horizon {
		if fit != 0 {
			return m.first + int64(bits.TrailingZeros64(fit)) - 1, true
		}
		m = m.next()
		fit = d.of(m)
	}
	return 0, false
}

// before is the last day before day that fits and is not before lowest.
func (d days) before(day, lowest int64) (int64, bool) {
	m, n := monthOf(day)
	fit := d.of(m) & below(n)
	for range horizon {
		if fit != 0 {
			last := m.first + int64(bits.Len64(fit)) - 2
			return last, last >= lowest
		}
		if m.first <= lowest {
			break
		}
		m = m.previous()
		fit = d.of(m)
	}
	return 0, false
}

// count is how many days fit from from on, and before to.
func (d days) count(from, to int64) int {
	total := 0
	m, n := monthOf(from)
	end, last := monthOf(to)
	fit := d.of(m) &^ below(n)
	for ; m.first < end.first; fit = d.of(m) {
		total += bits.OnesCount64(fit)
		m = m.next()
	}
	return total + bits.OnesCount64(fit&below(last))
}

// split is the day of a wall clock time, and the minute of that day.
func split(wall int64) (day int64, minute int) {
	return floorDiv(wall, daySeconds), int(floorMod(wall, daySeconds) / minuteSeconds)
}

func join(day int64, minute int) int64 { return day*daySeconds + int64(minute)*minuteSeconds }

func floorDiv(a, b int64) int64 { return (a - floorMod(a, b)) / b }

func floorMod(a, b int64) int64 { return (a%b + b) % b }
