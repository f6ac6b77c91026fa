// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"reconcile/podman"
	"reconcile/reconcile/plan"
)

// inside is what a session runs, in which container of which workspace.
type inside struct {
	src    source
	object plan.Object
}

// enter runs a command in the running container that name means, connected to
// this process, and ends with its exit code. A terminal on both sides becomes one
// in the container. choose says which command.
func (a *app) enter(ctx context.Context, name string, choose func(inside) ([]string, error)) error {
	src, archive, err := a.loadToLook(ctx)
	if err != nil {
		return err
	}
	rt, err := podman.Open(ctx, a.podmanOptions(archive.Owner()))
	if err != nil {
		return err
	}
	defer rt.Close()
	// What exists is asked for, not what should, as for logs.
	o, err := rt.Observe(ctx, plan.Desired{Workspace: src.name, Root: src.root})
	if err != nil {
		return err
	}
	records, err := archive.Load()
	if err != nil {
		return err
	}
	obj, err := runningObject(name, o.Objects, runsHere(records, o.Objects), desiredIDs(src.Desired))
	if err != nil {
		return err
	}
	argv, err := choose(inside{src, obj})
	if err != nil {
		return err
	}
	return a.runSession(ctx, rt, obj, argv)
}

// runningObject finds the running container that NAME means; of several
// generations, or runs, the newest.
func runningObject(name string, objects []plan.Object, runs []runHere, desired []plan.ID) (plan.Object, error) {
	obj, found, err := objectOrRun(name, objects, runs, desired)
	if err != nil {
		return plan.Object{}, err
	}
	if found != nil {
		return found.running(runs)
	}
	best := plan.Object{}
	for _, o := range objects {
		if o.ID == obj.ID && o.Role == plan.RoleInstance && o.State == plan.StateRunning && (best.Handle == "" || o.Created.After(best.Created)) {
			best = o
		}
	}
	if best.Handle != "" {
		return best, nil
	}
	state := string(obj.State)
	if obj.State == plan.StateExited {
		state = fmt.Sprintf("exited (%d)", obj.ExitCode)
	}
	return plan.Object{}, fmt.Errorf("%s is not running: it is %s; `reconcile status %[1]s` says why", obj.ID, state)
}

// running is the container of a run that goes on, or of one that has ended and is
// kept alive for people.
func (n namedRun) running(runs []runHere) (plan.Object, error) {
	for _, r := range runsOf(n.id, runs) {
		if r.object.State == plan.StateRunning && (n.run == "" || r.state.Key == n.run) {
			return r.object, nil
		}
	}
	run, err := pickRun(n.id, n.run, runs)
	if err != nil {
		return plan.Object{}, err
	}
	phase := string(cmp.Or(run.state.Phase, plan.RunPending))
	if why := runReason(run.state); why != "" {
		phase += " (" + why + ")"
	}
	hint := ""
	if run.state.Ended() {
		hint = "; humanInTheLoop keeps the container of a run for a while after its end"
	}
	return plan.Object{}, fmt.Errorf("%s is not running: it is %s%s", run.ref(), phase, hint)
}

// runSession runs argv in a container and returns its exit code as an error.
func (a *app) runSession(ctx context.Context, rt *podman.Runtime, obj plan.Object, argv []string) error {
	// The console knows which signal it was.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	o := podman.SessionOptions{Command: argv, Stdout: a.std.out, Stderr: a.std.err}
	if a.std.in != nil {
		in, err := newSessionInput(a.std.in)
		if err != nil {
			return err
		}
		defer in.release()
		o.Stdin = in
	}
	console, err := a.openConsole(cancel)
	if err != nil {
		return err
	}
	defer console.close()
	if console.sizes != nil {
		o.Terminal, o.Sizes = true, console.sizes
		if term, ok := a.lookupEnv("TERM"); ok && term != "" {
			o.Env = append(o.Env, "TERM="+term)
		}
	}
	code, err := rt.Session(ctx, obj, o)
	console.close()
	var s *signalled
	switch {
	case errors.As(err, &s):
		fmt.Fprintf(a.std.err, "%s: what ran in %s is ended\n", s, escape(obj.ID.String()))
		return exitCode(s.code())
	case err != nil:
		return err
	}
	return exitWith(code)
}

// sessionInput is the standard input of a session. It can be closed while it is
// read, and reads nothing that the session does not take.
type sessionInput interface {
	io.ReadCloser
	release() // when nobody reads any more
}

func newSessionInput(in io.Reader) (sessionInput, error) {
	f, ok := in.(*os.File)
	if !ok {
		return plainInput{in}, nil
	}
	return newPolledInput(f)
}

// plainInput is an input that is no file: it ends by itself.
type plainInput struct{ io.Reader }

func (plainInput) Close() error { return nil }
func (plainInput) release()     {}

// cliOf is the command that an instance's manifest has as its command line; ""
// when it has none.
func (s source) cliOf(id plan.ID) (string, error) {
	if s.Graph != nil {
		for _, n := range s.Graph.Nodes {
			if n.ID == id {
				return n.CLI, nil
			}
		}
	}
	if s.Fatal {
		return "", errors.New("the workspace has mistakes, so that nobody knows the agent's command line; `reconcile validate` names them")
	}
	return "", nil
}
