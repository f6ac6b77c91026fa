// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile"
	"reconcile/schema"
)

// awaitName returns the name of the workspace as soon as it can be told; "" when
// ctx ends before. A name leads to a lock, records and containers: a guess is
// not enough.
func (d *daemon) awaitName(ctx context.Context, hup <-chan os.Signal) (string, error) {
	if dir := d.feed.at.dir; dir != "" {
		if err := d.watcher.Watch([]string{dir}); err != nil {
			return "", err
		}
	}
	d.askFirst(ctx)
	for wait := firstRetry; ; wait = min(2*wait, d.feed.poll) {
		name, err := d.findName(ctx)
		if ctx.Err() != nil {
			return "", nil
		}
		if err == nil {
			return name, nil
		}
		d.inTrouble(err)
		timer := time.NewTimer(jitter(wait))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-d.woken:
		case <-hup:
			d.feed.Refresh(reconcile.CauseSignal)
		}
		timer.Stop()
	}
}

// firstAnswer is how long remotes are given to answer before something begins.
const firstAnswer = 10 * time.Second

// askFirst gives the remotes a moment, so that what comes next need not be about
// what was there when they were asked last.
func (d *daemon) askFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	_ = d.feed.Ask(ctx) // the mirror may have something to begin with
}

func (d *daemon) findName(ctx context.Context) (string, error) {
	src, err := d.feed.load(ctx)
	if err != nil {
		return "", err
	}
	if src, err = d.app.settle(ctx, src); err != nil {
		return "", err
	}
	if src.NameUnknown {
		return "", fmt.Errorf("the workspace's name is not known yet: %s", firstProblem(src.Diagnostics))
	}
	d.feed.name = src.name
	return src.name, nil
}

// firstProblem is the first error in a line, and how many more there are.
func firstProblem(ds schema.Diagnostics) string {
	n, _ := countDiagnostics(ds)
	for _, diag := range ds {
		if diag.Severity != schema.Error {
			continue
		}
		text := fmt.Sprintf("%s: %s: %s", diag.Pos, diag.Severity, diag.Summary)
		if diag.Detail != "" {
			text += ": " + strings.Join(strings.Fields(diag.Detail), " ")
		}
		if n > 1 {
			text += fmt.Sprintf(" (and %d more)", n-1)
		}
		return text
	}
	return "it cannot be read"
}

// load is the loop's Load.
func (d *daemon) load(ctx context.Context, causes []reconcile.Cause) (reconcile.Loaded, error) {
	if slices.ContainsFunc(causes, afterPush) {
		d.app.digests.Forget()
	}
	if err := d.watcher.Settle(ctx); err != nil {
		return reconcile.Loaded{}, err
	}
	l, err := d.feed.Load(ctx, causes)
	if err != nil {
		return l, err
	}
	if err := d.watcher.Watch(d.feed.Folders()); err != nil {
		return l, err
	}
	if d.app.cache != nil {
		d.app.saveCache(d.app.cache)
	}
	d.keepName(&l)
	return l, nil
}

// afterPush reports whether somebody asks for a look who may have pushed an image
// just now, and means that one.
func afterPush(c reconcile.Cause) bool {
	return c == reconcile.CauseCommand || c == reconcile.CauseSignal || c == reconcile.CausePush || c == reconcile.CauseWebhook
}

// keepName holds a workspace to the name that the daemon began with, which is
// that of its lock and of its records.
func (d *daemon) keepName(l *reconcile.Loaded) {
	name := l.Desired.Workspace
	if name == d.name || l.Fatal {
		l.Desired.Workspace = d.name
		return
	}
	l.Desired.Workspace, l.Fatal = d.name, true
	l.Diagnostics = append(slices.Clone(l.Diagnostics), schema.Diagnostic{
		Severity: schema.Error, Summary: "workspace was renamed", Pos: schema.ParsePos(l.Desired.Source),
		Detail: fmt.Sprintf("it was %s when the daemon began, and is %s now; what runs of %s goes on", d.name, name, d.name),
		Hint:   "give it its old name, or destroy it under that name and start the daemon again",
	}).Sort()
}
