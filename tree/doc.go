// SPDX-License-Identifier: Apache-2.0

// Package tree hashes and copies folders of files.
//
// An agent's folder is known by its [Hash]: the same content gives the same
// hash whether it is read from a checkout or from a git commit, whoever owns
// the files and whenever they were written. [Copy] writes what Hash hashed.
//
//	h, err := tree.Hash(os.DirFS("agents/explorer"))
//	if err != nil { ... }
//	err = tree.Copy(filepath.Join(state, h), os.DirFS("agents/explorer"), tree.CopyOptions{UID: -1, GID: -1})
//
// What counts is the sorted list of paths with their kind, the executable bit
// and the content of files, and the target of symlinks. A symlink must be
// relative and stay inside the folder, however its target is reached through
// other links; sockets, pipes and devices are errors. Entries named .git, and
// files that editors make beside what is edited (see [OfEditor]), are left out at
// every depth.
//
// A folder that somebody else may write to while it is read should be given as
// [os.Root.FS], which follows no link out of it.
package tree
