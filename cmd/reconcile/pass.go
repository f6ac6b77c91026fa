// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// workspaceDir is where records and caches of one workspace are.
func (a *app) workspaceDir(name string) string {
	return filepath.Join(a.stateDir, "workspaces", name)
}

func (a *app) planOptions() plan.Options {
	return plan.Options{
		Now:               time.Now(),
		AllowMassDelete:   a.allowMassDelete,
		AcceptLostRecords: a.acceptLostRecords,
		Adopt:             a.adopt,
		RequireApproval:   a.approval == approvalAuthority,
	}
}

// loadSettled loads a workspace that is to be planned. One that cannot be is
// reported here, and the error is its exit code.
func (a *app) loadSettled(ctx context.Context, to reach) (source, error) {
	src, err := a.load(ctx, to)
	if err != nil {
		return source{}, err
	}
	if src.Fatal {
		return source{}, a.printFatal(src)
	}
	return a.settle(ctx, src)
}

// runDryRun prints what a pass would do. Nothing that it reaches can write: the
// store is opened read only and the runtime is a Reader.
func (a *app) runDryRun(ctx context.Context) error {
	v, err := a.previewPlan(ctx)
	if err != nil {
		return err
	}
	a.printDiagnostics(v.report.Diagnostics)
	if err := a.printReport(v.report); err != nil {
		return err
	}
	if v.save != nil {
		if err := v.save(); err != nil {
			return err
		}
	}
	return a.dryRunExit(reconcile.ExitCode(v.report.Plan, v.report.Diagnostics, true))
}

// planOnly observes and plans, and changes nothing.
func (a *app) planOnly(ctx context.Context, d plan.Desired) (plan.Plan, schema.Diagnostics, error) {
	l, err := a.planLive(ctx, d)
	return l.plan, l.warnings, err
}

// printFatal reports a workspace that cannot be planned at all.
func (a *app) printFatal(src source) error {
	a.printDiagnostics(src.Diagnostics)
	if a.output != formatText {
		p := plan.Plan{Workspace: src.name, Revision: src.Desired.Revision}
		if err := a.printReport(render.Report{Plan: p, Diagnostics: src.Diagnostics}); err != nil {
			return err
		}
	}
	errs, _ := countDiagnostics(src.Diagnostics)
	fmt.Fprintf(a.std.err, "%s in the workspace; nothing was changed\n", count(errs, "error"))
	return exitWith(plan.ExitFault)
}

// runPass converges once.
func (a *app) runPass(ctx context.Context) error {
	src, err := a.loadSettled(ctx, reachFetch)
	if err != nil {
		return err
	}
	a.printDiagnostics(src.Diagnostics)
	return a.convergeAs(ctx, convergence{
		desired: src.Desired, diagnostics: src.Diagnostics, options: a.planOptions(),
		first: src.checkout, reload: a.reload, afterwards: func() { a.saveCache(src.cache) },
	})
}

// reload says what should be after hooks have run on the host. One that has left
// the workspace with mistakes ends the pass.
func (a *app) reload(ctx context.Context) (plan.Desired, error) {
	src, err := a.load(ctx, reachHost)
	if err != nil {
		return plan.Desired{}, err
	}
	if src.Fatal {
		a.printDiagnostics(src.Diagnostics)
		return plan.Desired{}, errors.New("hooks have run on the host, and now the workspace has mistakes")
	}
	src, err = a.settle(ctx, src)
	return src.Desired, err
}

// settleTime is long enough for a command that is not there, or that does not
// like its arguments, to end.
const settleTime = 300 * time.Millisecond

// converge makes the host match d, shows progress and prints the result. first,
// if set, is done under the workspace's lock before anything else.
func (a *app) converge(ctx context.Context, d plan.Desired, ds schema.Diagnostics, first func() error, afterwards func()) error {
	return a.convergeAs(ctx, convergence{desired: d, diagnostics: ds, options: a.planOptions(), first: first, afterwards: afterwards})
}

// convergence is one pass of a command.
type convergence struct {
	desired     plan.Desired
	diagnostics schema.Diagnostics
	options     plan.Options
	// first, if set, is done under the workspace's lock before anything else, and
	// afterwards when the pass was seen to its end.
	first      func() error
	afterwards func()
	// wish, if set, is written down before anything is looked at, and the exit code
	// is whether it came true.
	wish *wish
	// reload, if set, says what should be after hooks have run on the host.
	reload func(context.Context) (plan.Desired, error)
	// narrow, if set, says which part of the plan is carried out. Its error ends
	// the pass as if it had never begun.
	narrow func(*reconcile.Store, plan.Plan, plan.Observed) (plan.Plan, error)
}

// takeLock takes the lock of a workspace for a command; it does not wait.
func (a *app) takeLock(workspace, command string) (*reconcile.Lock, error) {
	return reconcile.TakeLock(a.workspaceDir(workspace), workspace, reconcile.Holder{PID: os.Getpid(), Command: command, Since: time.Now()})
}

