// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// freeBind lets a listener have an address that this host does not have yet.
func freeBind(network, _ string, c syscall.RawConn) error {
	var err error
	failed := c.Control(func(fd uintptr) {
		if network == "tcp6" {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
		}
	})
	return errors.Join(failed, err)
}
