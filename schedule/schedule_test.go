// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, in := range []string{
		"* * * * *", "0 9 * * 1-5", "*/5 0-23/2 1,15 JAN-JUN MON", "@hourly", "@every 10s", " 0 0 * * 7 ", "0 0 * * 5-7", "0 0 * * 0-7/2", "0 0 * * 1,7",
		"0 0 29 2 *", "0 0 * * SUN",
	} {
		if _, err := Parse(in, ""); err != nil {
			t.Errorf("Parse(%q): %v", in, err)
		}
	}
	for _, in := range []string{
		"", "*", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 2 *", "0 0 30 2 *", "TZ=", "CRON_TZ=", "TZ=UTC * * * * *", "CRON_TZ=Europe/Paris 0 0 * * *",
		"@reboot", ", * * * *", "0 0 , * *", "@every 1s", "@every -5s", "@every 0s", "@every", "@", "0 0 * * 8", "0 0 * * 7-8", "0 0 * * 7-5", "a b c d e", "@every 10",
	} {
		if _, err := Parse(in, ""); err == nil {
			t.Errorf("Parse(%q): no error", in)
		}
	}
}

func TestSundayIsZero(t *testing.T) {
	for in, want := range map[string]string{
		"0 0 * * 7": "0 0 * * 0", "0 0 * * 5-7": "0 0 * * 0,5,6", "0 0 * * 1-7/3": "0 0 * * 0,1,4", "0 0 7 7 1": "0 0 7 7 1", "0 0 * * 0-7": "0 0 * * 0,1,2,3,4,5,6",
	} {
		if got := sundayIsZero(in); got != want {
			t.Errorf("sundayIsZero(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"* * * * *", "TZ=", "0 0 31 2 *", "@every 5s", "@every 10.9s", "@every 2562047h", "0 0 * * 5-7/2", "CRON_TZ=x * * * * *", "30 2 29 2 *", ", * * * *", "0 0 , * ,",
	} {
		for _, zone := range []string{"", "Europe/Berlin", "Pacific/Apia"} {
			f.Add(text, zone, int64(1_774_746_000), int64(1<<31))
			f.Add(text, zone, int64(-1<<40), int64(1<<40))
		}
	}
	f.Fuzz(func(t *testing.T, text, zone string, after, upTo int64) {
		s, err := Parse(text, zone)
		if err != nil {
			return
		}
		const aeon = 1 << 40 // seconds
		first, last := time.Unix(after%aeon, 0), time.Unix(upTo%aeon, 0)
		next := s.Next(first)
		if !next.After(first) {
			t.Errorf("Parse(%q, %q).Next(%s) = %s", text, zone, first, next)
		}
		slot, missed := s.Latest(first, last)
		if slot.IsZero() != next.After(last) || missed < 0 || slot.After(last) || slot.IsZero() && missed > 0 {
			t.Errorf("Parse(%q, %q).Latest(%s, %s) = %s, %d; the next is %s", text, zone, first, last, slot, missed, next)
		}
	})
}
