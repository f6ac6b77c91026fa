// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

// daemon keeps one workspace of this host as it should be. What it knows of the
// world comes from the parts that it wires: the refresher reads the workspace,
// the watcher and Podman's events say when to look, the loop converges.
type daemon struct {
	app        *app
	stopOnExit bool
	drain      time.Duration // how long executions may go on once the daemon is to end
	began      time.Time

	feed    *refresher
	watcher *workspace.Watcher
	journal *journal
	metrics *metrics
	systemd *sdNotify
	report  *commitReporter
	thrift  *thrift
	address string // of the listener; "" = none
	routes  *routes
	agents  taskAgents

	loop  atomic.Pointer[reconcile.Loop] // nil until the workspace's name is known
	woken chan struct{}                  // holds one: somebody asked for a look before there was a loop

	mu       sync.Mutex
	name     string            // "" until known
	rt       reconcile.Runtime // as store, nothing until there is a loop
	store    recordingStore
	passed   bool   // the first pass has ended
	trouble  error  // why the daemon is not ready
	troubles int    // how often there could be no pass
	said     string // the last trouble in the journal
	last     endedPass
	desired  *plan.Desired // what was last acted on
	status   []reconcile.Status
	first    *plan.Options   // of the command line, for the first pass
	grants   []*plan.Options // what holds for the passes that are waited for
	watchers []*passWatcher

	stopping context.Context // ends when the daemon is told to end
	stop     context.CancelFunc
	again    chan os.Signal // those to end; nil = none are heard
	drained  chan struct{}  // closed once no execution is waited for
}

// passWatcher is a command that waits for a pass.
type passWatcher struct {
	view  *passView
	ended []endedPass // since it began to wait
}

func (a *app) newDaemon(stopOnExit bool) (*daemon, error) {
	if a.styleFor(a.std.err).on && a.styleFor(a.std.out).on {
		a.color = "always" // for good: below, a stream is no terminal any more
	}
	lock := &sync.Mutex{}
	a.std.out, a.std.err = &lineWriter{a.std.out, lock}, &lineWriter{a.std.err, lock}
	granted := a.planOptions()
	d := &daemon{
		app: a, stopOnExit: stopOnExit, drain: defaultDrain, drained: make(chan struct{}), began: time.Now(), woken: make(chan struct{}, 1),
		journal: &journal{view: newPassView(a), json: a.output == "json"},
		trouble: errors.New("the first pass has not ended yet"),
		routes:  &routes{timeouts: &a.listen.routeTimeouts},
		first:   &granted,
		grants:  []*plan.Options{&granted},
	}
	d.stopping, d.stop = context.WithCancel(context.Background())
	d.thrift = newThrift(a.lookupEnv)
	d.metrics = newMetrics(gauges{instances: d.instances, sources: d.sourceAges, agents: d.agents.loads})
	d.systemd = a.newSDNotify(func(err error) { d.journal.say("warning: %v", err) })
	var err error
	if d.feed, err = a.newRefresher(d.notify); err != nil {
		return nil, err
	}
	d.watcher, err = workspace.NewWatcher(workspace.WatchOptions{
		Changed: func() { d.notify(reconcile.CauseEdit) }, Ignored: a.isStateDir(), Log: a.logger(),
	})
	return d, err
}

// isStateDir returns whether a folder, named without links, is the state
// directory. It may lie in the workspace, and every pass writes there.
func (a *app) isStateDir() func(path string, dir bool) bool {
	state := a.stateDir
	if target, err := filepath.EvalSymlinks(state); err == nil {
		state = target
	} else if parent, err := filepath.EvalSymlinks(filepath.Dir(state)); err == nil {
		state = filepath.Join(parent, filepath.Base(state))
	}
	return func(path string, dir bool) bool { return dir && path == state }
}

