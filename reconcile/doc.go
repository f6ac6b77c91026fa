// SPDX-License-Identifier: Apache-2.0

// Package reconcile makes what is match what should be: it observes through a
// [Reader], asks reconcile/plan what to do, and walks the plan with a
// [Runtime].
//
// It keeps the few facts that neither git nor the runtime can hold in a record
// store, and sums up afterwards how desired and actual compare. It knows no
// file format and no container engine.
package reconcile
