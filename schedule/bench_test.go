// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

// BenchmarkNext has the library's own Next for a floor, which is wrong where clocks
// change.
func BenchmarkNext(b *testing.B) {
	for _, bb := range []struct{ name, text, zone string }{
		{"minute", "* * * * *", ""},
		{"daily", "30 2 * * *", ""},
		{"daily-zone", "30 2 * * *", "Europe/Berlin"},
		{"monthly-zone", "0 0 1 * *", "Europe/Berlin"},
		{"leap-day", "0 0 29 2 *", ""},
	} {
		loc, err := Zone(bb.zone)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Date(2026, 3, 1, 10, 0, 0, 0, loc)
		b.Run(bb.name, func(b *testing.B) {
			s := mustParse(b, bb.text, bb.zone)
			for at := start; b.Loop(); {
				if at = s.Next(at); at.Year() > 2090 {
					at = start
				}
			}
		})
		b.Run(bb.name+"/floor", func(b *testing.B) {
			c, err := cron.ParseStandard(bb.text)
			if err != nil {
				b.Fatal(err)
			}
			for at := start; b.Loop(); {
				if at = c.Next(at); at.Year() > 2090 {
					at = start
				}
			}
		})
	}
}

// BenchmarkLatest is of minutes that were missed for a year.
func BenchmarkLatest(b *testing.B) {
	s := mustParse(b, "* * * * *", "Europe/Berlin")
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for b.Loop() {
		s.Latest(now.AddDate(-1, 0, 0), now)
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		mustParse(b, "30 2 * * *", "Europe/Berlin")
	}
}
