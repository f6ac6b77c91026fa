// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"reconcile/helper"
)

const (
	// grace is what the rest gets between SIGTERM and SIGKILL when the main
	// process has ended.
	grace = 5 * time.Second
	// A process that is kept running starts again after firstDelay, each time
	// twice as late up to maxDelay, and anew after stable uptime.
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	stable     = time.Minute
)

// runInit is PID 1. It returns the container's exit status.
func runInit(c helper.Config, logger *slog.Logger, stderr io.Writer) int {
	if c.Liveness != nil || c.Readiness != nil {
		relax()
	}
	fail := func(err error) int {
		fmt.Fprintf(stderr, "agent-server: %v\n", err)
		return exitStatus(err)
	}
	signals := make(chan os.Signal, 32)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1,
		syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGWINCH)
	harden()
	if err := adoptOrphans(); err != nil {
		logger.Warn("orphans will not be reaped", "err", err)
	}
	if err := setDefaultPath(); err != nil {
		return fail(err)
	}
	if c.Task != nil {
		return runTask(c, signals, logger, stderr)
	}
	if err := enterCode(); err != nil {
		return fail(err)
	}
	in := &initProcess{config: c, family: newFamily(), log: logger}
	if len(c.Beside) > 0 {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return fail(err)
		}
		defer null.Close()
		in.beside = keeper{name: "beside", argv: c.Beside, files: [3]uintptr{null.Fd(), 1, 2}}
	}
	if len(c.Main) > 0 {
		in.main = keeper{name: "main", argv: c.Main, files: [3]uintptr{0, 1, 2}}
	} else {
		in.main = keeper{name: "supervisor", argv: []string{self(), "serve"}, files: [3]uintptr{0, 1, 2}}
		in.keepMain = true
	}
	status, err := in.run(signals)
	if err != nil {
		return fail(err)
	}
	return status
}

// runTask is runInit for a command that runs once, where the image has it run.
func runTask(c helper.Config, signals <-chan os.Signal, logger *slog.Logger, stderr io.Writer) int {
	argv := c.Main
	if len(argv) == 0 {
		argv = []string{""} // which cannot be started, and is said so
	}
	r := &taskRun{
		task: *c.Task, argv: argv, outcome: helper.OutcomeFile,
		family: newFamily(), signals: signals, log: logger, stderr: stderr,
	}
	return r.run()
}

// self is the path of this very program.
func self() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return os.Args[0] // no /proc
}

// enterCode makes the agent's folder the current one, when there is such a
// folder.
func enterCode() error {
	err := os.Chdir(codePath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &statusError{exitCannotRun, err}
	}
	return nil
}

type initProcess struct {
	config   helper.Config
	family   *family
	log      *slog.Logger
	main     keeper
	keepMain bool // main is the default supervisor, started again when it crashes
	beside   keeper
}

// run returns the main process's status, once everything else has ended too.
func (in *initProcess) run(signals <-chan os.Signal) (int, error) {
	if err := in.main.start(in.family); err != nil {
		return 0, err
	}
	takeTerminal(in.main.proc)
	in.startBeside()
	defer func() { in.family.end(grace, in.main.proc, in.beside.proc) }()
	defer startHealth(in.config, in.family, helper.Socket)()

	stopping := false
	for {
		select {
		case s := <-signals:
			sig := s.(syscall.Signal)
			stopping = stopping || slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, sig)
			if in.keepMain && stopping && in.main.waits() {
				return 0, nil
			}
			if !in.main.waits() {
				in.main.proc.signal(sig)
			}
		case status := <-in.main.done():
			if !in.keepMain || stopping || status.ExitStatus() == exitUsage {
				return code(status), nil
			}
			in.again(&in.main, describe(status))
		case status := <-in.beside.done():
			in.again(&in.beside, describe(status))
		case <-in.main.due:
			if err := in.main.start(in.family); err != nil {
				in.again(&in.main, err.Error())
			}
		case <-in.beside.due:
			in.startBeside()
		}
	}
}

func (in *initProcess) startBeside() {
	if len(in.beside.argv) == 0 {
		return
	}
	if err := in.beside.start(in.family); err != nil {
		in.again(&in.beside, err.Error())
	}
}

func (in *initProcess) again(k *keeper, why string) {
	delay := k.restartLater()
	in.log.Warn(k.name+" process ended, starting it again", "why", why, "in", delay, "command", strings.Join(k.argv, " "))
}

// keeper is a process and, while it is not running, the time of its next start.
type keeper struct {
	name  string
	argv  []string
	files [3]uintptr
	proc  *process // the latest one
	due   <-chan time.Time
	delay time.Duration
}

func (k *keeper) start(f *family) error {
	k.due, k.proc = nil, nil
	path, err := lookUp(k.argv[0])
	if err != nil {
		return err
	}
	proc, err := f.start(path, k.argv, k.files)
	if err != nil {
		return explainStart(path, err)
	}
	k.proc = proc
	return nil
}

// done never yields while the process does not run.
func (k *keeper) done() <-chan syscall.WaitStatus {
	if k.proc == nil || k.waits() {
		return nil
	}
	return k.proc.done
}

// waits says that the process is not running but due to start.
func (k *keeper) waits() bool { return k.due != nil }

// restartLater sets the time of the next start and returns how far it is.
func (k *keeper) restartLater() time.Duration {
	switch {
	case k.delay == 0, k.proc != nil && time.Since(k.proc.started) >= stable:
		k.delay = firstDelay
	default:
		k.delay = min(2*k.delay, maxDelay)
	}
	k.due = time.After(k.delay)
	return k.delay
}

// code is the exit status a shell would report.
func code(s syscall.WaitStatus) int {
	if s.Signaled() {
		return exitSignal + int(s.Signal())
	}
	return s.ExitStatus()
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}
