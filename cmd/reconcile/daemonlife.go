// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"slices"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// begin opens the daemon to requests: from now on there is a loop.
func (d *daemon) begin(name string, loop *reconcile.Loop, rt reconcile.Runtime, store recordingStore) {
	d.mu.Lock()
	d.name, d.rt, d.store = name, rt, store
	d.mu.Unlock()
	d.loop.Store(loop)
	d.journal.say("workspace %s of %s", name, d.feed.at.root())
}

// hear passes on what Podman tells. A service that tells nothing is looked at
// from time to time all the same.
func (d *daemon) hear(ctx context.Context, rt *daemonRuntime) error {
	err := rt.events(ctx, func() { d.notify(reconcile.CauseRuntime) })
	if err != nil && ctx.Err() == nil {
		d.journal.say("warning: what happens to containers is seen once a minute only: %v", err)
	}
	return nil
}

// obeySignals looks at everything at each SIGHUP.
func (d *daemon) obeySignals(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		}
		d.systemd.send(reloading()...)
		if d.feed.Ask(ctx) == nil {
			_, _ = d.loop.Load().Await(ctx, reconcile.CauseSignal)
		}
		if ctx.Err() == nil {
			d.systemd.send("READY=1")
		}
	}
}

func (d *daemon) feedWatchdog(ctx context.Context) error {
	d.systemd.keepWatchdog(ctx, d.alive, func() { d.systemd.send("WATCHDOG=1") })
	return nil
}

// ending tells everybody that the daemon ends.
func (d *daemon) ending() {
	d.stop()
	d.systemd.send("STOPPING=1", sdStatus("ending"))
}

// stopAll stops what runs, in the order of its needs, and leaves it there: what
// the next daemon finds stopped in this way it starts again.
func (d *daemon) stopAll(ctx context.Context, rt reconcile.Runtime, store *reconcile.Store) error {
	d.mu.Lock()
	known := d.desired
	d.mu.Unlock()
	if known == nil {
		d.journal.say("warning: nothing is stopped: the workspace was never read")
		return nil
	}
	want := *known
	want.Resources = slices.Clone(known.Resources)
	for i, r := range want.Resources {
		if r.ID.Kind.Role() == plan.RoleInstance {
			want.Resources[i].Want = plan.WantStopped
		}
	}
	// Only stops: what else the workspace asks for is not to be done now.
	want.Partial = append(slices.Clone(known.Partial), plan.Reason{Code: plan.CodePartial, Text: "the daemon ends", Origin: known.Source})
	view, began := d.journal.view, time.Now()
	res, err := reconcile.Pass(ctx, rt, store, want, reconcile.PassOptions{
		Apply: reconcile.ApplyOptions{Parallel: d.app.parallel, StepTimeout: d.app.timeout, Progress: view.event},
	})
	if err != nil {
		return err
	}
	rec := reconcile.RecordOf(res, reconcile.Loaded{Desired: want}, []reconcile.Cause{reconcile.CauseSignal}, began)
	if res.Outcome.Err() == nil { // that only stops were done is no failure
		rec.Result, rec.ExitCode, rec.Errors = reconcile.ResultConverged, plan.ExitDone, nil
	}
	if _, err := store.AppendHistory(rec); err != nil {
		return err
	}
	return res.Outcome.Err()
}
