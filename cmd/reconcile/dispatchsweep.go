// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// sweepExecutions removes what is left of executions: whoever holds the workspace's
// lock knows that none goes on. It looks only where there may have been some.
func (a *app) sweepExecutions(ctx context.Context, rt *hostRuntime, store *reconcile.Store, d plan.Desired) error {
	if !d.Destroy && !a.mayHaveExecuted(store, d) {
		return nil
	}
	names, err := rt.Executions(podman.ExecutionOptions{Workspace: d.Workspace, Root: d.Root}).Sweep(ctx, "")
	for _, name := range names {
		fmt.Fprintf(a.std.err, "removed container %s, which a process that was killed has left\n", escape(name))
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("remove what is left of executions: %w", err)
	if d.Destroy {
		return err
	}
	fmt.Fprintln(a.std.err, "warning: "+escapeLines(err.Error())) // who dispatches next tries again
	return nil
}

// mayHaveExecuted reports whether there is, or was, a TaskAgent.
func (a *app) mayHaveExecuted(store *reconcile.Store, d plan.Desired) bool {
	if slices.ContainsFunc(d.Resources, func(r plan.Resource) bool { return r.ID.Kind == plan.TaskAgent }) {
		return true
	}
	if _, err := os.Stat(a.executionsDir(d.Workspace)); err == nil {
		return true
	}
	records, err := store.Load()
	return err != nil || slices.ContainsFunc(records.Records, func(r plan.Record) bool { return r.ID.Kind == plan.TaskAgent })
}
