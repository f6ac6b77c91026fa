// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/repos"
)

const (
	// lockPoll is how often a push that waits looks whether it is its turn.
	lockPoll = 200 * time.Millisecond
	// daemonWait is for how long a push waits for a daemon that has the workspace
	// and is not to be reached: it begins, or ends, or runs another repository.
	daemonWait  = time.Minute
	daemonTries = 3
)

// errMoved says that the branch has moved on since the workspace was loaded.
var errMoved = errors.New("the branch has moved on")

// deployPushed converges what was pushed, or has the daemon do it. By now the
// push cannot be refused any more; it ends when the pass does. A pusher who goes
// away does not stop it.
func (a *app) deployPushed(ctx context.Context, rc reception) error {
	if _, ok := rc.deployed(); !ok {
		for _, p := range rc.pushed {
			if branch, isBranch := strings.CutPrefix(p.ref, "refs/heads/"); isBranch && !p.gone() {
				fmt.Fprintf(a.std.err, "branch %s is stored; only %s deploys\n", escape(branch), escape(rc.settings.Branch))
			}
		}
		return nil
	}
	a.cause = reconcile.CausePush
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	leavePusher()
	a.std.out, a.std.err = newPusher(a.std.out), newPusher(a.std.err)
	d := deployment{a: a, rc: rc, began: time.Now()}
	for {
		again, err := d.try(ctx)
		if !again {
			return err
		}
	}
}

// deployment is one push on its way to the host.
type deployment struct {
	a      *app
	rc     reception
	began  time.Time
	waited bool // for another process that has the workspace
	left   int  // how often a daemon went away
	said   string
}

// say tells the pusher once.
func (d *deployment) say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != d.said {
		d.said = text
		fmt.Fprintln(d.a.std.err, escape(text))
	}
}

// try deploys the newest commit of the branch; again = somebody else came
// first, and it has to be looked at anew.
func (d *deployment) try(ctx context.Context) (again bool, err error) {
	a := d.a
	taken, err := d.handOver(ctx)
	if taken || err != nil {
		return false, err
	}
	src, err := a.loadSettled(ctx, reachFetch)
	if err != nil {
		return false, err
	}
	if code, ok := d.deployedMeanwhile(src); ok {
		return false, exitWith(code)
	}
	reporter, err := a.newCommitReporter(src.name, "")
	if err != nil {
		fmt.Fprintln(a.std.err, "warning: "+escape(err.Error())) // the push deploys all the same
	}
	defer reporter.close()
	out := &lastLine{w: a.std.out}
	a.std.out = out
	defer func() { a.std.out = out.w }()

	commit := src.Desired.Revision
	first := func() error {
		if tip, err := d.tip(); err != nil || tip != commit {
			return errors.Join(err, errMoved)
		}
		d.say("deploying commit %.12s of %s", commit, d.rc.settings.Branch)
		a.printDiagnostics(src.Diagnostics)
		reporter.began(commit)
		if src.checkout != nil {
			return src.checkout()
		}
		return nil
	}
	err = a.converge(ctx, src.Desired, src.Diagnostics, first, func() { a.saveCache(src.cache) })
	var locked *reconcile.LockedError
	switch {
	case errors.Is(err, errMoved):
		return true, nil
	case errors.As(err, &locked):
		return d.wait(ctx, src.name, locked)
	}
	reporter.ended(commit, exitCodeOf(err), summaryOf(out, err))
	return false, err
}

// tip is what the branch points to now.
func (d *deployment) tip() (string, error) {
	repo, err := repos.Open(d.rc.dir)
	if err != nil {
		return "", err
	}
	return repo.Commit(d.rc.ref())
}

// wait returns when the workspace may be free, or a daemon has it. A push that
// came later may then deploy first, and this one with it.
func (d *deployment) wait(ctx context.Context, workspace string, by *reconcile.LockedError) (again bool, err error) {
	d.waited = true
	for began := time.Now(); ; {
		daemon := by.Holder.Command == daemonCommand
		switch {
		case daemon && time.Since(began) > daemonWait:
			return false, fmt.Errorf("workspace %s is run by a daemon (pid %d) that does not watch %s; what was pushed is stored and not deployed",
				workspace, by.Holder.PID, d.rc.at.root())
		case by.Holder.PID != 0:
			d.say("waiting for pid %d (%s), which reconciles workspace %s", by.Holder.PID, by.Holder.Command, workspace)
		default:
			d.say("waiting for another process, which reconciles workspace %s", workspace)
		}
		select {
		case <-ctx.Done():
			return false, errors.New("interrupted while waiting; what was pushed is stored, and the next pass deploys it")
		case <-time.After(lockPoll):
		}
		if client, err := d.a.dialDaemon(ctx, d.rc.at.root()); err == nil && client != nil {
			return true, nil
		}
		lock, err := d.a.takeLock(workspace, "reconcile receive")
		if err == nil {
			return true, lock.Release()
		}
		if !errors.As(err, &by) {
			return false, err
		}
	}
}

// deployedMeanwhile reports whether the pass of another push, for which this
// one waited, has deployed the commit already, and that pass's exit code.
func (d *deployment) deployedMeanwhile(src source) (code int, ok bool) {
	if !d.waited {
		return 0, false
	}
	store, err := reconcile.OpenArchive(d.a.workspaceDir(src.name))
	if err != nil {
		return 0, false
	}
	last, err := store.History(1)
	if err != nil || len(last) == 0 {
		return 0, false
	}
	r := last[0]
	good := r.Result == reconcile.ResultConverged || r.Result == reconcile.ResultUnchanged
	if !good || r.Revision != src.Desired.Revision || r.Ended.Before(d.began) {
		return 0, false
	}
	fmt.Fprintf(d.a.std.out, "commit %.12s was deployed with another push (pass %d)\n", r.Revision, r.Number)
	return r.ExitCode, true
}

// handOver has the daemon deploy, if one runs. taken = it did, or refused, and
// there is nothing left to do.
func (d *deployment) handOver(ctx context.Context) (taken bool, err error) {
	a := d.a
	client, err := a.dialDaemon(ctx, d.rc.at.root())
	if client == nil || err != nil {
		return false, err
	}
	d.say("the daemon deploys what is pushed to %s", d.rc.settings.Branch)
	asked, err := a.passByDaemon(ctx, reconcile.CausePush)
	var code exitCode
	if !asked || err == nil || errors.As(err, &code) || ctx.Err() != nil {
		return asked, err
	}
	// It ended before it had an answer. Whoever is next does it.
	d.left++
	fmt.Fprintln(a.std.err, "warning: "+escapeLines(err.Error()))
	if d.left == daemonTries {
		return true, errors.New("the daemon does not deploy; what was pushed is stored, and the next pass deploys it")
	}
	return false, nil
}

// lastLine remembers the last line of what it passes on: the summary of a pass.
type lastLine struct {
	w    io.Writer
	line []byte
}

func (l *lastLine) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		if text := bytes.TrimSpace(line); len(text) > 0 {
			l.line = bytes.Clone(text)
		}
	}
	return l.w.Write(b)
}

// summaryOf is what a forge is told of a pass.
func summaryOf(out *lastLine, err error) string {
	var code exitCode
	if err != nil && !errors.As(err, &code) {
		return err.Error()
	}
	return string(out.line)
}

func exitCodeOf(err error) int {
	var code exitCode
	switch {
	case err == nil:
		return plan.ExitDone
	case errors.As(err, &code):
		return int(code)
	}
	return plan.ExitFault
}
