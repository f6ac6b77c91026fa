// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// passOnce converges, through the daemon if one runs the workspace; check = and
// sees whether that left nothing to do.
func (a *app) passOnce(ctx context.Context, cause reconcile.Cause, check bool) error {
	if err := a.offerHooks(ctx); err != nil {
		return err
	}
	asked, err := a.passByDaemon(ctx, cause)
	if !asked && err == nil {
		err = a.runPass(ctx)
	}
	if check {
		return a.checkSettled(ctx, err)
	}
	return err
}

// checkSettled plans once more after a pass, which ended with err, and fails when
// there is something to do again. A pass that failed is no proof of anything.
func (a *app) checkSettled(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	src, err := a.loadSettled(ctx, reachHost)
	if err != nil {
		return err
	}
	p, _, err := a.planOnly(ctx, src.Desired)
	if err != nil {
		return fmt.Errorf("plan again after the pass: %w", err)
	}
	again := reconcile.FindUnsettled(p)
	for _, u := range again {
		fmt.Fprintln(a.std.err, a.plainText(escape(u.Origin()+": error: "+u.String())))
	}
	switch {
	case len(again) > 0:
		return exitWith(plan.ExitFault)
	case !p.Complete:
		return fmt.Errorf("the plan after the pass is not complete: %s", p.Incomplete[0].Text)
	}
	fmt.Fprintln(a.std.err, "a second plan has nothing to do")
	return nil
}
