// SPDX-License-Identifier: Apache-2.0

// Package workspace turns a directory into what should run: bytes in, a
// [plan.Desired] and diagnostics out.
//
// [Load] finds and decodes every document of a workspace, opens its repos, those
// in git through [Options].Git at the commits of the lock file, and follows
// enable entries from the workspace file through the manifests that they name.
// [Tree.Resolve] then works out names, variables, mounts, ports and edges, and what
// Tasks are made of: their files by digest, secrets by reference. Neither starts a goroutine, writes a file, or knows
// a container engine; facts of the host such as image digests and the values of
// secrets enter later, when the plan is bound.
//
//	tree, diags, err := workspace.Load(ctx, workspace.Options{Dir: dir, StateDir: state})
//	if err != nil { ... }
//	result := tree.Resolve()
//	if result.Fatal { ... } // nothing may be changed
//
// All problems are reported at once, each at its place. Problems of reading,
// format, reference, name, alias and path make a result Fatal. Problems with
// the value of one object block that object; everything else can go on. So does what
// a Task refers to and is missing: the Task waits for it.
//
// Files of a workspace are read through an [os.Root]: no link leads out of it.
// CUE of users is evaluated by a child process with limits. A file that somebody
// has open for writing counts like one that cannot be read: what there is of it
// may ask for less than the whole.
//
// A [Watcher] tells when a workspace has changed. It runs until its context ends.
package workspace