// lineWriter lets several goroutines write lines to one stream.
type lineWriter struct {
	to io.Writer
	mu *sync.Mutex
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// notify asks for a look. It never blocks.
func (d *daemon) notify(c reconcile.Cause) {
	if loop := d.loop.Load(); loop != nil {
		loop.Notify(c)
		return
	}
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

// inTrouble books why there is no pass at all.
func (d *daemon) inTrouble(err error) {
	d.mu.Lock()
	d.trouble = err
	d.troubles++
	fresh := d.said != err.Error()
	d.said = err.Error()
	d.mu.Unlock()
	if fresh {
		fmt.Fprintln(d.app.std.err, "error: "+escapeLines(err.Error()))
	}
	// systemd is not kept waiting for a workspace that may take days to mend.
	d.firstPassed(err.Error())
}

// firstPassed tells systemd that the daemon is at work, with every pass anew
// what it is at.
func (d *daemon) firstPassed(text string) {
	d.mu.Lock()
	first := !d.passed
	d.passed = true
	d.mu.Unlock()
	if first {
		d.systemd.send("READY=1", sdStatus(text))
		return
	}
	d.systemd.send(sdStatus(text))
}

func (d *daemon) newLoop(rt reconcile.Runtime, store recordingStore) *reconcile.Loop {
	return reconcile.NewLoop(rt, store, reconcile.LoopOptions{
		Load:    d.load,
		Plan:    d.planOptions,
		Apply:   reconcile.ApplyOptions{Parallel: d.app.parallel, StepTimeout: d.app.timeout, Progress: d.event},
		Settle:  settleTime,
		Planned: d.planned,
		Ended:   d.ended,
		Looked:  d.looked,
	})
}

// looked passes on what a look saw.
func (d *daemon) looked(want plan.Desired, o plan.Observed, p plan.Plan) {
	d.routes.looked(want, o, p)
	d.agents.looked(want, o)
}

func (d *daemon) newRuntime(store *reconcile.Store) *daemonRuntime {
	return newDaemonRuntime(func(ctx context.Context) (*hostRuntime, error) {
		return d.app.openRuntime(ctx, d.feed.name, store, d.pull)
	})
}

// newReporter posts commit statuses, of workspaces in git alone unless
// --report-url says of which repository.
func (d *daemon) newReporter(name string) (*commitReporter, error) {
	repository := ""
	if g := d.feed.at.git; g != nil {
		repository = g.url
	}
	return d.app.newCommitReporter(name, repository)
}

// planOptions are those of the next plan: what is granted to the first pass and
// to the commands that wait for one.
func (d *daemon) planOptions() plan.Options {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := plan.Options{RequireApproval: d.app.approval == approvalAuthority}
	for _, g := range d.grants {
		out.AllowMassDelete = out.AllowMassDelete || g.AllowMassDelete
		out.AcceptLostRecords = out.AcceptLostRecords || g.AcceptLostRecords
		out.Adopt = out.Adopt || g.Adopt
	}
	return out
}

// views are all who look on.
func (d *daemon) views() []*passView {
	d.mu.Lock()
	defer d.mu.Unlock()
	views := []*passView{d.journal.view}
	for _, w := range d.watchers {
		views = append(views, w.view)
	}
	return views
}

func (d *daemon) planned(rec reconcile.PassRecord, p plan.Plan) {
	for _, v := range d.views() {
		v.planned(rec, p)
	}
	d.report.began(commitOf(rec.Revision))
}

func (d *daemon) pull(p podman.Progress) {
	for _, v := range d.views() {
		v.pull(p)
	}
}

func (d *daemon) event(e reconcile.Event) {
	d.agents.stepped(e)
	for _, v := range d.views() {
		v.event(e)
	}
}

// ended books the end of a pass.
func (d *daemon) ended(rec reconcile.PassRecord, res reconcile.PassResult, l reconcile.Loaded) {
	e := endedPass{rec, res, l}
	d.mu.Lock()
	d.last, d.said = e, ""
	d.trouble = notReady(e)
	known := res.Err == nil && !l.Fatal && rec.Result != reconcile.ResultSuperseded
	if known || len(res.Status) > 0 {
		d.status = res.Status
	}
	if known {
		d.desired = &l.Desired
		d.grants = slices.DeleteFunc(d.grants, func(g *plan.Options) bool { return g == d.first })
	}
	for _, w := range d.watchers {
		w.ended = append(w.ended, e)
	}
	d.mu.Unlock()
	d.agents.passed()
	if err := d.store.KeepFailures(l.Desired, res.Outcome); err != nil {
		d.journal.say("warning: %v", err)
	}
	d.metrics.ended(rec, res)
	d.journal.ended(e)
	d.thrift.used()
	d.report.passed(e)
	d.firstPassed(passHead(rec) + ": " + passSummary(e))
}

// notReady is why what the last pass read is not what the workspace says; nil =
// it is.
func notReady(e endedPass) error {
	switch {
	case e.res.Err != nil:
		return e.res.Err
	case e.loaded.Fatal || e.loaded.Diagnostics.HasErrors():
		return errors.New(firstProblem(e.loaded.Diagnostics))
	}
	return nil
}

// passSummary is how a pass ended, in a line.
func passSummary(e endedPass) string {
	text := string(e.rec.Result)
	if e.res.Err == nil && !e.loaded.Fatal {
		text += ", " + passCounts(e.res)
	}
	if len(e.rec.Errors) > 0 {
		text += ": " + e.rec.Errors[0]
	}
	return text
}

// commitOf is the commit of a revision; "" when files differ from it.
func commitOf(revision string) string {
	if strings.Contains(revision, "+") {
		return ""
	}
	return revision
}

// alive asks the loop for a sign of life.
func (d *daemon) alive(ctx context.Context) error {
	loop := d.loop.Load()
	if loop == nil {
		return nil // what goes on before there is a loop ends by itself
	}
	return loop.Ping(ctx)
}

// ready is nil when the last pass acted on what the workspace says now, and
// requests are taken.
func (d *daemon) ready() error {
	d.mu.Lock()
	trouble := d.trouble
	d.mu.Unlock()
	if trouble != nil {
		return trouble
	}
	return d.agents.ready()
}

// instances counts containers by state.
func (d *daemon) instances() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := map[string]int{}
	for _, st := range d.status {
		if st.ID.Kind.Role() == plan.RoleInstance {
			word, _, _ := strings.Cut(string(st.State), " ")
			n[strings.ToLower(word)]++
		}
	}
	return n
}

func (d *daemon) sourceAges() []sourceAge {
	var out []sourceAge
	for _, s := range d.feed.State() {
		age := sourceAge{name: s.Name, since: s.Since}
		if s.Stale {
			since := s.Since
			if since.IsZero() {
				since = d.began
			}
			age.stale = time.Since(since)
		}
		out = append(out, age)
	}
	return out
}
