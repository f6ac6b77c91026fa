// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/render"
	"reconcile/repos"
)

// maxPlanFile bounds the files of snapshots and of kept plans.
const maxPlanFile = 64 << 20

// printSnapshot prints what was observed of the host, to be planned against
// elsewhere.
func (a *app) printSnapshot(src source, store *reconcile.Archive, o plan.Observed, opt plan.Options) error {
	var digests []string
	for _, obj := range o.Objects {
		digests = append(digests, obj.Digest)
	}
	o.Specs = store.Specs(digests)
	at := a.siteOf(src.at)
	b, err := plan.Snapshot{
		Taken: opt.Now, Workspace: src.name, Root: at.root, Dir: at.dir, StateDir: at.stateDir,
		Supervised: opt.Supervise, Observed: o,
	}.JSON()
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.std.out, render.EscapeJSON(string(b)))
	return err
}

// previewObserved plans against a recorded host. The workspace is read as if it
// were where it is on that host. What was not recorded is unknown.
func (a *app) previewObserved(ctx context.Context) (preview, error) {
	file := a.preview.observed
	b, err := readPlanFile(file)
	if err != nil {
		return preview{}, fmt.Errorf("--observed: %w", err)
	}
	snap, err := plan.ParseSnapshot(b)
	if err != nil {
		return preview{}, fmt.Errorf("--observed: %s: %w", file, err)
	}
	src, err := a.loadAt(ctx, snap)
	if err != nil {
		return preview{}, err
	}
	if src.Fatal {
		return preview{}, a.printFatal(src)
	}
	if src.name != snap.Workspace {
		return preview{}, fmt.Errorf("--observed: %s is of workspace %q, and this is workspace %q", file, snap.Workspace, src.name)
	}
	opt := a.planOptions()
	opt.Now, opt.Supervise = snap.Taken, snap.Supervised
	p := plan.New(src.Desired, snap.Observed, opt)
	return preview{report: render.Report{
		Plan: p, Mode: plan.ModeObserved,
		Against:     fmt.Sprintf("%s (taken %s)", file, snap.Taken.UTC().Format(time.RFC3339)),
		Diagnostics: append(src.Diagnostics, factWarnings(src.Desired, snap.Observed, p)...).Sort(),
		Content:     contentOf(src.Desired.Contents, nil),
	}}, nil
}

// loadAt loads the workspace as if it were where a snapshot was taken.
func (a *app) loadAt(ctx context.Context, snap plan.Snapshot) (source, error) {
	at, err := locate(a.workspace)
	if err != nil {
		return source{}, err
	}
	there := &site{root: snap.Root, dir: snap.Dir, stateDir: snap.StateDir}
	o := loadOptions{at: at, fallback: snap.Workspace, git: a.sourcesBy(a.askNear()), reach: reachPeek}
	if *there == *a.siteOf(at) {
		return a.loadWith(ctx, o)
	}
	o.site = there
	if at.git != nil {
		return a.loadWith(ctx, o)
	}
	files, done, err := openPlaced(at.dir, there.dir)
	if err != nil {
		return source{}, fmt.Errorf("open workspace: %w", err)
	}
	defer done()
	o.files, o.commit = files, repos.Revision(at.dir)
	return a.loadFiles(ctx, o)
}

// readPlanFile reads a file of a size that memory can take.
func readPlanFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPlanFile+1))
	if err == nil && len(b) > maxPlanFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxPlanFile>>20)
	}
	return b, err
}
