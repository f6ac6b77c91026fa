// SPDX-License-Identifier: Apache-2.0

// Package reconciletest holds what tests of a runtime and tests of the engine
// share: an in-memory [Runtime], and the conformance suite [Run] that every
// implementation of reconcile.Runtime passes, the in-memory one and real ones
// alike.
//
//	func TestConformance(t *testing.T) {
//		reconciletest.Run(t, func(t *testing.T) reconciletest.World {
//			rt := reconciletest.New(reconciletest.Options{Owner: "o1"})
//			return rt.World(t)
//		})
//	}
//
// What the suite demands is the contract of reconcile.Runtime. A rule that a
// runtime must keep is a case here, not a remark elsewhere.
package reconciletest
