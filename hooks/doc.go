// SPDX-License-Identifier: Apache-2.0

// Package hooks runs the lifecycle hooks that run on the host. It knows what ran,
// and decides nothing: when a hook is due is the planner's business, and what may
// run that of whoever made the plan.
//
// A hook is somebody else's code, and it must neither run twice at once nor be
// lost with the process that started it. So it runs below a child process, which
// is this very program under another name:
//
//	reconcile ── Runner.Run ─▶ child (own session) ── /bin/sh -c COMMAND (own session)
//	                             │  deadline, redacted and capped output
//	                             └▶ DIR/ID.json: running, then done or failed
//
// The child outlives a program that is killed. It writes to disk that the hook
// runs, with what tells its process from any other, before anything of the hook
// does; at the end it ends whatever the hook left behind, and then writes how it
// went. A child that is killed itself takes the shell with it, and the hook did
// not run.
//
// The values of secrets reach the child through a pipe and the hook as variables.
// They are written nowhere: in the output they are redacted.
//
//	func main() {
//		hooks.MaybeServe()
//		…
//	}
package hooks
