// SPDX-License-Identifier: Apache-2.0

// Package helper is what the daemon and the helper that is PID 1 of a
// container say to each other, with what both make of the output of hooks, and
// nothing else. It is the only package of ours that both binaries share.
package helper

// Where the helper folder and its parts are in a container.
const (
	Dir        = "/Agent"
	Server     = "/Agent/agent-server"
	DefaultCLI = "/Agent/default_cli.sh"
)
