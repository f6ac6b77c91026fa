// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"testing"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// What the engine itself costs, with a runtime that costs nothing.
func BenchmarkPass(b *testing.B) {
	const n = 200
	var rs []plan.Resource
	for i := range n {
		rs = append(rs, instance(fmt.Sprintf("a%03d", i)))
	}
	d := desired(rs...)
	run := func(b *testing.B, rt reconcile.Runtime, mem *memory) {
		res, err := reconcile.Pass(b.Context(), rt, mem, d, reconcile.PassOptions{})
		if err != nil || res.Outcome.Err() != nil {
			b.Fatal(err, res.Outcome.Err())
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			run(b, newRuntime(), newMemory())
		}
	})
	b.Run("no-op", func(b *testing.B) {
		rt, mem := newRuntime(), newMemory()
		run(b, rt, mem)
		for b.Loop() {
			run(b, rt, mem)
		}
	})
}
