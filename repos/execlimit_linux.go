// SPDX-License-Identifier: Apache-2.0

package repos

import "golang.org/x/sys/unix"

// limit bounds the files that a process, and all that it starts from now on, can
// write.
func limit(pid int, size int64) {
	n := uint64(size)
	// It may have ended already.
	_ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n}, nil)
}
