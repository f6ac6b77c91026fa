// SPDX-License-Identifier: Apache-2.0

// Package schedule says when a schedule in cron's notation comes: pure, with time
// as data. The notation is that of robfig/cron: five fields, or a descriptor such
// as @daily; both 0 and 7 are Sunday.
//
// Clocks that are put forward or back follow one rule, whatever the expression: a
// slot comes at the first moment when the clock on the wall shows its time or a
// later one. So a slot in an hour that is skipped comes at the first minute after
// it, together with any other that comes then; of an hour that comes twice, only
// the first counts.
//
// The slots of "@every D" know no clock on the wall: they are the multiples of D
// since the Unix epoch, so that they are the same for everybody who asks.
//
//	s, err := schedule.Parse("30 2 * * *", "Europe/Berlin")
//	next := s.Next(now)
//	slot, missed := s.Latest(last, now)
package schedule
