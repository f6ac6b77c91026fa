// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package repos

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem puts what was written on disk.
func syncFileSystem(*os.File) error { return unix.Sync() }
