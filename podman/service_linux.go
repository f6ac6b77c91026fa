// SPDX-License-Identifier: Apache-2.0

package podman

import "syscall"

// childAttr ends the child with us, even when we are killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
