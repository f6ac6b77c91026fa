// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
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
	// addresses of the result, before the first container is there and after the
	// last one is gone. Network is that of the agents' specs, never "".
	Listen(ctx context.Context, network string) (*Listening, error)
	// Create makes a container that is initialised: its network is up, its
	// addresses are known, and its process is not started. When it fails, nothing
	// is left. What ctx cuts is as what fails.
	Create(ctx context.Context, l Launch) (Container, error)
	// Attach connects to the streams of a container that is not started, so that
	// nothing is lost of them. What the process writes is written to stdout and
	// stderr as it comes, which do not block and do not fail. It is called once for
	// a container. Ctx bounds the connecting alone.
	Attach(ctx context.Context, handle string, stdout, stderr io.Writer) (Attached, error)
	// Start starts the process.
	Start(ctx context.Context, handle string) error
	// Wait returns the exit status of a process that was started once it has ended:
	// 128 and the number of the signal where one ended it. The error is [ErrGone]
	// where the container was removed before.
	Wait(ctx context.Context, handle string) (int, error)
	// Signal sends a signal to the process. It is no error when that has ended.
	Signal(ctx context.Context, handle string, s Signal) error
	// Remove ends the container, whatever it does, and leaves nothing of it. It is
	// no error when there is none.
	Remove(ctx context.Context, handle string) error
	// Sweep removes what other sessions than this have left of executions and slots
	// of this workspace, and returns their names. It removes nothing of others.
	Sweep(ctx context.Context, session string) ([]string, error)
	// Used is how many bytes a named volume holds; 0 where there is none.
	Used(ctx context.Context, volume string) (int64, error)
}

// ErrGone is the error of [Runtime.Wait] for a container that is not there.
var ErrGone = errors.New("the container is gone")

// Signal is a signal to a process.
type Signal string

// The signals.
const (
	Terminate Signal = "SIGTERM"
	Kill      Signal = "SIGKILL"
)

// Role says what a container was made for. It is its label reconcile.role.
type Role string

// The roles.
const (
	RoleExecution Role = "execution" // one execution
	RoleSlot      Role = "slot"      // an execution that will come
)

// Launch is what a container is made of.
type Launch struct {
	Agent     plan.ID
	Role      Role
	Session   string // that it belongs to
	Name      string // begins the name of the container, see plan.Dispatch
	Key       string // 16 hex digits, new for each container: for the rest of it
	Execution string // the id of the execution, up to 128 printable ASCII characters; "" for a slot
	Revision  string // as in word-count-00003
	// Spec is how the container is to be. It is shared, and not to be changed.
	Spec *plan.ContainerSpec
	// Image is what Spec.Image is bound to, see plan.Revision.Image; "" = it was not
	// known.
	Image string
	// Env are variables beside those of Spec, which come later and win.
	Env []plan.EnvVar
	// Stdin: the process reads what [Attached] writes; without it, it reads the end
	// of a file at once.
	Stdin bool
}

// Container is one that was created.
type Container struct {
	Handle string
	// Addresses are all that the container has in the network: what comes from it
	// comes from one of them, at the listeners of [Runtime.Listen]. They are empty
	// for one without a network.
	Addresses []netip.Addr
}

// Attached is a connection to the streams of a process.
type Attached interface {
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

// Listening is how the host is heard in a network.
type Listening struct {
	// Listeners take what comes from the network. The remote address of their
	// connections is that of the container which made them, also where something
	// stands in between.
	Listeners []net.Listener
	// V4 and V6 are host:port, as containers reach it; "" where the network has no
	// such addresses.
	V4, V6 string
	// Close ends what Listeners need, after they are closed; nil = nothing.
	Close func() error
}
