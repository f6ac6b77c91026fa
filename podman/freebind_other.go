// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package podman

import "syscall"

// freeBind does nothing: no bridge will be on this host.
func freeBind(string, string, syscall.RawConn) error { return nil }
