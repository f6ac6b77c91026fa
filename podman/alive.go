// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"errors"
	"os"
	"syscall"
)

// alive reports whether a process of this host exists.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}
