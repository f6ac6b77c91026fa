// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

// passSaved carries out a kept plan for a command, exactly, while the loop stands
// aside. What the plan leaves to be done is the loop's again.
func (d *daemon) passSaved(ctx context.Context, r control.PassRequest, view *passView) (int, error) {
	f, s, err := d.app.parseSaved(r.SavedName, r.Saved)
	if err != nil {
		return 0, &control.Refusal{Code: plan.ExitFault, Text: err.Error()}
	}
	loop, err := d.begun(ctx)
	if err != nil {
		return 0, err
	}
	var code int
	if err := loop.Alone(ctx, func(ctx context.Context) { code = d.convergeSaved(ctx, f, s, view) }); err != nil {
		return 0, errStopping()
	}
	return code, nil
}

// convergeSaved is the pass of a kept plan; the loop stands aside. It returns the
// exit code.
func (d *daemon) convergeSaved(ctx context.Context, f savedFile, s plan.Saved, view *passView) int {
	_, done := d.attend(view, plan.Options{})
	defer done()
	began := time.Now()
	d.askFirst(ctx) // the loop, were it not aside, would act on each answer
	l, err := d.load(ctx, nil)
	switch {
	case err != nil:
		view.problem(err)
		return plan.ExitFault
	case l.Fatal:
		view.show(endedPass{loaded: l})
		return plan.ExitFault
	}
	causes := []reconcile.Cause{reconcile.CauseCommand}
	res, err := d.narrowed(ctx, f, s, l, reconcile.PassRecord{Began: began, Causes: causes, Revision: l.Desired.Revision})
	if stale, ok := errors.AsType[*staleError](err); ok {
		_ = view.app.printStale(stale.moved)
		fmt.Fprintf(view.app.std.err, "a daemon (pid %d) keeps this workspace running, and may have done it already\n", os.Getpid())
		return plan.ExitStale
	}
	e := endedPass{reconcile.RecordOf(res, l, causes, began), res, l}
	if kept, err := d.store.AppendHistory(e.rec); err != nil {
		view.problem(err)
	} else {
		e.rec = kept
	}
	d.ended(e.rec, e.res, e.loaded)
	view.show(e)
	return e.rec.ExitCode
}

// narrowed makes a pass of the kept plan alone. A *staleError says that nothing
// was done.
func (d *daemon) narrowed(ctx context.Context, f savedFile, s plan.Saved, l reconcile.Loaded, rec reconcile.PassRecord) (reconcile.PassResult, error) {
	src := source{Result: workspace.Result{Desired: l.Desired, Diagnostics: l.Diagnostics}, at: d.feed.at}
	narrow, err := d.app.narrowTo(f, s, src)
	if err != nil {
		return reconcile.PassResult{Err: err}, err
	}
	return reconcile.Pass(ctx, d.rt, d.store, l.Desired, reconcile.PassOptions{
		Plan:    d.app.savedOptions(s),
		Narrow:  func(p plan.Plan, o plan.Observed) (plan.Plan, error) { return narrow(d.store.Store, p, o) },
		Apply:   reconcile.ApplyOptions{Parallel: d.app.parallel, StepTimeout: d.app.timeout, Progress: d.event},
		Settle:  settleTime,
		Planned: func(p plan.Plan) error { d.planned(rec, p); return nil },
	})
}
