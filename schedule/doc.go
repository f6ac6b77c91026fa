// SPDX-License-Identifier: Apache-2.0

// Package schedule says when a schedule in cron's notation comes: pure, with time
// as data. The notation is that of robfig/cron: five fields, or a descriptor such
// as @daily; both 0 and 7 are Sunday.
//
// Clocks that are put forward or back follow one rule. A slot in the hour that is
// skipped comes at the first minute after it; of an hour that comes twice, only
// the first counts.
package schedule
