// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package control

import "net"

// trusted leaves it to the modes of the socket and of its folder.
func trusted(*net.UnixConn) bool { return true }
