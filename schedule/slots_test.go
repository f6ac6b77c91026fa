// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wallFormat shows the clock on the wall, and how far off UTC it is.
const wallFormat = "2006-01-02T15:04Z07:00"

func mustParse(t testing.TB, text, zone string) Schedule {
	t.Helper()
	s, err := Parse(text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(wallFormat, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestNext goes from slot to slot, over every kind of change of a clock.
func TestNext(t *testing.T) {
	for _, tt := range []struct {
		name, text, zone, after string
		want                    []string
	}{
		{
			"a slot is not after itself", "0 9 * * *", "", "2026-03-01T09:00Z",
			[]string{"2026-03-02T09:00Z", "2026-03-03T09:00Z"},
		},
		{
			"either day", "0 0 13 * 5", "", "2026-02-28T00:00Z",
			[]string{"2026-03-06T00:00Z", "2026-03-13T00:00Z", "2026-03-20T00:00Z"},
		},
		{
			"leap day", "0 0 29 2 *", "", "2024-02-29T00:00Z",
			[]string{"2028-02-29T00:00Z", "2032-02-29T00:00Z"},
		},
		{
			"leap day over a century", "0 0 29 2 *", "", "2096-02-29T00:00Z",
			[]string{"2104-02-29T00:00Z"},
		},
		{
			"31 February comes on its weekdays", "0 0 31 2 1", "", "2026-02-20T00:00Z",
			[]string{"2026-02-23T00:00Z", "2027-02-01T00:00Z"},
		},
		{
			"the 31st", "0 12 31 * *", "", "2026-01-31T12:00Z",
			[]string{"2026-03-31T12:00Z", "2026-05-31T12:00Z"},
		},
		{
			"before the epoch", "0 0 * * 1", "", "1969-12-23T00:00Z",
			[]string{"1969-12-29T00:00Z", "1970-01-05T00:00Z"},
		},
		{
			"forward: a fixed time", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z",
			[]string{"2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"},
		},
		{
			"forward: the hour after it", "0 3 * * *", "Europe/Berlin", "2026-03-28T12:00Z",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T03:00+02:00"},
		},
		{
			"forward: a list within it comes once", "0,15,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"},
		},
		{
			"forward: a list over it", "30 1-3 * * *", "Europe/Berlin", "2026-03-29T00:00Z",
			[]string{"2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"},
		},
		{
			"forward: steps", "*/20 * * * *", "Europe/Berlin", "2026-03-29T00:39Z",
			[]string{"2026-03-29T01:40+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00"},
		},
		{
			"forward: every minute", "* * * * *", "Europe/Berlin", "2026-03-29T00:58Z",
			[]string{"2026-03-29T01:59+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:01+02:00"},
		},
		{
			"forward: @hourly", "@hourly", "Europe/Berlin", "2026-03-29T00:00Z",
			[]string{"2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"},
		},
		{
			"forward: past the end of the hour", "30 2 * * *", "Europe/Berlin", "2026-03-29T01:00Z",
			[]string{"2026-03-30T02:30+02:00"},
		},
		{
			"forward: the day of a month", "45 2 29 3 *", "Europe/Berlin", "2026-01-01T00:00Z",
			[]string{"2026-03-29T03:00+02:00", "2027-03-29T02:45+02:00"},
		},
		{
			"back: a fixed time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z",
			[]string{"2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"},
		},
		{
			"back: within the second hour", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z",
			[]string{"2026-10-26T02:30+01:00"},
		},
		{
			"back: steps", "*/20 * * * *", "Europe/Berlin", "2026-10-25T00:20Z",
			[]string{"2026-10-25T02:40+02:00", "2026-10-25T03:00+01:00"},
		},
		{
			"back: every minute", "* * * * *", "Europe/Berlin", "2026-10-25T00:58Z",
			[]string{"2026-10-25T02:59+02:00", "2026-10-25T03:00+01:00"},
		},
		{
			"back: @hourly", "@hourly", "Europe/Berlin", "2026-10-24T23:59Z",
			[]string{"2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00"},
		},
		{
			"New York forward", "30 2 * * *", "America/New_York", "2026-03-07T12:00Z",
			[]string{"2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"},
		},
		{
			"New York back", "30 1 * * *", "America/New_York", "2026-11-01T00:00Z",
			[]string{"2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"},
		},
		{
			"Lord Howe forward, by half an hour", "0,15,40 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00Z",
			[]string{"2026-10-04T02:30+11:00", "2026-10-04T02:40+11:00", "2026-10-05T02:00+11:00"},
		},
		{
			"Lord Howe back, by half an hour", "*/15 1,2 * * *", "Australia/Lord_Howe", "2026-04-04T14:25Z",
			[]string{"2026-04-05T01:30+11:00", "2026-04-05T01:45+11:00", "2026-04-05T02:00+10:30"},
		},
		{
			"Havana forward, at midnight", "0 0 * * *", "America/Havana", "2026-03-07T12:00Z",
			[]string{"2026-03-08T01:00-04:00", "2026-03-09T00:00-04:00"},
		},
		{
			"Havana forward, by weekday", "@weekly", "America/Havana", "2026-03-02T12:00Z",
			[]string{"2026-03-08T01:00-04:00", "2026-03-15T00:00-04:00"},
		},
		{
			"Havana back, over midnight", "30 0 * * *", "America/Havana", "2026-11-01T00:00Z",
			[]string{"2026-11-01T00:30-04:00", "2026-11-02T00:30-05:00"},
		},
		{
			"Apia, where a day was skipped", "0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00Z",
			[]string{"2011-12-31T00:00+14:00", "2012-12-30T12:00+14:00"},
		},
		{
			"Kathmandu, which never changes", "30 2 * * *", "Asia/Kathmandu", "2026-03-28T00:00Z",
			[]string{"2026-03-29T02:30+05:45", "2026-03-30T02:30+05:45"},
		},
		{
			"the last day of a leap year, by rule", "0 9,21 * * *", "Europe/Berlin", "2040-12-30T21:00Z",
			[]string{"2040-12-31T09:00+01:00", "2040-12-31T21:00+01:00", "2041-01-01T09:00+01:00"},
		},
		{
			"@every does not know the clock on the wall", "@every 40m", "Europe/Berlin", "2026-10-25T00:00Z",
			[]string{"2026-10-25T02:40+02:00", "2026-10-25T02:20+01:00", "2026-10-25T03:00+01:00"},
		},
		{
			"@every before the epoch", "@every 36h", "", "1969-12-30T11:59Z",
			[]string{"1969-12-30T12:00Z", "1970-01-01T00:00Z"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mustParse(t, tt.text, tt.zone)
			var got []string
			at := moment(t, tt.after)
			for range tt.want {
				at = s.Next(at)
				got = append(got, at.Format(wallFormat))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLatest(t *testing.T) {
	for _, tt := range []struct {
		name, text, zone, after, upTo string
		want                          string // "" = none
		missed                        int
	}{
		{"none", "0 9 * * *", "", "2026-03-01T09:00Z", "2026-03-02T08:59Z", "", 0},
		{"one, at the end", "0 9 * * *", "", "2026-03-01T09:00Z", "2026-03-02T09:00Z", "2026-03-02T09:00Z", 0},
		{"three", "0 9 * * *", "", "2026-03-01T09:00Z", "2026-03-04T17:00Z", "2026-03-04T09:00Z", 2},
		{"the clock was set back", "0 9 * * *", "", "2026-03-05T09:00Z", "2026-03-01T09:00Z", "", 0},
		{"over months", "0 0 1 * *", "", "2025-11-15T00:00Z", "2026-03-15T00:00Z", "2026-03-01T00:00Z", 3},
		{"none within years", "0 0 29 2 *", "", "2096-03-01T00:00Z", "2104-02-28T00:00Z", "", 0},
		{"minutes of ten years", "* * * * *", "", "2016-01-01T00:00Z", "2026-01-01T00:00Z", "2026-01-01T00:00Z", 3653*24*60 - 1},
		{"minutes of ten years, of a clock that changes", "* * * * *", "Europe/Berlin", "2016-01-01T00:00Z", "2026-01-01T00:00Z", "2026-01-01T01:00+01:00", 3653*24*60 - 10*60 - 1},
		{"forward, together", "*/15 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T12:00Z", "2026-03-29T03:45+02:00", 3},
		{"forward, at that moment", "30 2 * * *", "Europe/Berlin", "2026-03-29T00:59Z", "2026-03-29T01:00Z", "2026-03-29T03:00+02:00", 0},
		{"back, first hour", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T00:45Z", "2026-10-25T02:30+02:00", 0},
		{"back, second hour", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45Z", "2026-10-25T12:00Z", "", 0},
		{"@every", "@every 45m", "", "2026-03-01T00:00Z", "2026-03-01T03:10Z", "2026-03-01T03:00Z", 3},
		{"@every, none", "@every 45m", "", "2026-03-01T00:00Z", "2026-03-01T00:44Z", "", 0},
		{"@every, before the epoch", "@every 1h", "", "1969-12-31T20:30Z", "1969-12-31T22:30Z", "1969-12-31T22:00Z", 1},
		{"at most a century", "0 0 1 1 *", "", "0001-01-01T00:00Z", "2026-06-01T00:00Z", "2026-01-01T00:00Z", 99},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slot, missed := mustParse(t, tt.text, tt.zone).Latest(moment(t, tt.after), moment(t, tt.upTo))
			got := ""
			if !slot.IsZero() {
				got = slot.Format(wallFormat)
			}
			if got != tt.want || missed != tt.missed {
				t.Errorf("Latest = %q, %d; want %q, %d", got, missed, tt.want, tt.missed)
			}
		})
	}
}

// TestSlotsAreWhole: fractions of a second belong to the second that they are of.
func TestSlotsAreWhole(t *testing.T) {
	s := mustParse(t, "0 9 * * *", "")
	slot := moment(t, "2026-03-02T09:00Z")
	if got := s.Next(slot.Add(-time.Nanosecond)); !got.Equal(slot) {
		t.Errorf("Next just before a slot = %s, want it", got)
	}
	if got := s.Next(slot.Add(time.Nanosecond)); !got.After(slot) {
		t.Errorf("Next just after a slot = %s, want a later one", got)
	}
	if got, _ := s.Latest(slot.Add(-time.Nanosecond), slot); !got.Equal(slot) {
		t.Errorf("Latest up to a slot = %s, want it", got)
	}
	if got, _ := s.Latest(slot.Add(time.Nanosecond), slot.Add(time.Hour)); !got.IsZero() {
		t.Errorf("Latest just after a slot = %s, want none", got)
	}
}

func TestZeroSchedule(t *testing.T) {
	now := moment(t, "2026-03-02T09:00Z")
	if got := (Schedule{}).Next(now); !got.IsZero() {
		t.Errorf("Next = %s", got)
	}
	if got, missed := (Schedule{}).Latest(now, now.AddDate(1, 0, 0)); !got.IsZero() || missed != 0 {
		t.Errorf("Latest = %s, %d", got, missed)
	}
}
