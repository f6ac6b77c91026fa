// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
)

// LogOptions says which part of a log is wanted. The zero value is all of it.
type LogOptions struct {
	Follow     bool      // go on until the container ends or the context does
	Tail       int       // this many last lines only; 0 = all
	Since      time.Time // nothing older; zero = from the start
	Timestamps bool      // begin each line with its time
}

// Logs writes the log of the container with the handle. The two writers may be
// the same; they are not used concurrently. A context that is done ends a
// follow without an error.
func (r *Runtime) Logs(ctx context.Context, handle string, opt LogOptions, stdout, stderr io.Writer) error {
	// A follow holds its connection.
	conn, done, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	defer done()
	conn, cancel := context.WithCancel(conn)
	defer cancel()

	o := new(containers.LogOptions).WithStdout(true).WithStderr(true).WithFollow(opt.Follow).WithTimestamps(opt.Timestamps)
	if opt.Tail > 0 {
		o = o.WithTail(strconv.Itoa(opt.Tail))
	}
	if !opt.Since.IsZero() {
		o = o.WithSince(opt.Since.Format(time.RFC3339Nano))
	}
	out, errOut, ended := make(chan string), make(chan string), make(chan error, 1)
	go func() { ended <- containers.Logs(conn, handle, o, out, errOut) }()

	var failed error
	write := func(w io.Writer, line string) {
		if failed != nil {
			return // what comes is dropped, so that the sender sees that it is cancelled
		}
		if _, failed = io.WriteString(w, line); failed != nil {
			cancel()
		}
	}
	for {
		select {
		case line := <-out:
			write(stdout, line)
		case line := <-errOut:
			write(stderr, line)
		case err := <-ended:
			switch {
			case failed != nil:
				return fmt.Errorf("write log: %w", failed)
			case opt.Follow && ctx.Err() != nil:
				return nil
			case notFound(err):
				return fmt.Errorf("logs: no container %s", handle)
			}
			return r.explain("logs", err)
		}
	}
}
