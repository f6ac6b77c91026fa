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
// [Apply] decides nothing: whatever a pass does is in its plan, which [DryRun]
// returns without being able to do any of it. A pass that fails or is
// interrupted at any point leaves a state from which the next one converges.
package reconcile
