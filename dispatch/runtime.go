// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"io"
	"net"
	"net/netip"

	"reconcile/reconcile/plan"
)

// Runtime is where executions run: what a [Dispatcher] asks of one. Its methods
// may be called from any goroutine, and what dispatchtest.Run checks is their
// contract.
//
// The containers that it makes belong to a session, which their labels name, and
// to nobody else: no planner looks at them.
type Runtime interface {
	// Listen has the host heard in a network: whoever is in it can connect to the
	// addresses, before the first container is there and after the last one is gone.
	// There is one address of each family that the network has. The remote address of
	// a connection is that of the container which made it, also where something stands
	// in between. What the listeners need ends when all of them are closed. Network is
	// that of the agents' specs, never "".
	Listen(ctx context.Context, network string) ([]net.Listener, []netip.AddrPort, error)
	// Create makes a container that is initialised: its network is up and its process
	// is not started. Addresses are all that it has in the network: what comes from it
	// comes from one of them, at the listeners of Listen. They are empty for one
	// without a network. When Create fails, nothing is left. What ctx cuts is as what
	// fails.
	Create(ctx context.Context, l plan.Launch) (handle string, addresses []netip.Addr, err error)
	// Attach connects to the streams of a container that is not started, so that
	// nothing is lost of them. What the process writes is written to stdout and
	// stderr as it comes, which do not block and do not fail. It is called once for
	// a container, which may wait long for its start. Ctx bounds the connecting alone.
	Attach(ctx context.Context, handle string, stdout, stderr io.Writer) (Attached, error)
	// Start starts the process. The error is net.ErrClosed where what was attached is
	// not connected any more, and fs.ErrNotExist where the container is gone: neither
	// has a process then.
	Start(ctx context.Context, handle string) error
	// Wait returns the exit status of a process that was started once it has ended:
	// 128 and the number of the signal where one ended it. The error is
	// fs.ErrNotExist where the container was removed before.
	Wait(ctx context.Context, handle string) (int, error)
	// Signal sends a signal to the process. It is no error when that has ended.
	Signal(ctx context.Context, handle, signal string) error
	// Remove ends the container, whatever it does, and leaves nothing of it. It is
	// no error when there is none.
	Remove(ctx context.Context, handle string) error
	// Sweep removes what other sessions than this have left of executions and slots
	// of this workspace, and returns their names. It removes nothing of others.
	Sweep(ctx context.Context, session string) ([]string, error)
	// Used is how many bytes a named volume holds; 0 where there is none.
	Used(ctx context.Context, volume string) (int64, error)
}

// The signals.
const (
	Terminate = "SIGTERM"
	Kill      = "SIGKILL"
)

// Attached is a connection to the streams of a process. It is an alias, so that a
// runtime need not know this package.
type Attached = interface {
	// Write writes to stdin. It fails once nobody reads that any more.
	io.Writer
	// CloseWrite ends stdin.
	CloseWrite() error
	// Wait returns once the process has ended and all that it wrote was passed on,
	// or the connection is closed. An error says that some of it may be missing.
	Wait() error
	// Close ends the connection. It may be called at any time, and more than once,
	// and has Write, Wait and what they wait for return.
	Close() error
}
