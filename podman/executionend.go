// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"
)

// Start starts the process, if what is attached to it is still heard: the service
// would make a process that has ended already anew for who comes late.
func (x *Executions) Start(ctx context.Context, handle string) error {
	e, err := x.find(handle)
	if err != nil {
		return err
	}
	if e.stream != nil && e.stream.lost() {
		return fmt.Errorf("the connection to %s was lost before its start: %w", shortID(handle), net.ErrClosed)
	}
	err = containers.Start(x.rt.with(ctx), handle, nil)
	switch {
	case notFound(err):
		return fmt.Errorf("the container %s is gone: %w", shortID(handle), fs.ErrNotExist)
	case err != nil:
		return oneLine(x.rt.explain("start "+shortID(handle), err))
	}
	return nil
}

const (
	// soonest and latest are how often it is looked whether a process has ended.
	soonest = time.Millisecond
	latest  = 200 * time.Millisecond
	// goesOn is after how many looks, and after which time, a process goes on whose
	// output has ended.
	goesOn     = 20
	goesOnTime = 5 * time.Second
	// lostTimeout is how long nothing may be heard of the service.
	lostTimeout = 30 * time.Second
)

// Wait returns the exit status of a process that was started, once it has ended.
func (x *Executions) Wait(ctx context.Context, handle string) (int, error) {
	if e, _ := x.find(handle); e.stream != nil {
		s := e.stream
		select {
		case <-s.ended:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		if s.known {
			return s.code, nil
		}
	}
	code, _, err := x.poll(ctx, handle, 0)
	if err != nil {
		return 0, oneLine(err)
	}
	return code, nil
}

var (
	errGoesOn  = errors.New("the process goes on")
	errUnheard = errors.New("the service does not answer")
)

// poll looks until a process has ended, and returns its exit status, and for how long
// it was seen to go on. After so many looks it is an error that it does, and so is a
// service that does not answer; 0 = neither is.
func (x *Executions) poll(ctx context.Context, handle string, looks int) (code int, went time.Duration, err error) {
	begun, heard, next := time.Now(), time.Now(), soonest
	for look := 1; ; look++ {
		link, asked := x.rt.link.Load(), time.Now()
		c, err := containers.Inspect(x.rt.with(ctx), handle, nil)
		switch {
		case ctx.Err() != nil:
			return 0, 0, context.Cause(ctx)
		case notFound(err), says(err, "container not known"): // its storage went along with its image
			return 0, 0, fmt.Errorf("the container %s is gone: %w", shortID(handle), fs.ErrNotExist)
		case err != nil && looks > 0 && isLost(err):
			return 0, 0, errUnheard
		case err != nil && (!isLost(err) || time.Since(heard) > lostTimeout):
			return 0, 0, x.rt.explain("wait for "+shortID(handle), err)
		case err != nil:
			x.rt.lost(ctx, link, err)
		case over(c):
			return int(c.State.ExitCode), went, nil
		case looks > 0 && unstarted(c):
			return 0, 0, errGoesOn
		default:
			heard, went = time.Now(), asked.Sub(begun)
		}
		if looks > 0 && look >= looks && time.Since(begun) > goesOnTime {
			return 0, 0, errGoesOn
		}
		if !pause(ctx, next) {
			return 0, 0, context.Cause(ctx)
		}
		next = min(next*3/2, latest)
	}
}

// over reports whether the process of a container has ended.
func over(c *define.InspectContainerData) bool {
	return c.State.Status == "exited" || c.State.Status == "stopped"
}

// unstarted reports whether a container has a process that is not started.
func unstarted(c *define.InspectContainerData) bool {
	return c.State.Status == "created" || c.State.Status == "initialized"
}

// Signal sends a signal to the process.
func (x *Executions) Signal(ctx context.Context, handle, signal string) error {
	ctx = x.rt.with(ctx)
	err := containers.Kill(ctx, handle, new(containers.KillOptions).WithSignal(signal))
	if err == nil {
		return nil
	}
	if notFound(err) {
		return fmt.Errorf("the container %s is gone: %w", shortID(handle), fs.ErrNotExist)
	}
	if c, inspectErr := containers.Inspect(ctx, handle, nil); inspectErr == nil && c.State.Status != "running" {
		return nil
	}
	return oneLine(x.rt.explain("send "+signal+" to "+shortID(handle), err))
}

// lost reports whether err means that the service was lost, and is found again.
func (r *Runtime) lost(ctx context.Context, link *link, err error) bool {
	return isLost(err) && r.reopen(ctx, link) == nil
}
