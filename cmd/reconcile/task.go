// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

func newTaskCommand(a *app) *cobra.Command {
	var rerun bool
	cmd := &cobra.Command{
		Use:   "task NAME",
		Short: "Show how a task is doing, or run it once more",
		Long: `Shows what status NAME does of a Task or a CronTask. With --rerun it is run once
more, whatever became of it before and whatever its schedule says: with the
contexts, the image and the secrets of now.

What is asked for is written down, and the daemon, if one runs, or else a pass of
this command carries it out. The exit code is 0 once the run was started; it is
not waited for. While a run of it goes on, or it is pending or queued, the exit
code is 1, and it is run as soon as that is over.`,
		Example: `  reconcile task update-dependencies
  reconcile task update-dependencies --rerun`,
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			if rerun {
				return a.rerunTask(cmd.Context(), args[0])
			}
			return a.status(cmd.Context(), statusOf{name: args[0], tasks: true})
		},
	}
	cmd.Flags().BoolVar(&rerun, "rerun", false, "run it once more")
	return cmd
}

func (a *app) rerunTask(ctx context.Context, name string) error {
	src, err := a.loadHere(ctx)
	if err != nil {
		return err
	}
	id, err := a.findTask(src, name, "`reconcile task %s --rerun` makes another")
	if err != nil {
		if src.Fatal {
			a.printDiagnostics(src.Diagnostics)
		}
		return err
	}
	return a.operate(ctx, src, &wish{verb: verbRerun, ids: []plan.ID{id}})
}

// findTask is the Task or CronTask that is meant. ofRun says what to do, with its
// name, where it is one of its runs that is named.
func (a *app) findTask(src source, name, ofRun string) (plan.ID, error) {
	id, err := findID(name, src.tasks())
	if err == nil {
		return id, nil
	}
	if other, otherErr := findID(name, desiredIDs(src.Desired)); otherErr == nil {
		return plan.ID{}, errNoTask(other)
	}
	if run, _, ok := a.runCalled(src, name, nil); ok {
		return plan.ID{}, fmt.Errorf("%s is a run of %s: "+ofRun, run.state.Name, run.id, run.id)
	}
	return plan.ID{}, err
}

// errNoTask is why a command that is for tasks has nothing to do with what has the ID.
func errNoTask(id plan.ID) error {
	if id.Kind == plan.TaskAgent {
		return fmt.Errorf("%s is no task: it runs on requests, and `reconcile invoke %s` makes one", id, nameOf(id))
	}
	return fmt.Errorf("%s is no task", id)
}

// runCalled is the run that is called so, with all that are known; objects are the
// containers that there are, as far as they count.
func (a *app) runCalled(src source, name string, objects []plan.Object) (run runHere, all []runHere, ok bool) {
	archive, err := reconcile.OpenArchive(a.workspaceDir(src.name))
	if err != nil {
		return runHere{}, nil, false
	}
	records, err := archive.Load()
	if err != nil {
		return runHere{}, nil, false
	}
	all = runsHere(records, objects)
	id, key, err := findRun(name, nil, all)
	if err != nil || key == "" {
		return runHere{}, nil, false
	}
	run, err = pickRun(id, key, all)
	return run, all, err == nil
}

// stoppedWith is what to stop for the run that is called name: its Task or CronTask,
// when no other run of that goes on.
func (a *app) stoppedWith(ctx context.Context, src source, name string) (plan.ID, error) {
	o, err := a.observeOnly(ctx, src)
	if err != nil {
		return plan.ID{}, err
	}
	run, all, ok := a.runCalled(src, name, o.Objects)
	if !ok {
		return plan.ID{}, fmt.Errorf("nothing is called %q", name)
	}
	others := slices.DeleteFunc(runsOf(run.id, all), func(r runHere) bool { return r.same(run) || !r.goesOn() })
	switch {
	case len(others) == 0:
		return run.id, nil
	case !run.goesOn():
		return plan.ID{}, fmt.Errorf("%s has ended, and others of %s go on: `reconcile stop %[2]s` stops them", run.state.Name, run.id)
	}
	return plan.ID{}, fmt.Errorf("%s is one of %d runs of %s that go on: `reconcile stop %[3]s` stops all of them, and `podman stop %s` this one",
		run.state.Name, len(others)+1, run.id, run.object.Name)
}

// tasks are the Tasks and CronTasks that are desired.
func (s source) tasks() []plan.ID {
	return slices.DeleteFunc(desiredIDs(s.Desired), func(id plan.ID) bool { return !isTask(id) })
}

// unmetRun is why a wish did not come true for a Task or CronTask; "" = it did.
func (w *wish) unmetRun(st reconcile.Status, r reconcile.PassResult) string {
	runs := runsOf(st.ID, runsHere(r.After.Records, r.After.Objects))
	if w.verb == verbStop {
		if slices.ContainsFunc(runs, func(run runHere) bool { return run.goesOn() || run.state.Phase == plan.RunRunning }) {
			return because(st, r)
		}
		return ""
	}
	for _, run := range runs {
		switch s := run.state; {
		case !s.Started.IsZero() && !s.Started.Before(w.at.Truncate(time.Microsecond)):
			return ""
		case s.Ended() && s.Started.IsZero() && !s.Finished.Before(w.at):
			return fmt.Sprintf("it is %s: %s", s.Phase, runReason(s))
		}
	}
	for _, run := range runs {
		if run.state.Phase == plan.RunRunning {
			return "its run goes on; it is run again after that"
		}
	}
	return because(st, r)
}

// nothingToStop reports whether a Task or CronTask neither runs nor is about to.
func nothingToStop(st reconcile.Status) bool {
	if slices.ContainsFunc(st.Runs, func(run reconcile.RunStatus) bool {
		return run.Phase == plan.RunRunning || run.Phase == plan.RunQueued || run.Actual == string(plan.StateRunning) || run.Actual == string(plan.StatePaused)
	}) {
		return false
	}
	return st.ID.Kind == plan.CronTask || st.Phase == plan.RunCompleted || st.Phase == plan.RunFailed
}

// withoutEnded leaves out the tasks of which there is nothing to stop, and says so:
// what is written down for them would stop a run that is yet to be asked for.
func (a *app) withoutEnded(ctx context.Context, src source, ids []plan.ID) ([]plan.ID, error) {
	if !slices.ContainsFunc(ids, isTask) || src.Fatal {
		return ids, nil
	}
	l, err := a.planLive(ctx, src.Desired)
	if err != nil {
		return nil, err
	}
	all := reconcile.Summarize(src.Desired, l.observed, l.plan)
	return slices.DeleteFunc(slices.Clone(ids), func(id plan.ID) bool {
		i := slices.IndexFunc(all, func(st reconcile.Status) bool { return st.ID.Compare(id) == 0 })
		if i < 0 || !isTask(id) || !nothingToStop(all[i]) {
			return false
		}
		fmt.Fprintf(a.std.err, "%s: there is nothing to stop: it is %s\n", escape(id.String()), all[i].State)
		return true
	}), nil
}

// errOnlyRuns is why a command that is for what runs on and on has nothing to do
// with a task.
func errOnlyRuns(id plan.ID) error {
	return fmt.Errorf("%s runs to its end and cannot be asked for that: `reconcile task %s --rerun` runs it once more", id, nameOf(id))
}

// nameOf is what to type for an ID.
func nameOf(id plan.ID) string {
	_, name, _ := strings.Cut(id.String(), "/")
	return name
}
