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
	err = conn.Control(func(fd uintptr) {
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		switch {
		case err == nil:
			known = true
			unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK) //nolint:errcheck // closing the file does it too
		case errors.Is(err, unix.EAGAIN):
			writing, known = true, leasesAreOurs(int(fd))
		}
	})
	return writing && known, known && err == nil
}

// leasesAreOurs reports whether the file system leaves leases to the kernel.
// Those over a network refuse them in the same way for reasons of their own.
func leasesAreOurs(fd int) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return false
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, zfs, bcachefs:
		return true
	}
	return false
}

// File systems that golang.org/x/sys does not name.
const (
	zfs      = 0x2fc12fc1
	bcachefs = 0xca451a4e
)

// openQuietly opens a regular file without following a link or waiting for a
// writer.
func openQuietly(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}
