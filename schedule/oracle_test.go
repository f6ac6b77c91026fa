// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"
)

// zones change their clocks in every way there is, or not at all.
var zones = []string{
	"", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Havana", "America/Sao_Paulo", "America/Nuuk",
	"Australia/Lord_Howe", "Antarctica/Troll", "Africa/Casablanca", "Africa/Cairo", "Asia/Kathmandu", "Asia/Beirut", "Asia/Gaza",
	"Pacific/Apia", "Pacific/Chatham", "Pacific/Kwajalein", "Etc/GMT-14", "Asia/Pyongyang", "America/Caracas",
}

// watch is a person who looks at the clock on the wall every minute from start on,
// and notes when it first shows a time of the schedule, or a later one. What those
// times are is known from the library, for which they are times in UTC.
func watch(t interface{ Fatal(...any) }, text string, loc *time.Location, start time.Time, minutes int) []time.Time {
	c, err := cron.ParseStandard(sundayIsZero(text))
	if err != nil {
		t.Fatal(err)
	}
	c.(*cron.SpecSchedule).Location = time.UTC
	shown := func(at time.Time) time.Time {
		at = at.In(loc)
		return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
	}
	const days = 3 * 24 * 60
	latest := shown(start.Add(-days * time.Minute))
	for m := -days; m <= 0; m++ {
		if s := shown(start.Add(time.Duration(m) * time.Minute)); s.After(latest) {
			latest = s
		}
	}
	next := c.Next(latest)
	var slots []time.Time
	for m := 1; m <= minutes; m++ {
		at := start.Add(time.Duration(m) * time.Minute)
		s := shown(at)
		if next.IsZero() || next.After(s) {
			continue
		}
		slots = append(slots, at)
		for !next.IsZero() && !next.After(s) {
			next = c.Next(next)
		}
	}
	return slots
}

func drawField(t *rapid.T, name string, low, high int) string {
	n := func(label string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name+label) }
	part := func() string {
		a := n("a", low, high)
		switch n("form", 0, 5) {
		case 0, 1:
			return fmt.Sprint(a)
		case 2:
			return fmt.Sprintf("%d-%d", a, n("b", a, high))
		case 3:
			return fmt.Sprintf("*/%d", n("step", 1, high))
		case 4:
			return fmt.Sprintf("%d-%d/%d", a, n("b", a, high), n("step", 1, high))
		default:
			return fmt.Sprintf("%d/%d", a, n("step", 1, high))
		}
	}
	switch n("parts", 0, 3) {
	case 0, 1:
		return "*"
	case 2:
		return part()
	default:
		return part() + "," + part()
	}
}

func drawText(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "descriptor") == 0 {
		return rapid.SampledFrom([]string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly"}).Draw(t, "text")
	}
	return strings.Join([]string{
		drawField(t, "minute", 0, 59), drawField(t, "hour", 0, 23), drawField(t, "day", 1, 31),
		drawField(t, "month", 1, 12), drawField(t, "weekday", 0, 7),
	}, " ")
}

// drawStart is a moment shortly before the clock changes, if it ever does after.
func drawStart(t *rapid.T, loc *time.Location) time.Time {
	at := time.Unix(rapid.Int64Range(150_000_000, 4_300_000_000).Draw(t, "start")/60*60, 0).In(loc)
	if _, end := at.ZoneBounds(); !end.IsZero() {
		// Some databases have a change at the end of time that is none, amid a minute.
		at = end.Truncate(time.Minute).Add(-time.Duration(rapid.IntRange(0, 30*60).Draw(t, "before")) * time.Minute)
	}
	return at
}

// TestSlotsProperty compares with somebody who watches a clock.
func TestSlotsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, zone := drawText(t), rapid.SampledFrom(zones).Draw(t, "zone")
		s, err := Parse(text, zone)
		if err != nil {
			t.Skip(err)
		}
		loc, _ := Zone(zone)
		const minutes = 60 * 60
		start := drawStart(t, loc)
		end := start.Add(minutes * time.Minute)
		want := watch(t, text, loc, start, minutes)

		var got []time.Time
		for at := s.Next(start); !at.After(end); at = s.Next(at) {
			got = append(got, at)
			if len(got) > minutes {
				t.Fatalf("%q in %q: more slots than minutes", text, zone)
			}
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%q in %q: slots after %s: %s", text, zone, start, firstDifference(got, want))
		}

		after := start.Add(time.Duration(rapid.Int64Range(0, minutes*60).Draw(t, "after")) * time.Second)
		upTo := start.Add(time.Duration(rapid.Int64Range(0, minutes*60).Draw(t, "upTo")) * time.Second)
		between := slices.DeleteFunc(want, func(at time.Time) bool { return !at.After(after) || at.After(upTo) })
		slot, missed := s.Latest(after, upTo)
		switch {
		case len(between) == 0 && slot.IsZero() && missed == 0:
		case len(between) > 0 && slot.Equal(between[len(between)-1]) && missed == len(between)-1:
		default:
			t.Fatalf("%q in %q: Latest(%s, %s) = %s, %d; want the last of %v", text, zone, after, upTo, slot, missed, between)
		}
	})
}

func firstDifference(got, want []time.Time) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%s is missing", want[i])
		case i >= len(want) || !got[i].Equal(want[i]):
			return fmt.Sprintf("%s is none", got[i])
		}
	}
	return "none"
}

// TestLatestProperty compares Latest with going from slot to slot over years.
func TestLatestProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawText(t)
		if rapid.IntRange(0, 5).Draw(t, "every") == 0 {
			text = fmt.Sprintf("@every %ds", rapid.IntRange(10, 10_000_000).Draw(t, "seconds"))
		}
		s, err := Parse(text, rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Skip(err)
		}
		after := time.Unix(rapid.Int64Range(-1_000_000_000, 4_000_000_000).Draw(t, "after"), 0)
		n := rapid.IntRange(1, 2000).Draw(t, "slots")
		var slots []time.Time
		for at := s.Next(after); len(slots) < n && at.Sub(after) < 90*366*24*time.Hour; at = s.Next(at) {
			slots = append(slots, at)
		}
		last := slots[len(slots)-1]
		gap := min(int64(s.Next(last).Sub(last)/time.Second), daySeconds)
		upTo := last.Add(time.Duration(rapid.Int64Range(0, gap-1).Draw(t, "rest")) * time.Second)
		slot, missed := s.Latest(after, upTo)
		if !slot.Equal(last) || missed != len(slots)-1 {
			t.Fatalf("%q: Latest(%s, %s) = %s, %d; want %s, %d", text, after, upTo, slot, missed, last, len(slots)-1)
		}
	})
}

// TestFromAndUpToAgree: there is no slot between a slot and the next.
func TestFromAndUpToAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := parse(drawText(t))
		if err != nil {
			t.Skip(err)
		}
		wall := rapid.Int64Range(-4_000_000_000, 40_000_000_000).Draw(t, "wall")
		next, _ := s.from(wall + 1)
		if n := s.between(wall, next); next <= wall || n != 1 {
			t.Fatalf("%d after %d, with %d up to it", next, wall, n)
		}
		if last, ok := s.upTo(next, wall); !ok || last != next {
			t.Fatalf("up to %d is %d", next, last)
		}
		if last, ok := s.upTo(next-1, wall); ok {
			t.Fatalf("%d is between %d and %d", last, wall, next)
		}
	})
}
