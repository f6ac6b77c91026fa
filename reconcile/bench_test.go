// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"testing"
	"time"

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

// What a look of the loop costs when nothing is to be done, beside a pass.
func BenchmarkLoop(b *testing.B) {
	const n = 200
	var rs []plan.Resource
	for i := range n {
		rs = append(rs, instance(fmt.Sprintf("a%03d", i)))
	}
	d := desired(rs...)
	rt, mem := newRuntime(), newMemory()
	l := reconcile.NewLoop(rt, mem, reconcile.LoopOptions{
		Load: func(context.Context, []reconcile.Cause) (reconcile.Loaded, error) {
			return reconcile.Loaded{Desired: d}, nil
		},
		Quiet: time.Nanosecond,
	})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	look := func() {
		if rec, err := l.Await(ctx, reconcile.CauseCommand); err != nil || rec.ExitCode != 0 {
			b.Fatal(rec, err)
		}
	}
	look()
	b.Run("no-op", func(b *testing.B) {
		for b.Loop() {
			look()
		}
	})
	cancel()
	<-done
}
