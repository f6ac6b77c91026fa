// SPDX-License-Identifier: Apache-2.0

// Command reconcile makes the containers of a host match a directory of agent
// manifests. It is the only place that knows all packages: it reads flags,
// wires the parts together and renders what they return.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"reconcile/hooks"
	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

// version is set by the build.
var version = "dev"

func main() {
	workspace.MaybeServeCUE()
	hooks.MaybeServe()
	if os.Getenv("GOGC") == "" {
		// A pass lives for a moment and has a small heap: collecting it as often
		// as a server would costs a fifth of its time.
		debug.SetGCPercent(400)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the program at once
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// stdio is where a command reads and writes: results to out, everything else
// to err.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// files are the regular files that are printed to.
func (s stdio) files() []fs.FileInfo {
	var out []fs.FileInfo
	for _, w := range []io.Writer{s.out, s.err} {
		f, ok := w.(*os.File)
		if !ok {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			out = append(out, info)
		}
	}
	return out
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, std stdio) int {
	a := &app{std: std, lookupEnv: os.LookupEnv}
	cmd := newRootCommand(a)
	cmd.SetArgs(args)
	cmd.SetIn(std.in)
	cmd.SetOut(std.out)
	cmd.SetErr(std.err)
	err := cmd.ExecuteContext(ctx)
	a.close()
	var code exitCode
	switch {
	case err == nil:
		return plan.ExitDone
	case errors.As(err, &code):
		return int(code)
	default:
		for _, one := range apart(err) {
			fmt.Fprintln(std.err, "error: "+escapeLines(one.Error()))
		}
		return plan.ExitFault
	}
}

// apart takes joined errors apart.
func apart(err error) []error {
	all, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // only what is joined itself
	if !ok {
		return []error{err}
	}
	if joined := errors.Join(all.Unwrap()...); joined == nil || joined.Error() != err.Error() {
		return []error{err} // it says more than its parts
	}
	return all.Unwrap()
}

// exitCode is returned by a command that has already said everything.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// exitWith is nil for code 0.
func exitWith(code int) error {
	if code == plan.ExitDone {
		return nil
	}
	return exitCode(code)
}
