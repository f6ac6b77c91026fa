// SPDX-License-Identifier: Apache-2.0

// Package atomicfile replaces files so that a reader sees the old content or
// the new one, whatever happens in between.
//
//	err := atomicfile.Write("workspace.lock", content, atomicfile.Options{Perm: 0o644, Sync: true})
package atomicfile
