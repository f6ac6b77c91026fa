// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"

	"reconcile/schedule"
)

// schedule reads a cron schedule.
func (c cursor) schedule() Str {
	s := c.filled()
	if !s.IsSet() {
		return s
	}
	if _, err := schedule.Parse(s.V, ""); err != nil {
		hint := "five fields: minute hour day-of-month month day-of-week; or @hourly, @daily, @weekly, @monthly, @yearly, @every 10m"
		c.invalid(fmt.Sprintf("%s: %v", quoteKey(s.V), err), hint)
	}
	return s
}

func (c cursor) timeZone() Str {
	s := c.filled()
	if !s.IsSet() {
		return s
	}
	if _, err := schedule.Zone(s.V); err != nil {
		c.invalid(fmt.Sprintf("%s is not a time zone", quoteKey(s.V)), `IANA names, for example "Europe/Paris"`)
	}
	return s
}
