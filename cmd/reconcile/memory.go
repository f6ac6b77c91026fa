// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime/debug"
	"time"
)

// A daemon waits most of its life. It makes garbage in bursts, at a pass or when
// something is cloned, and the next burst may be days away.
const (
	// daemonGC is how much garbage there may be, in per cent of what is in use,
	// before it is collected. Collecting twice as often as usual costs a daemon
	// less than a hundredth of a core.
	daemonGC = 50
	// restTime is how long nothing must have happened before memory is given back
	// to the system, which takes some 20 ms of a core.
	restTime = 2 * time.Second
)

// thrift keeps the memory of a daemon small.
type thrift struct {
	uses chan struct{} // holds one: memory was used
	free func()
}

// newThrift begins to save, unless GOGC or GOMEMLIMIT say how.
func newThrift(lookupEnv func(string) (string, bool)) *thrift {
	_, gc := lookupEnv("GOGC")
	_, limit := lookupEnv("GOMEMLIMIT")
	if gc || limit {
		return &thrift{free: func() {}}
	}
	debug.SetGCPercent(daemonGC)
	return &thrift{uses: make(chan struct{}, 1), free: debug.FreeOSMemory}
}

// used says that memory was used. It never blocks.
func (t *thrift) used() {
	select {
	case t.uses <- struct{}{}:
	default:
	}
}

// run gives memory back after each use, when there was rest for a while, until
// ctx ends.
func (t *thrift) run(ctx context.Context) error {
	rest := time.NewTimer(restTime)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.uses:
			rest.Reset(restTime)
		case <-rest.C:
			t.free()
		}
	}
}
