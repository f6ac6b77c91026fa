// SPDX-License-Identifier: Apache-2.0

package schedule

import "time"

// zone turns moments, in Unix seconds, into what the clock on the wall shows, in
// seconds since it showed the epoch, and back.
type zone struct{ loc *time.Location }

// margin is more than any clock was ever put back, or is off UTC.
const margin = 26 * 60 * 60

// stretch is a time within which the clock does not change, [start, end).
type stretch struct {
	offset     int64
	start, end int64
	first      bool // it has no start
	last       bool // it has no end
}

func (z zone) stretch(moment int64) stretch {
	t := time.Unix(moment, 0).In(z.loc)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		// ZoneBounds takes every year for one of 365 days where the clock follows a
		// rule. What is left of the year has no change.
		end = time.Date(t.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	return stretch{int64(offset), start.Unix(), end.Unix(), start.IsZero(), end.IsZero()}
}

// wall is the latest time that the clock has shown up to moment.
func (z zone) wall(moment int64) int64 {
	s := z.stretch(moment)
	latest := moment + s.offset
	for !s.first && s.start > moment-2*margin {
		before := s.start - 1
		s = z.stretch(before)
		latest = max(latest, before+s.offset)
	}
	return latest
}

// moment is when the clock first shows wall, or a later time.
func (z zone) moment(wall int64) int64 {
	at := wall - margin
	for {
		s := z.stretch(at)
		at = max(at, wall-s.offset)
		if s.last || at < s.end {
			return at
		}
		at = s.end
	}
}

// gap is what the clock skips: the times after from and up to to come at once.
type gap struct{ from, to int64 }

// gaps are those after first, and not after last.
func (z zone) gaps(first, last int64) []gap {
	var gaps []gap
	for s := z.stretch(first); !s.last && s.end <= last; {
		from := z.wall(s.end - 1)
		at := s.end
		if s = z.stretch(at); at+s.offset > from {
			gaps = append(gaps, gap{from, at + s.offset})
		}
	}
	return gaps
}
