// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package repos

// limit does nothing: packs of the git program are limited on Linux only.
func limit(pid int, size int64) {}
