// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem puts what was written to a file system on disk: for many files
// that is much faster than one after the other.
func syncFileSystem(f *os.File) error {
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}
