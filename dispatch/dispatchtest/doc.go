// SPDX-License-Identifier: Apache-2.0

// Package dispatchtest holds a [dispatch.Runtime] in memory, and the suite that any
// runtime of executions must pass.
//
//	dispatchtest.Run(t, dispatchtest.Target{Runtime: …, Launch: …})
//
// The processes of [Memory] are functions, and its networks are pipes: everything
// works in a bubble of testing/synctest.
package dispatchtest
