// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"time"

	"reconcile/helper"
)

const (
	// timeoutGrace is what the command of a task gets between SIGTERM and SIGKILL
	// when it takes too long.
	timeoutGrace = 10 * time.Second
	// stopGrace is the same for a command that is told to end from outside: less
	// than the 10 s after which Podman kills us, so that its end is written down.
	stopGrace = 8 * time.Second
)

// taskRun runs the command of a task once.
type taskRun struct {
	task    helper.Task
	argv    []string
	outcome string // file
	family  *family
	signals <-chan os.Signal
	log     *slog.Logger
	stderr  io.Writer

	proc     *process  // nil = it could not be started
	told     bool      // to end, from outside
	deadline time.Time // of those who were told to end; zero = nobody was
}

// run returns the container's exit status, which is the command's.
func (r *taskRun) run() int {
	end := r.command()
	if err := writeOutcome(r.outcome, end); err != nil {
		r.log.Warn("the end of the task cannot be written down", "err", err)
	}
	if end.Timeout {
		r.endRest()
	}
	r.stay(end)
	r.family.end(r.patience(), r.proc)
	return end.Code
}

// command runs the command and returns how it ended.
func (r *taskRun) command() helper.Outcome {
	if err := r.start(); err != nil {
		fmt.Fprintf(r.stderr, "agent-server: %v\n", err)
		return helper.Outcome{Code: exitStatus(err), Finished: time.Now().UTC()}
	}
	timer := time.NewTimer(r.task.Timeout)
	if r.task.Timeout == 0 {
		timer.Stop()
	}
	defer timer.Stop()
	var timeout bool
	for {
		select {
		case status := <-r.proc.done:
			end := helper.Outcome{Code: code(status), Timeout: timeout, Finished: time.Now().UTC()}
			if timeout {
				end.Code = exitTimeout
			}
			return end
		case s := <-r.signals:
			r.proc.signal(s.(syscall.Signal))
			if endsTask(s) && !r.told {
				r.told = true
				timer.Reset(r.within(stopGrace))
			}
		case <-timer.C:
			switch {
			case len(r.proc.done) > 0: // it was in time after all
			case !r.deadline.IsZero():
				r.kill()
			default:
				timeout = true
				r.log.Warn("the command takes too long and is ended", "timeout", r.task.Timeout)
				r.terminate()
				timer.Reset(r.within(timeoutGrace))
			}
		}
	}
}

// start starts the command where we are, with nothing to read.
func (r *taskRun) start() error {
	path, err := lookUp(r.argv[0])
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return &statusError{exitCannotRun, err}
	}
	defer null.Close()
	if r.proc, err = r.family.start(path, r.argv, [3]uintptr{null.Fd(), 1, 2}); err != nil {
		return explainStart(path, err)
	}
	return nil
}

// within sets the deadline, unless there is an earlier one, and returns how far
// it is.
func (r *taskRun) within(d time.Duration) time.Duration {
	if next := time.Now().Add(d); r.deadline.IsZero() || next.Before(r.deadline) {
		r.deadline = next
	}
	return r.patience()
}

// patience is what whoever is left gets between SIGTERM and SIGKILL.
func (r *taskRun) patience() time.Duration {
	if r.deadline.IsZero() {
		return grace
	}
	return max(time.Until(r.deadline), 0)
}

// terminate tells the command, and all that it has started, to end.
func (r *taskRun) terminate() {
	told := descendants()
	r.proc.signal(syscall.SIGTERM) // also where nobody can be seen, for want of /proc
	r.proc.signal(syscall.SIGCONT) // a stopped one could not act on the first
	for pid := range told {
		if group, err := syscall.Getpgid(pid); err == nil && group != r.proc.pid {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// kill ends the command and all that it has started. Its end comes through done.
func (r *taskRun) kill() {
	r.proc.signal(syscall.SIGKILL)
	crowd(descendants).end(0)
}

// endRest ends what a command left that took too long.
func (r *taskRun) endRest() {
	if rest := crowd(descendants); !rest.gone(r.patience()) {
		rest.end(0)
	}
}

// stay keeps the container until the keep-alive is over, or somebody tells it to
// end. What the command left goes on meanwhile.
func (r *taskRun) stay(end helper.Outcome) {
	if r.told || r.task.KeepAlive == 0 {
		return
	}
	r.log.Info("the command has ended, the container stays", "status", end.Code, "keepAlive", r.task.KeepAlive)
	over := time.NewTimer(time.Until(end.Finished.Add(r.task.KeepAlive)))
	defer over.Stop()
	for {
		select {
		case <-over.C:
			return
		case s := <-r.signals:
			if endsTask(s) {
				return
			}
		}
	}
}

// endsTask says that s tells the container to end: the stop signal of an image is
// one of them.
func endsTask(s os.Signal) bool {
	return slices.Contains([]os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, s)
}
