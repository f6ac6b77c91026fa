// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// TestThrift: memory is given back once after each burst of use.
func TestThrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := 0
		s := &thrift{uses: make(chan struct{}, 1), free: func() { freed++ }}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.run(ctx) }()
		for _, tt := range []struct {
			what string
			do   func()
			want int
		}{
			{"a burst", func() {
				for range 10 {
					s.used()
					time.Sleep(restTime / 2)
				}
			}, 0},
			{"rest", func() { time.Sleep(restTime) }, 1},
			{"more rest", func() { time.Sleep(time.Hour) }, 1},
			{"another use", func() { s.used(); time.Sleep(2 * restTime) }, 2},
		} {
			tt.do()
			synctest.Wait()
			if freed != tt.want {
				t.Errorf("%s: given back %d times, want %d", tt.what, freed, tt.want)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestThriftLeftToTheUser: who says how Go collects garbage is not overruled.
func TestThriftLeftToTheUser(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for _, tt := range []struct {
		name, set string
		want      int
	}{
		{"nothing set", "", daemonGC},
		{"GOGC", "GOGC", 100},
		{"GOMEMLIMIT", "GOMEMLIMIT", 100},
	} {
		debug.SetGCPercent(100)
		s := newThrift(func(name string) (string, bool) { return "", name == tt.set })
		s.used()
		if got := debug.SetGCPercent(100); got != tt.want {
			t.Errorf("%s: GC at %d %%, want %d", tt.name, got, tt.want)
		}
	}
}
