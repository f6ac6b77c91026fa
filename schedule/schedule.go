// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"math/bits"
	"time"
	_ "time/tzdata" // time zones on hosts without a database of them
)

// Schedule is when something is due. The zero Schedule never is.
type Schedule struct {
	hours, minutes uint64 // a bit for each hour of a day, and minute of an hour
	days           days
	every          int64 // seconds; 0 = the fields above say when
	zone           zone
}

// century bounds how far [Schedule.Latest] looks back.
const century = 100 * 366 * daySeconds

// Parse reads a schedule in the IANA time zone, "" being UTC. A schedule that never
// comes is an error, and so is one that comes more often than every ten seconds.
func Parse(text, zone string) (Schedule, error) {
	loc, err := Zone(zone)
	if err != nil {
		return Schedule{}, err
	}
	s, err := parse(text)
	if err != nil {
		return Schedule{}, err
	}
	s.zone.loc = loc
	return s, nil
}

// Zone is the time zone with an IANA name, "" being UTC.
func Zone(name string) (*time.Location, error) {
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("%q is not a time zone", name)
	}
	return loc, nil
}

// Next is the first slot after t, in the schedule's time zone.
func (s Schedule) Next(t time.Time) time.Time {
	switch {
	case s.zone.loc == nil:
		return time.Time{}
	case s.every > 0:
		return s.at((floorDiv(t.Unix(), s.every) + 1) * s.every)
	}
	wall, _ := s.from(s.zone.wall(t.Unix()) + 1)
	return s.at(s.zone.moment(wall))
}

// Latest is the last slot after after that is not after upTo, in the schedule's
// time zone, and how many slots between the two came before it. It is the zero time
// where there is none. Of a longer time than a century only the last one counts.
func (s Schedule) Latest(after, upTo time.Time) (slot time.Time, missed int) {
	first, last := after.Unix(), upTo.Unix()
	first = max(first, last-century)
	switch {
	case s.zone.loc == nil || last <= first:
		return time.Time{}, 0
	case s.every > 0:
		n := floorDiv(last, s.every) - floorDiv(first, s.every)
		if n == 0 {
			return time.Time{}, 0
		}
		return s.at(floorDiv(last, s.every) * s.every), int(n - 1)
	}
	low, high := s.zone.wall(first), s.zone.wall(last)
	wall, ok := s.upTo(high, low)
	if !ok {
		return time.Time{}, 0
	}
	n := s.between(low, high)
	for _, g := range s.zone.gaps(first, last) {
		if together := s.between(g.from, g.to); together > 1 {
			n -= together - 1
		}
	}
	return s.at(s.zone.moment(wall)), n - 1
}

func (s Schedule) at(seconds int64) time.Time { return time.Unix(seconds, 0).In(s.zone.loc) }

// from is the first wall clock time of the schedule that is not before wall.
func (s Schedule) from(wall int64) (int64, bool) {
	day, minute := split(wall + minuteSeconds - 1)
	if s.days.has(day) {
		if m, ok := s.minuteFrom(minute); ok {
			return join(day, m), true
		}
	}
	day, ok := s.days.after(day)
	m, _ := s.minuteFrom(0)
	return join(day, m), ok
}

// upTo is the last wall clock time of the schedule that is not after wall, but
// after low.
func (s Schedule) upTo(wall, low int64) (int64, bool) {
	day, minute := split(wall)
	m, ok := s.minuteUpTo(minute)
	if !ok || !s.days.has(day) {
		lowest, _ := split(low)
		if day, ok = s.days.before(day, lowest); !ok {
			return 0, false
		}
		m, _ = s.minuteUpTo(dayMinutes - 1)
	}
	last := join(day, m)
	return last, last > low
}

// between is how many wall clock times of the schedule are after low and not after
// high.
func (s Schedule) between(low, high int64) int {
	lowDay, lowMinute := split(low)
	highDay, highMinute := split(high)
	n := s.days.count(lowDay, highDay) * s.minutesUpTo(dayMinutes-1)
	if s.days.has(highDay) {
		n += s.minutesUpTo(highMinute)
	}
	if s.days.has(lowDay) {
		n -= s.minutesUpTo(lowMinute)
	}
	return n
}

// minuteFrom is the first minute of a day of the schedule that is not before m.
func (s Schedule) minuteFrom(m int) (int, bool) {
	hour := m / 60
	if rest := s.minutes >> (m % 60) << (m % 60); s.hours>>hour&1 == 1 && rest != 0 {
		return hour*60 + bits.TrailingZeros64(rest), true
	}
	later := s.hours >> (hour + 1) << (hour + 1)
	return bits.TrailingZeros64(later)*60 + bits.TrailingZeros64(s.minutes), later != 0
}

// minuteUpTo is the last minute of a day of the schedule that is not after m.
func (s Schedule) minuteUpTo(m int) (int, bool) {
	hour := m / 60
	if rest := s.minutes & below(m%60+1); s.hours>>hour&1 == 1 && rest != 0 {
		return hour*60 + bits.Len64(rest) - 1, true
	}
	earlier := s.hours & below(hour)
	return (bits.Len64(earlier)-1)*60 + bits.Len64(s.minutes) - 1, earlier != 0
}

// minutesUpTo is how many minutes of a day of the schedule are not after m.
func (s Schedule) minutesUpTo(m int) int {
	hour := m / 60
	n := bits.OnesCount64(s.hours&below(hour)) * bits.OnesCount64(s.minutes)
	if s.hours>>hour&1 == 1 {
		n += bits.OnesCount64(s.minutes & below(m%60+1))
	}
	return n
}

// below has the bits below n.
func below(n int) uint64 { return 1<<n - 1 }