func (a *app) convergeAs(ctx context.Context, c convergence) (failed error) {
	d, ds, first, afterwards := c.desired, c.diagnostics, c.first, c.afterwards
	dir := a.workspaceDir(d.Workspace)
	lock, err := a.takeLock(d.Workspace, "reconcile")
	if err != nil {
		return err
	}
	defer lock.Release()
	if first != nil {
		if err := first(); err != nil {
			return err
		}
	}
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		return err
	}
	if c.wish != nil {
		if err := c.wish.write(ctx, store); err != nil {
			return err
		}
		c.options.Now = time.Now() // what is asked for is asked for by then
	}
	var refused error
	var narrow func(plan.Plan, plan.Observed) (plan.Plan, error)
	if c.narrow != nil {
		narrow = func(p plan.Plan, o plan.Observed) (plan.Plan, error) {
			p, refused = c.narrow(store, p, o)
			return p, refused
		}
	}
	progress, lines, began := a.newProgress(), a.newEventLines(), time.Now()
	rt, err := a.openRuntime(ctx, d.Workspace, store, func(p podman.Progress) {
		progress.pull(p)
		lines.pull(p)
	})
	if err != nil {
		return err
	}
	defer rt.Close()
	if err := a.sweepExecutions(ctx, rt, store, d); err != nil {
		return err
	}
	result, err := reconcile.Pass(ctx, rt, store, d, reconcile.PassOptions{
		Plan:   c.options,
		Narrow: narrow,
		Reload: c.reload,
		Apply: reconcile.ApplyOptions{Parallel: a.parallel, StepTimeout: a.timeout, Progress: func(e reconcile.Event) {
			progress.event(e)
			lines.step(e)
		}},
		Settle: settleTime,
		Planned: func(p plan.Plan) error {
			lines.plan(p, ds)
			if a.cause == reconcile.CausePush && len(p.Steps) > 0 {
				fmt.Fprintln(a.std.err, "plan: "+planCounts(p)) // nobody there could have asked for it
			}
			return progress.start(p)
		},
	})
	progress.finish()
	if refused != nil {
		return refused
	}
	a.remember(store, result, reconcile.Loaded{Desired: d, Diagnostics: ds}, began)
	if err != nil {
		if len(result.Outcome.Steps) > 0 { // what was done is known all the same
			_ = a.printResult(result, ds, lines, err)
		}
		return err
	}
	defer func() {
		// The wish decides, whatever else the pass was about.
		if _, done := errors.AsType[exitCode](failed); c.wish != nil && (failed == nil || done) {
			failed = exitWith(c.wish.judge(a, result, exitOf(failed)))
		}
	}()
	if afterwards != nil {
		afterwards()
	}
	warnings := factWarnings(d, result.Before, result.Plan)
	a.printDiagnostics(warnings)
	return a.printResult(result, append(ds, warnings...), lines, nil)
}

// remember appends a pass to the history, which is only a cache as well.
func (a *app) remember(store *reconcile.Store, r reconcile.PassResult, l reconcile.Loaded, began time.Time) {
	cause := a.cause
	if cause == "" {
		cause = reconcile.CauseCommand
	}
	if _, err := store.AppendHistory(reconcile.RecordOf(r, l, []reconcile.Cause{cause}, began)); err != nil {
		fmt.Fprintln(a.std.err, "warning: the pass is not in the history: "+escape(err.Error()))
	}
	if err := store.KeepFailures(l.Desired, r.Outcome); err != nil {
		fmt.Fprintln(a.std.err, "warning: `reconcile status` will not say what failed: "+escape(err.Error()))
	}
}

// saveCache keeps which documents passed validation. It is only a cache: a
// failure costs time, not truth.
func (a *app) saveCache(c *schema.Cache) {
	if !c.Changed() {
		return
	}
	path := a.cachePath()
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil || os.WriteFile(tmp, c.Bytes(), 0o600) != nil || os.Rename(tmp, path) != nil {
		os.Remove(tmp)
		fmt.Fprintln(a.std.err, "warning: the validation cache could not be written; the next run validates again")
	}
}

// factWarnings tells of inputs that could not be looked up, and of those that
// are gone, although something here stands in for them.
func factWarnings(d plan.Desired, o plan.Observed, p plan.Plan) schema.Diagnostics {
	held := map[plan.ID]bool{}
	for _, c := range p.Held {
		held[c.ID] = true
	}
	changed := map[plan.ID]bool{}
	for _, c := range p.Changes {
		changed[c.ID] = true
	}
	var ds schema.Diagnostics
	warn := func(r plan.Resource, summary, detail string) {
		ds = append(ds, schema.Diagnostic{Severity: schema.Warning, Summary: summary, Detail: detail, Pos: schema.ParsePos(r.Origin)})
	}
	for _, r := range d.Resources {
		if r.Want == plan.WantOnce && !changed[r.ID] {
			continue // what has run is not made again for that
		}
		for _, in := range r.Spec.Inputs() {
			f := o.Inputs[in]
			switch {
			case f.State == plan.FactUnknown && f.Detail != "":
				warn(r, string(in.Kind)+" could not be looked up", inputText(in)+": "+f.Detail)
			case f.State == plan.FactMissing && !held[r.ID]:
				warn(r, string(in.Kind)+" is gone", f.Detail+"; "+without(r.ID.Kind))
			}
		}
	}
	return append(ds, limitWarnings(d, o)...).Sort()
}

// without is what becomes of a resource one of whose inputs is gone.
func without(kind plan.Kind) string {
	if kind == plan.TaskAgent {
		return "until then its executions have the one that was there before, and fail if that is gone as well"
	}
	return "what runs was made with it, and could not be made again"
}

// inputText names an input for people.
func inputText(in plan.Input) string {
	if in.Kind == plan.InputSecret {
		return render.SecretText(in.Name)
	}
	return in.Name
}
