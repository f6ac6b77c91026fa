// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"reconcile/reconcile"
)

func newWatchCommand(a *app) *cobra.Command {
	var stopOnExit bool
	var drain time.Duration
	cmd := &cobra.Command{
		Use:   "watch [WORKSPACE]",
		Short: "Keep this host as the workspace says, until told to end",
		Long: `Converges, and again whenever a file of the workspace changes, a commit arrives,
a container ends or is meddled with, and once a minute in any case. WORKSPACE is
a directory, or URL[#REF][:FOLDER] of one in git, which is asked for new commits
every --poll.

What runs goes on when the workspace has mistakes, when a remote does not answer,
and when the daemon ends.

SIGHUP looks now, remotes included; SIGTERM and Ctrl-C end the daemon and leave
the agents running, unless --stop-on-exit is given. Executions of TaskAgents may
go on for --drain-timeout then; a second signal ends them at once. Results of
passes go to stdout, everything else to stderr; -o json prints one record a line
and pass.`,
		Example: `  reconcile watch
  reconcile watch https://git.example.org/acme.git#main --poll 1m`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeWorkspace(cmd, args); err != nil {
				return err
			}
			if err := a.check("text", "json"); err != nil {
				return err
			}
			if err := a.checkWatch(drain); err != nil {
				return err
			}
			return a.watch(cmd.Context(), stopOnExit, drain)
		},
	}
	a.addPassFlags(cmd.Flags())
	a.addWatchFlags(cmd.Flags())
	cmd.Flags().BoolVar(&stopOnExit, "stop-on-exit", false, "stop the agents when the daemon ends")
	cmd.Flags().DurationVar(&drain, "drain-timeout", defaultDrain, "how long executions of TaskAgents may go on when the daemon is told to end")
	return cmd
}

func (a *app) addWatchFlags(fs *pflag.FlagSet) {
	fs.DurationVar(&a.poll, "poll", defaultPoll, "how often remotes are asked for new commits")
	a.listen.add(fs)
	a.webhook.add(fs)
	a.report.add(fs)
}

// checkWatch looks at the flags that a daemon alone has.
func (a *app) checkWatch(drain time.Duration) error {
	if a.poll <= 0 {
		return fmt.Errorf("--poll: %v is not positive", a.poll)
	}
	if drain <= 0 {
		return fmt.Errorf("--drain-timeout: %v is not positive", drain)
	}
	return errors.Join(a.listen.check(), a.webhook.check())
}

// daemonCommand is what a daemon calls itself in the workspace's lock.
const daemonCommand = "reconcile watch"

// watch is the daemon from its beginning to its end.
func (a *app) watch(ctx context.Context, stopOnExit bool, drain time.Duration) error {
	d, err := a.newDaemon(stopOnExit)
	if err != nil {
		return err
	}
	d.drain, d.again = drain, make(chan os.Signal, 2)
	signal.Notify(d.again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(d.again)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return d.run(ctx, hup)
}

// run serves until the daemon ended: whoever asks it something then gets an
// answer for as long as there is one to give.
func (d *daemon) run(ctx context.Context, hup <-chan os.Signal) error {
	servers := newGroup(context.WithoutCancel(ctx))
	defer servers.end()
	if err := d.serve(servers); err != nil {
		return err
	}
	servers.run("signals to end", d.obeyAgain)
	servers.run("watchdog", d.feedWatchdog) // also while the workspace's name is not known, and while executions end
	parts := newGroup(ctx)
	defer parts.end()
	// A server that fails ends the rest as well.
	defer context.AfterFunc(servers.ctx, func() { parts.cancel(context.Cause(servers.ctx)) })()
	defer context.AfterFunc(parts.ctx, d.ending)()

	parts.run("save memory", d.thrift.run)
	parts.run("watch folders", d.watcher.Run)
	parts.run("ask remotes", d.feed.Run)
	err := d.converge(parts, hup)
	parts.end()
	return errors.Join(err, parts.failure())
}

// converge finds out which workspace it is, takes it, and runs the loop until
// the context of the group ends.
func (d *daemon) converge(parts *group, hup <-chan os.Signal) error {
	defer close(d.drained)
	ctx := parts.ctx
	name, err := d.awaitName(ctx, hup)
	if err != nil || ctx.Err() != nil {
		return err
	}
	dir := d.app.workspaceDir(name)
	lock, err := d.awaitLock(ctx, dir, name)
	if err != nil || lock == nil {
		return err
	}
	defer lock.Release()
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		return err
	}
	rt := d.newRuntime(store)
	defer rt.close()
	if d.report, err = d.newReporter(name); err != nil {
		return err
	}
	defer d.report.close()

	dispatcher, err := d.newDispatcher(name, rt)
	if err != nil {
		return err
	}
	d.agents.open(dispatcher, store)
	d.routes.open(rt)
	routed := routedRuntime{rt, d.routes}
	recording := recordingStore{store, &d.agents}
	loop := d.newLoop(routed, recording)
	d.begin(name, loop, routed, recording)
	parts.run("read Podman's events", func(ctx context.Context) error { return d.hear(ctx, rt) })
	parts.run("signals", func(ctx context.Context) error { return d.obeySignals(ctx, hup) })
	// What goes on is looked after for as long as executions do.
	looping, endLoop := context.WithCancel(context.WithoutCancel(ctx))
	defer endLoop()
	parts.run("executions", func(ctx context.Context) error {
		defer endLoop()
		return d.dispatches(ctx, dispatcher)
	})
	err = loop.Run(looping)
	parts.end()
	if err != nil && ctx.Err() == nil {
		return err
	}
	if d.stopOnExit {
		return d.stopAll(context.WithoutCancel(ctx), routed, store)
	}
	return nil
}

// awaitLock takes the lock of the workspace: from another daemon it takes nothing,
// a command it lets finish. The lock is nil where ctx ended first.
func (d *daemon) awaitLock(ctx context.Context, dir, name string) (*reconcile.Lock, error) {
	for told := false; ; told = true {
		lock, err := reconcile.TakeLock(dir, name, reconcile.Holder{PID: os.Getpid(), Command: daemonCommand, Since: d.began})
		held, ok := errors.AsType[*reconcile.LockedError](err)
		if !ok || held.Holder.Command == daemonCommand {
			return lock, err
		}
		if !told {
			d.journal.say("waiting: %v", held)
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, nil
		}
	}
}
