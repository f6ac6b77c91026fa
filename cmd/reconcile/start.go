// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"reconcile/reconcile/plan"
)

const operateText = `
Without NAME it is about all instances. What is asked for is written down, and
the daemon, if one runs, or else a pass of this command carries it out: with
whatever else there is to do. The exit code is 0 when it came true for each NAME,
whatever became of others. Git remotes are not asked.`

// newOperateCommands are the commands that ask for something to be done with
// instances.
func newOperateCommands(a *app) []*cobra.Command {
	var out []*cobra.Command
	for _, c := range []struct{ verb, short, long string }{
		{verbStart, "Start instances that were stopped, or that crash", `Has instances run again that ` + "`reconcile stop`" + ` stopped, and starts those at once
that wait for the end of their CrashLoopBackOff, which begins anew. A TaskAgent
takes requests again.`},
		{verbStop, "Stop instances until they are started again", `Stops instances. They stay stopped, whatever else changes and also over a restart
of the daemon, until ` + "`reconcile start`" + `. Their containers are kept. A TaskAgent takes
no requests then, and follows no schedule; what goes on of it ends by itself.

A Task or a CronTask that is named is stopped for this run alone, which has failed
then; what waits for its turn is not run. The name of a run will do, while no other
of its CronTask goes on.`},
		{verbRestart, "Stop and start instances", `Stops and starts the containers of instances. What was stopped is started. Of a
TaskAgent the containers are made anew that wait for requests.`},
		{verbRefresh, "Replace the containers of instances by new ones", `Replaces the containers of instances by new ones, though nothing in the workspace
has changed. What was stopped stays so. A TaskAgent gets a new revision.`},
	} {
		out = append(out, &cobra.Command{
			Use:     c.verb + " [NAME...]",
			Short:   c.short,
			Long:    c.long + "\n" + operateText,
			Example: "  reconcile " + c.verb + " explorer worker",
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := a.check(formatText, formatJSON); err != nil {
					return err
				}
				return a.operateOn(cmd.Context(), c.verb, args)
			},
		})
	}
	return out
}

func (a *app) operateOn(ctx context.Context, verb string, names []string) error {
	src, err := a.loadHere(ctx)
	if err != nil {
		return err
	}
	all, err := a.operable(ctx, src)
	if err != nil {
		return err
	}
	ids, err := a.pickIDs(ctx, src, verb, names, all)
	if err != nil {
		if src.Fatal {
			a.printDiagnostics(src.Diagnostics)
		}
		return err
	}
	if verb == verbStop && len(names) > 0 {
		if ids, err = a.withoutEnded(ctx, src, ids); err != nil || len(ids) == 0 {
			return err
		}
	}
	return a.operate(ctx, src, &wish{verb: verb, ids: ids})
}

// pickIDs are the instances that the names mean; none = all.
func (a *app) pickIDs(ctx context.Context, src source, verb string, names []string, all []plan.ID) ([]plan.ID, error) {
	if len(names) == 0 {
		if len(all) == 0 {
			return nil, fmt.Errorf("there is nothing to %s", verb)
		}
		return all, nil
	}
	if verb == verbStop {
		all = append(all, src.tasks()...)
	}
	var ids []plan.ID
	var errs []error
	for _, name := range names {
		id, err := a.pickID(ctx, src, verb, name, all)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, errors.Join(errs...)
}

// pickID is the one of all that a name means, or why there is none.
func (a *app) pickID(ctx context.Context, src source, verb, name string, all []plan.ID) (plan.ID, error) {
	id, err := findID(name, all)
	if err == nil {
		return id, nil
	}
	if other, otherErr := findID(name, desiredIDs(src.Desired)); otherErr == nil && isTask(other) {
		return plan.ID{}, errOnlyRuns(other)
	} else if otherErr == nil {
		return plan.ID{}, fmt.Errorf("%s cannot be asked for: only agents that run on and on can", other)
	}
	run, _, ok := a.runCalled(src, name, nil)
	switch {
	case ok && verb == verbStop:
		return a.stoppedWith(ctx, src, name)
	case ok:
		return plan.ID{}, errOnlyRuns(run.id)
	case name == agentWord:
		return plan.ID{}, fmt.Errorf("%w; without any NAME all instances are meant", err)
	}
	return plan.ID{}, err
}
