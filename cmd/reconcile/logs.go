// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"reconcile/podman"
	"reconcile/reconcile/plan"
)

func newLogsCommand(a *app) *cobra.Command {
	var opt podman.LogOptions
	var since time.Duration
	var hooks bool
	var run, execution string
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what an instance, a run of a task or an execution wrote, running or not",
		Long: `Prints what an instance, or a run of a Task or a CronTask, wrote. Of the runs it is
the latest that counts, unless NAME is that of a run or --run picks one; what a
run wrote is kept for as long as its retention says, also without its container.

Of a TaskAgent it prints what its last execution wrote, or with --execution another
of the last 50. With -f it follows the one that goes on and each that comes after,
until it is interrupted, and with --execution that one alone, until it ends.`,
		Example: `  reconcile logs -f --tail 20 explorer
  reconcile logs --hooks explorer
  reconcile logs nightly-1767225600     # that run of the CronTask nightly
  reconcile logs word-count --execution 0191d3a0-5c1e-4f6e-9d0a-2b1c3d4e5f60`,
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			formats := []string{"text"}
			if hooks {
				formats = append(formats, "json")
			}
			if err := a.check(formats...); err != nil {
				return err
			}
			if opt.Tail < 0 {
				return fmt.Errorf("--tail: %d is negative", opt.Tail)
			}
			if hooks {
				for _, f := range []string{"follow", "since", "timestamps", "run", "execution"} {
					if cmd.Flags().Changed(f) {
						return fmt.Errorf("--hooks: --%s is for what instances write", f)
					}
				}
				return a.printHookLogs(cmd.Context(), args[0], opt.Tail)
			}
			if since < 0 {
				return fmt.Errorf("--since: %v is negative", since)
			}
			if since > 0 {
				opt.Since = time.Now().Add(-since)
			}
			return a.printLogs(cmd.Context(), args[0], logChoice{run, execution}, opt)
		},
	}
	cmd.Flags().BoolVar(&hooks, "hooks", false, "what its hooks wrote when they ran last, instead")
	cmd.Flags().StringVar(&run, "run", "", "of a Task or CronTask: that `run`, by its key or name")
	cmd.Flags().StringVar(&execution, "execution", "", "of a TaskAgent: that execution, by its `ID` or the begin of its key")
	_ = cmd.RegisterFlagCompletionFunc("execution", a.completeExecutions) // the flag is there
	cmd.Flags().BoolVarP(&opt.Follow, "follow", "f", false, "go on printing until interrupted")
	cmd.Flags().IntVar(&opt.Tail, "tail", 0, "only the last `N` lines (0: all)")
	cmd.Flags().DurationVar(&since, "since", 0, "only what was written in the last `DURATION`")
	cmd.Flags().BoolVar(&opt.Timestamps, "timestamps", false, "begin each line with its time")
	return cmd
}

// logChoice says which of several logs is meant; "" = the last.
type logChoice struct {
	run       string // of a Task or CronTask
	execution string // of a TaskAgent
}

func (a *app) printLogs(ctx context.Context, name string, choice logChoice, opt podman.LogOptions) error {
	src, archive, err := a.loadToLook(ctx)
	if err != nil {
		return err
	}
	agent, isAgent, err := a.namedAgent(src, name)
	switch {
	case err != nil:
		return err
	case isAgent && choice.run != "":
		return fmt.Errorf("--run: %s is no task, and has no runs; --execution picks one of its executions", agent)
	case isAgent:
		return a.printExecutionLog(ctx, src, agent, choice.execution, opt)
	case choice.execution != "":
		return fmt.Errorf("--execution: %q is no TaskAgent", name)
	}
	run := choice.run
	records, err := archive.Load()
	if err != nil {
		return err
	}
	r, err := podman.OpenReader(ctx, a.podmanOptions(archive.Owner()))
	if err != nil {
		return err
	}
	defer r.Close()
	// What exists is asked for, not what should: logs work in a workspace that
	// has mistakes.
	o, err := r.Observe(ctx, plan.Desired{Workspace: src.name, Root: src.root})
	if err != nil {
		return err
	}
	runs := runsHere(records, o.Objects)
	obj, found, err := objectOrRun(name, o.Objects, runs, desiredIDs(src.Desired))
	switch {
	case err != nil:
	case found != nil:
		return a.printRunLog(ctx, r, src, *found, run, runs, opt)
	case run != "":
		return fmt.Errorf("--run: %s is no task, and has no runs", obj.ID)
	}
	if err != nil {
		if id, idErr := findID(name, desiredIDs(src.Desired)); idErr == nil {
			a.hintAtHooks(src.name, id, true)
		}
		return err
	}
	defer a.hintAtHooks(src.name, obj.ID, false)
	err = r.Logs(ctx, obj.Handle, opt, a.std.out, a.std.err)
	if opt.Follow && ctx.Err() != nil {
		return nil
	}
	return err
}

