// SPDX-License-Identifier: Apache-2.0

// Package hooks is the place of the lifecycle hooks of agents: what each is,
// when it is due, and how commands run on the host. It may know reconcile/plan
// and nothing else of ours.
//
// This build runs no hook. An agent that has one is validated, and
// workspace.Tree.Resolve blocks it with the reason "not supported by this
// build".
package hooks
