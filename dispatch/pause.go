// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"time"
)

// pause returns after d. False: ctx has ended before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