// errNoInstance is why nobody can enter a TaskAgent.
func errNoInstance(id plan.ID) error {
	return fmt.Errorf("%s has no container of its own: each of its executions has one; `reconcile invoke %s` makes one", id, nameOf(id))
}

// namedRun is a Task or CronTask that a NAME means, or a run of it.
type namedRun struct {
	id  plan.ID
	run string // the key of the run; "" = the newest
}

// objectOrRun finds the container that NAME means, of several generations the
// newest, or else what is run.
func objectOrRun(name string, objects []plan.Object, runs []runHere, desired []plan.ID) (plan.Object, *namedRun, error) {
	var ids []plan.ID
	for _, o := range objects {
		if o.Role == plan.RoleInstance {
			ids = append(ids, o.ID)
		}
	}
	id, run, err := findRun(name, ids, runs)
	switch {
	case err == nil && isTask(id):
		return plan.Object{}, &namedRun{id, run}, nil
	case err != nil:
		if wanted, wantErr := findID(name, desired); wantErr == nil && isTask(wanted) {
			return plan.Object{}, &namedRun{wanted, ""}, nil
		} else if wantErr == nil && wanted.Kind == plan.TaskAgent {
			return plan.Object{}, nil, errNoInstance(wanted)
		} else if wantErr == nil {
			return plan.Object{}, nil, fmt.Errorf("%s has no container yet", wanted)
		}
		return plan.Object{}, nil, err
	}
	i := -1
	for j, o := range slices.All(objects) {
		if o.ID == id && (i < 0 || o.Created.After(objects[i].Created)) {
			i = j
		}
	}
	return objects[i], nil, nil
}

// printRunLog prints what a run wrote: from its container, or, once that is gone,
// from what is kept of it.
func (a *app) printRunLog(ctx context.Context, r *podman.Reader, src source, n namedRun, text string, runs []runHere, opt podman.LogOptions) error {
	if n.run != "" && text != "" {
		return errors.New("the run is given twice: by NAME and by --run")
	}
	run, err := pickRun(n.id, cmp.Or(n.run, text), runs)
	if err != nil {
		return err
	}
	if run.object.Handle != "" {
		err := r.Logs(ctx, run.object.Handle, opt, a.std.out, a.std.err)
		if opt.Follow && ctx.Err() != nil {
			return nil
		}
		return err
	}
	err = podman.RunLog(ctx, plan.RunsDir(a.stateDir, src.name, n.id), run.state.Key, opt, a.std.out, a.std.err)
	if errors.Is(err, fs.ErrNotExist) {
		return noLog(run)
	}
	return err
}

// noLog says why there is nothing to read of a run.
func noLog(r runHere) error {
	s := r.state
	switch {
	case !s.Ended():
		return fmt.Errorf("%s has written nothing yet: it is %s", r.ref(), cmp.Or(s.Phase, plan.RunPending))
	case s.Started.IsZero():
		return fmt.Errorf("%s has written nothing: it was never started (%s: %s)", r.ref(), s.Phase, runReason(s))
	}
	return fmt.Errorf("what %s wrote is no longer kept: it ended at %s", r.ref(), s.Finished.Local().Format(time.DateTime))
}
