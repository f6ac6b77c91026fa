// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// The verbs of a wish.
const (
	verbStart   = "start"
	verbStop    = "stop"
	verbRestart = "restart"
	verbRefresh = "refresh"
	verbUpdate  = "update"
	verbRerun   = "rerun"
)

// wish is what somebody asks for with a command. It is written down, and what
// comes of it is the business of the next pass.
type wish struct {
	verb string
	ids  []plan.ID
	at   time.Time // when it was written

	daemon  bool      // one carries it out
	stopped []plan.ID // what had been stopped before
}

// records are what a wish is written down as.
func (w *wish) records() []plan.Record {
	var out []plan.Record
	add := func(id plan.ID, key string, data map[string]string) {
		out = append(out, plan.Record{ID: id, Kind: plan.RecordWish, Key: key, At: w.at, Data: data})
	}
	for _, id := range w.ids {
		switch w.verb {
		case verbStop:
			add(id, plan.WishStop, map[string]string{"wanted": "true"})
		case verbStart:
			add(id, plan.WishStop, map[string]string{"wanted": "false"})
		case verbRestart: // also what was stopped
			add(id, plan.WishStop, map[string]string{"wanted": "false"})
			add(id, plan.WishRestart, map[string]string{})
		case verbRefresh:
			add(id, plan.WishRefresh, map[string]string{})
		case verbUpdate:
			add(id, plan.WishUpdate, map[string]string{})
		case verbRerun:
			add(id, plan.WishRerun, map[string]string{})
		}
	}
	return out
}

// write has the wish on disk when it returns. The caller holds the workspace's
// lock.
func (w *wish) write(ctx context.Context, store reconcile.Records) error {
	before, err := store.Load()
	if err != nil {
		return fmt.Errorf("read what was asked for: %w", err)
	}
	for _, r := range before.Records {
		if r.Kind == plan.RecordWish && r.Key == plan.WishStop && r.Data["wanted"] == "true" {
			w.stopped = append(w.stopped, r.ID)
		}
	}
	w.at = time.Now()
	for _, r := range w.records() {
		if err := store.Put(ctx, r); err != nil {
			return fmt.Errorf("write down what was asked for: %w", err)
		}
	}
	return nil
}

// judge says what did not come true, and of TaskAgents what did, and returns the exit
// code of the command; code is that of the pass.
func (w *wish) judge(a *app, r reconcile.PassResult, code int) int {
	failed := false
	for _, id := range w.ids {
		if why := w.unmet(id, r); why != "" {
			failed = true
			fmt.Fprintf(a.std.err, "error: %s was not %s: %s\n", escape(id.String()), pastOf[w.verb], escapeLines(why))
			continue
		}
		if id.Kind == plan.TaskAgent && a.output == formatText {
			w.printAgent(a, id, r.Status)
		}
	}
	switch {
	case !failed:
		return plan.ExitDone
	case code == plan.ExitDone:
		return plan.ExitFault
	}
	return code
}

var pastOf = map[string]string{
	verbStart: "started", verbStop: "stopped", verbRestart: "restarted", verbRefresh: "made anew", verbUpdate: "updated",
	verbRerun: "run again",
}

// unmet is why the wish did not come true for an instance; "" = it did.
func (w *wish) unmet(id plan.ID, r reconcile.PassResult) string {
	if r.Err != nil {
		if w.verb == verbStop && id.Kind == plan.TaskAgent && !w.at.IsZero() {
			return "" // it takes no requests once that is written down
		}
		return r.Err.Error()
	}
	var found []reconcile.Status
	for _, st := range r.Status {
		if st.ID.Compare(id) == 0 {
			found = append(found, st)
		}
	}
	if len(found) == 0 {
		return "nothing asks for it any more"
	}
	st := found[0]
	if isTask(id) {
		return w.unmetRun(st, r)
	}
	if id.Kind == plan.TaskAgent {
		return w.unmetAgent(st, r)
	}
	up := func(st reconcile.Status) bool {
		return st.Actual == string(plan.StateRunning) || st.Actual == string(plan.StatePaused)
	}
	if w.verb == verbStop {
		if i := slices.IndexFunc(found, up); i >= 0 {
			return because(found[i], r)
		}
		return ""
	}
	idle := st.Desired == string(plan.WantStopped)
	switch {
	case w.verb == verbUpdate && !w.updated(id, r):
		if idle {
			return "it is stopped; its update hook runs when it is started"
		}
		return because(st, r)
	case w.verb == verbRefresh && st.Created.Before(w.at):
		return because(st, r)
	case w.verb == verbRefresh && idle:
		return ""
	case w.verb == verbUpdate && idle:
		return ""
	case w.verb == verbRestart && st.Started.Before(w.at):
		return because(st, r)
	case st.State != reconcile.WordRunning || notYetReady(st):
		return because(st, r)
	}
	return ""
}

// updated reports whether the update hook ran since the wish was written.
func (w *wish) updated(id plan.ID, r reconcile.PassResult) bool {
	return slices.ContainsFunc(r.After.Records.Records, func(rec plan.Record) bool {
		return rec.Kind == plan.RecordHook && rec.Key == string(plan.HookUpdate) && rec.ID.Compare(id) == 0 && !rec.At.Before(w.at)
	})
}

