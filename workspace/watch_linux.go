// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// inode tells an entry from others of its name.
func inode(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Ino ^ st.Dev<<40
}

// lease reports whether somebody has f open for writing; known says whether that
// can be told. The kernel grants a read lease only while nobody has; it is given
// back at once, and who opens the file in between waits for that long.
func lease(f syscall.Conn) (writing, known bool) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, false
	}
	err = errors.Join(conn.Control(func(fd uintptr) {
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		writing = errors.Is(err, unix.EAGAIN)
		known = err == nil || writing
		if err == nil {
			unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK) //nolint:errcheck // closing the file does it too
		}
	}))
	return writing, known && err == nil
}

// openQuietly opens a regular file without following a link or waiting for a
// writer.
func openQuietly(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}
