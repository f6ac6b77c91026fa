// SPDX-License-Identifier: Apache-2.0

// Package plan is the pure core of reconcile: it compares what should be
// ([Desired]) with what is ([Observed]) and says what to do ([Plan]).
//
// A plan is a directed acyclic graph of steps. Every step carries the reason
// why it is there and the place in the workspace that asked for it. The
// executor walks the graph and decides nothing; a dry run prints the same
// graph that an apply would run.
//
// The package knows resources, objects, records and the time as data. It does
// no I/O, starts no goroutine, reads no clock, logs nothing and draws no
// random number: the same input gives the same plan, byte for byte.
//
//	p := plan.New(desired, observed, plan.Options{Now: now})
//	for _, c := range p.Changes {
//		fmt.Println(c.ID, c.Actions, c.Reasons)
//	}
package plan