// notYetReady reports whether a readiness probe of what runs has not said yes.
func notYetReady(st reconcile.Status) bool {
	return st.Health != nil && st.Health.Readiness != nil && st.Health.Readiness.Verdict != plan.VerdictPassing
}

// because is what is known of why an instance is not as it was asked for.
func because(st reconcile.Status, r reconcile.PassResult) string {
	for _, step := range r.Outcome.Steps {
		if step.Step.Target.Compare(st.ID) == 0 && step.State == reconcile.StepFailed {
			return stepDetail(step.Step, step.Err.Error())
		}
	}
	if st.ExitCode != nil && st.State != reconcile.WordCrashLoop && st.State != reconcile.WordStopped {
		return fmt.Sprintf("it exited with %d", *st.ExitCode)
	}
	why := firstReason(st)
	switch {
	case why == "":
		return fmt.Sprintf("it is %s", st.State)
	case strings.HasPrefix(why, string(st.State)):
		return why
	}
	return fmt.Sprintf("it is %s: %s", st.State, why)
}

// exitOf is the exit code that an error of a command stands for.
func exitOf(err error) int {
	if err == nil {
		return plan.ExitDone
	}
	if code, ok := err.(exitCode); ok { //nolint:errorlint // it is never wrapped
		return int(code)
	}
	return plan.ExitFault
}

// operate has a wish carried out: by the daemon if one runs, else by a pass of its
// own.
func (a *app) operate(ctx context.Context, src source, w *wish) error {
	c, err := a.dialDaemon(ctx, src.root)
	if err != nil {
		return err
	}
	if c != nil {
		asked := &control.Wish{Verb: w.verb, IDs: []string{}}
		for _, id := range w.ids {
			asked.IDs = append(asked.IDs, id.String())
		}
		return a.askForPass(ctx, c, control.PassRequest{Cause: string(reconcile.CauseCommand), Wish: asked})
	}
	if src.Fatal {
		return a.printFatal(src)
	}
	a.printDiagnostics(src.Diagnostics)
	return a.convergeAs(ctx, convergence{
		desired: src.Desired, diagnostics: src.Diagnostics, options: a.planOptions(),
		first: src.checkout, reload: a.reload, afterwards: func() { a.saveCache(src.cache) }, wish: w,
	})
}

// operable are the instances that commands may start and stop: those that run on
// and on, and those that take requests.
func (a *app) operable(ctx context.Context, src source) ([]plan.ID, error) {
	ids := desiredIDs(src.Desired)
	if src.Fatal { // what is desired is not known; what runs is
		o, err := a.observeOnly(ctx, src)
		if err != nil {
			return nil, err
		}
		for _, obj := range o.Objects {
			ids = append(ids, obj.ID)
		}
		for _, agent := range plan.Agents(src.Desired, o.Records) {
			ids = append(ids, agent.ID)
		}
	}
	ids = slices.DeleteFunc(ids, func(id plan.ID) bool {
		return id.Kind != plan.Manifest && id.Kind != plan.DaemonAgent && id.Kind != plan.TaskAgent
	})
	slices.SortFunc(ids, plan.ID.Compare)
	return slices.Compact(ids), nil
}

func (a *app) observeOnly(ctx context.Context, src source) (plan.Observed, error) {
	archive, err := reconcile.OpenArchive(a.workspaceDir(src.name))
	if err != nil {
		return plan.Observed{}, err
	}
	reader, closeReader, err := a.openReader(ctx, src.name, archive)
	if err != nil {
		return plan.Observed{}, err
	}
	defer closeReader()
	return reconcile.Observe(ctx, reader, archive, plan.Desired{Workspace: src.name, Root: src.root})
}

// wishOf is the wish that a client asks a daemon for.
func wishOf(r *control.Wish) (*wish, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // no wish is one
	}
	w := &wish{verb: r.Verb}
	if _, known := pastOf[r.Verb]; !known {
		return nil, &control.Refusal{Code: plan.ExitFault, Text: fmt.Sprintf("the daemon cannot %q: it may be of another version", r.Verb)}
	}
	for _, text := range r.IDs {
		id, err := plan.ParseID(text)
		if err == nil && id.Kind.Role() != plan.RoleInstance {
			err = fmt.Errorf("%s is no instance", id)
		}
		if err != nil {
			return nil, &control.Refusal{Code: plan.ExitFault, Text: err.Error()}
		}
		w.ids = append(w.ids, id)
	}
	return w, nil
}

// passWish writes down a wish and makes the pass that follows.
func (d *daemon) passWish(ctx context.Context, r control.PassRequest, w *wish, view *passView) (int, error) {
	seat, done := d.attend(view, plan.Options{})
	defer done()
	loop, err := d.begun(ctx)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	store := d.store
	d.mu.Unlock()
	w.daemon = true
	if err := w.write(ctx, store); err != nil {
		return 0, err
	}
	rec, err := loop.Await(ctx, causeOf(r.Cause))
	if err != nil {
		return 0, errStopping()
	}
	code := rec.ExitCode
	for _, e := range d.endedUntil(seat, rec) {
		view.show(e)
		if !e.rec.Began.Equal(rec.Began) {
			continue
		}
		if e.loaded.Fatal && e.res.Err == nil && len(e.res.Status) == 0 {
			e.res.Err = errors.New("the workspace has mistakes; once they are mended it will be")
		}
		code = w.judge(view.app, e.res, rec.ExitCode)
	}
	return code, nil
}
