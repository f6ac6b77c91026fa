// SPDX-License-Identifier: Apache-2.0

// Package reconcile makes what is match what should be: it observes through a
// [Reader], asks reconcile/plan what to do, and walks the plan with a
// [Runtime].
//
// It keeps the few facts that neither git nor the runtime can hold in a record
// store, and sums up afterwards how desired and actual compare. It knows no
// file format and no container engine.
//
//	store, err := reconcile.OpenStore(dir, false)
//	…
//	res, err := reconcile.Pass(ctx, runtime, store, desired, reconcile.PassOptions{})
//	…
//	for _, st := range res.Status {
//		fmt.Println(st.Name, st.State, st.Reasons)
//	}
//
// A daemon runs a [Loop] instead of passes one by one. Whoever has a reason
// notifies it, and it looks again; looks never wait for steps that are slow.
//
//	loop := reconcile.NewLoop(runtime, store, reconcile.LoopOptions{Load: load})
//	go watch(func() { loop.Notify(reconcile.CauseEdit) })
//	err := loop.Run(ctx)
//
// A pass of the loop is of one desired state: a look that finds the same adds
// to the pass what is to be done, and one that finds another takes its place.
// What fails is tried again later and later, and so is what exits by itself
// again and again; both are facts for the planner, which says when to look. The
// loop's state belongs to one goroutine; loading, observing and each step have
// one of their own, and [Loop.Run] waits for all of them.
//
// What runs once, or by a schedule, is a resource with runs. The record of each
// says how far it is, and is on disk before the run is started: one that may have
// been started is never started again. What has ended is recorded by the next
// look, and history names it; the texts that the last run was made of are kept, so
// that a plan can show what becomes of them.
//
// [Apply] decides nothing: whatever a pass does is in its plan, which [DryRun]
// returns without being able to do any of it. A pass that fails or is
// interrupted at any point leaves a state from which the next one converges.
package reconcile
