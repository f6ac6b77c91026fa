// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// trusted reports whether the other end is a process of this user or of root.
func trusted(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return false
	}
	return mayCommand(cred.Uid, os.Getuid())
}

func mayCommand(peer uint32, self int) bool { return peer == 0 || int(peer) == self }
