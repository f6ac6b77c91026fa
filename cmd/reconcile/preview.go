// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/schema"
)

// previewFlags say what a dry run compares with, and what becomes of its plan.
type previewFlags struct {
	against  string // a revision or a folder
	observed string // a file of status -o snapshot
	save     string // where the plan is kept
	apply    string // a plan that was kept
}

func (f *previewFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.against, "against", "", "with --dry-run: compare with the workspace as it was at a git `REVISION`, or in a folder; needs no Podman")
	fs.StringVar(&f.observed, "observed", "", "with --dry-run: compare with a host recorded by status -o snapshot in `FILE`; needs no Podman")
	fs.StringVar(&f.save, "save", "", "with --dry-run: keep the plan in `FILE`")
	fs.StringVar(&f.apply, "plan", "", "do exactly what a plan kept in `FILE` says, or exit 4 if something moved since")
}

// check refuses flags that contradict each other.
func (f *previewFlags) check(a *app) error {
	switch {
	case f.against != "" && f.observed != "":
		return errors.New("--against and --observed exclude each other: a plan is made against one thing")
	case f.apply != "" && (f.against != "" || f.observed != "" || f.save != ""):
		return errors.New("--plan applies a plan that is made already: it goes with none of --against, --observed, --save")
	case f.apply != "" && a.dryRun:
		return errors.New("--plan and --dry-run exclude each other: a kept plan was shown when it was made")
	case f.save != "" && (f.against != "" || f.observed != ""):
		return errors.New("--save keeps a plan for this host: it goes with neither --against nor --observed")
	case !a.dryRun && f.against != "":
		return errors.New("--against needs --dry-run: only what runs can be converged")
	case !a.dryRun && f.observed != "":
		return errors.New("--observed needs --dry-run: only what runs can be converged")
	case !a.dryRun && f.save != "":
		return errors.New("--save needs --dry-run; --plan then does what was kept")
	}
	return nil
}

// mode is what a plan of this command is made against.
func (f *previewFlags) mode() string {
	switch {
	case f.against != "":
		return plan.ModeAgainst
	case f.observed != "":
		return plan.ModeObserved
	}
	return plan.ModeLive
}

// preview is a plan to be shown, and what it was made against.
type preview struct {
	report render.Report
	save   func() error // keeps the plan; nil = it is not to be kept
}

// previewPlan plans and changes nothing.
func (a *app) previewPlan(ctx context.Context) (preview, error) {
	switch a.preview.mode() {
	case plan.ModeAgainst:
		return a.previewAgainst(ctx)
	case plan.ModeObserved:
		return a.previewObserved(ctx)
	}
	src, err := a.loadSettled(ctx, reachPeek)
	if err != nil {
		return preview{}, err
	}
	l, err := a.planLive(ctx, src.Desired)
	if err != nil {
		return preview{}, err
	}
	v := preview{report: render.Report{
		Plan: reconcile.WithLastTries(l.plan, src.Desired, l.failures), Mode: plan.ModeLive, Diagnostics: append(src.Diagnostics, l.warnings...).Sort(),
		Content: contentOf(src.Desired.Contents, l.content),
	}}
	if a.preview.save != "" {
		v.save = func() error { return a.savePlan(src, l) }
	}
	return v, nil
}

// live is a plan for this host, and what it was made from.
type live struct {
	plan     plan.Plan
	observed plan.Observed
	options  plan.Options
	warnings schema.Diagnostics
	failures []plan.Backoff                     // of the last passes
	content  func(digest string) ([]byte, bool) // of files that runs were made with before
}

// contentOf looks for what is in a file among what is wanted, then among what was.
func contentOf(wanted map[string][]byte, was func(string) ([]byte, bool)) func(string) ([]byte, bool) {
	return func(digest string) ([]byte, bool) {
		if b, known := wanted[digest]; known || was == nil {
			return b, known
		}
		return was(digest)
	}
}

// planLive observes and plans, and changes nothing.
func (a *app) planLive(ctx context.Context, d plan.Desired) (live, error) {
	store, err := reconcile.OpenArchive(a.workspaceDir(d.Workspace))
	if err != nil {
		return live{}, err
	}
	reader, closeReader, err := a.openReader(ctx, d.Workspace, store)
	if err != nil {
		return live{}, err
	}
	defer closeReader()
	l := live{options: a.planOptions(), failures: store.Failures(), content: store.Content}
	// A daemon restarts on a curve, and one that runs would do the pass. What
	// failed under it would be tried again.
	daemon := a.askDaemon(ctx, d.Root)
	l.options.Supervise = daemon != nil
	reader = reconcile.WithFacts(reader, reconcile.Facts{Health: factsOf(daemon).Health})
	if l.plan, l.observed, err = reconcile.DryRun(ctx, reader, store, d, l.options); err != nil {
		return live{}, err
	}
	l.warnings = factWarnings(d, l.observed, l.plan)
	return l, nil
}
