// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"reconcile/podman/podmantest"
)

// BenchmarkObserveBesideImages compares an observation on a host with 100
// images that nobody asked for with the same one before they were there. The
// goal is 1.5 × that.
func BenchmarkObserveBesideImages(b *testing.B) {
	rt, d := benchWorkspace(b, 5)
	observe := func() (took []time.Duration) {
		for range rounds {
			begun := time.Now()
			if _, err := rt.Observe(b.Context(), d); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(begun))
		}
		return took
	}
	observe()
	floor := observe()
	version := func(i int) podmantest.ImageOptions {
		return podmantest.ImageOptions{NoTool: true, Files: map[string]string{"/version": strconv.Itoa(i)}}
	}
	for i := range 100 {
		podmantest.Image(b, fmt.Sprintf("bench/unused%d", i), version(i))
	}
	ours := observe()
	for b.Loop() {
		if _, err := rt.Observe(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
	report(b, floor, ours, func(f time.Duration) time.Duration { return f * 3 / 2 })
}
