// SPDX-License-Identifier: Apache-2.0

// Package control is how a command talks to the daemon that runs a workspace:
// HTTP and JSON over a unix socket that only the daemon's user may use. It
// knows nothing of workspaces; what the answers hold is the daemon's business.
//
// The daemon listens and serves:
//
//	l, err := control.Listen(path) // ErrRunning: another daemon lives there
//	if err != nil { ... }
//	defer l.Close()
//	err = http.Serve(l, control.Handler(daemon))
//
// A command dials, and does the work itself where nobody answers:
//
//	c, err := control.Dial(ctx, path)
//	if errors.Is(err, control.ErrNotRunning) { ... }
//	code, err := c.Pass(ctx, control.PassRequest{...}, os.Stdout, os.Stderr)
//
// A daemon that dies, however it dies, leaves a socket file behind that the next
// one replaces: what says that a daemon lives is a lock beside it, which ends
// with its process.
package control
