// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"reconcile/control"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

const (
	// closeTime is how long requests may take to end when the daemon does.
	closeTime = 5 * time.Second
	// beginTime is how long a request for a pass waits for a daemon to begin.
	beginTime = 30 * time.Second
	beginPoll = 20 * time.Millisecond
)

// serve starts everything that answers questions.
func (d *daemon) serve(servers *group) error {
	l, err := control.Listen(d.app.daemonSocket(d.feed.at.root()))
	if errors.Is(err, control.ErrRunning) {
		return d.app.alreadyWatched(servers.ctx, d.feed.at.root())
	}
	if err != nil {
		return err
	}
	serveOn(servers, "control socket", &http.Server{Handler: control.Handler(d), ReadHeaderTimeout: closeTime}, l)

	router := d.router()
	srv, tcp, err := d.app.listenHTTP(servers.ctx, answers{alive: d.alive, ready: d.ready, metrics: d.metrics.handler(), router: router, agents: &d.agents})
	if err != nil {
		return err
	}
	if srv != nil {
		servers.run("router", router.Run)
		d.address = tcp.Addr().String()
		serveOn(servers, "listener", srv, tcp)
		d.journal.say("listening on http://%s", d.address)
	}
	hooks, tcp, err := d.listenHooks()
	if err != nil {
		return err
	}
	if hooks != nil {
		serveOn(servers, "listener for webhooks", hooks, tcp)
		d.journal.say("webhooks on http://%s/webhook", tcp.Addr())
	}
	return nil
}

// serveOn runs a server as a part of the group; when that ends, so do its
// requests, after a moment to end by themselves.
func serveOn(g *group, what string, srv *http.Server, l net.Listener) {
	g.run(what, func(ctx context.Context) error {
		closed := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(closed)
			wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
			defer cancel()
			if srv.Shutdown(wait) != nil {
				srv.Close()
			}
		})
		err := srv.Serve(l)
		l.Close() // the lock of the control socket, too
		if !stop() {
			<-closed
			return nil
		}
		return err
	})
}

// listenHooks opens the listener for webhooks of all repositories that are polled.
func (d *daemon) listenHooks() (*http.Server, net.Listener, error) {
	return d.app.listenWebhooks(d.feed.Watched, func() { d.feed.Refresh(reconcile.CauseWebhook) })
}

// Status says how things are, for the control socket.
func (d *daemon) Status(context.Context) (control.Status, error) {
	out := control.Status{
		PID: os.Getpid(), Version: version, Since: d.began, Root: d.feed.at.root(),
		Listen: d.address, Watching: d.watching(), Sources: []control.Source{},
	}
	for _, s := range d.feed.State() {
		out.Sources = append(out.Sources, s.public())
	}
	if loop := d.loop.Load(); loop != nil {
		facts, err := json.Marshal(loop.Status().Facts)
		if err != nil {
			return out, err
		}
		out.Facts = facts
	}
	if no := d.ready(); no != nil {
		out.Reason = no.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out.Workspace, out.Ready = d.name, out.Reason == ""
	if d.last.rec.Began.IsZero() {
		return out, nil
	}
	out.Revision = d.last.rec.Revision
	last, err := json.Marshal(d.last.rec)
	out.Last = last
	return out, err
}

// watching says how changes of files are noticed.
func (d *daemon) watching() string {
	switch st := d.watcher.State(); {
	case st.Folders == 0:
		return ""
	case st.Polling:
		return "polling"
	}
	return "events"
}

// Refresh looks now, remotes included, and does not wait for it.
func (d *daemon) Refresh(_ context.Context, r control.RefreshRequest) error {
	d.feed.Refresh(causeOf(r.Cause))
	return nil
}

// causeOf is a cause that a client named.
func causeOf(text string) reconcile.Cause {
	if c := reconcile.Cause(text); c == reconcile.CausePush {
		return c
	}
	return reconcile.CauseCommand
}

// Pass looks now, remotes included, and writes what comes of it. The client may
// go away meanwhile.
func (d *daemon) Pass(client context.Context, r control.PassRequest, stdout, stderr io.Writer) (int, error) {
	if no := d.app.refuses(r.Settings); no != nil {
		return 0, no
	}
	wish, err := wishOf(r.Wish)
	if err != nil {
		return 0, err
	}
	// What is asked of the remotes and of the loop goes on without the client.
	ctx, cancel := context.WithCancel(context.WithoutCancel(client))
	defer cancel()
	defer context.AfterFunc(d.stopping, cancel)()
	view := newPassView(d.readerOf(r, stdout, stderr))
	if r.Saved != nil {
		return d.passSaved(ctx, r, view)
	}
	if wish != nil {
		return d.passWish(ctx, r, wish, view)
	}
	w, done := d.attend(view, plan.Options{AllowMassDelete: r.AllowMassDelete, AcceptLostRecords: r.AcceptLostRecords, Adopt: r.Adopt})
	defer done()
	loop, err := d.begun(ctx)
	if err != nil {
		return 0, err
	}
	if err := d.feed.Ask(ctx); err != nil {
		return 0, errStopping()
	}
	rec, err := loop.Await(ctx, causeOf(r.Cause))
	if err != nil {
		return 0, errStopping()
	}
	for _, e := range d.endedUntil(w, rec) {
		view.show(e)
	}
	return rec.ExitCode, nil
}

// readerOf is the command that asked, as far as it is about what it is shown.
func (d *daemon) readerOf(r control.PassRequest, stdout, stderr io.Writer) *app {
	reader := &app{std: stdio{out: stdout, err: stderr}, lookupEnv: d.app.lookupEnv, output: r.Output, verbose: r.Verbose, color: "never", view: viewFlags{ascii: r.ASCII}}
	if r.Color {
		reader.color = "always"
	}
	return reader
}

// begun returns the loop. The error is a refusal.
func (d *daemon) begun(ctx context.Context) (*reconcile.Loop, error) {
	loop := d.awaitLoop(ctx)
	if loop == nil {
		return nil, &control.Refusal{Code: plan.ExitFault, Text: fmt.Sprintf("the daemon cannot begin: %v", d.ready())}
	}
	return loop, nil
}

// awaitLoop returns the loop. A daemon has none until it knows its workspace,
// such as the first commit of a repository; that is tried anew.
func (d *daemon) awaitLoop(ctx context.Context) *reconcile.Loop {
	if loop := d.loop.Load(); loop != nil {
		return loop
	}
	if d.feed.Ask(ctx) != nil {
		return nil
	}
	deadline := time.After(beginTime)
	for range 2 { // one that is under way may not know what the remotes answered
		before := d.countTroubles()
		d.notify(reconcile.CauseCommand)
		for d.countTroubles() == before {
			if loop := d.loop.Load(); loop != nil {
				return loop
			}
			select {
			case <-ctx.Done():
				return nil
			case <-deadline:
				return nil
			case <-time.After(beginPoll):
			}
		}
	}
	return d.loop.Load()
}

func (d *daemon) countTroubles() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.troubles
}

func errStopping() error {
	return &control.Refusal{Code: plan.ExitFault, Text: "the daemon is ending; run this again"}
}

// attend adds a reader of passes, and what is granted to them for as long as it
// waits.
func (d *daemon) attend(v *passView, granted plan.Options) (_ *passWatcher, done func()) {
	w := &passWatcher{view: v}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watchers = append(d.watchers, w)
	grant := &granted
	d.grants = append(d.grants, grant)
	return w, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.watchers = slices.DeleteFunc(d.watchers, func(x *passWatcher) bool { return x == w })
		d.grants = slices.DeleteFunc(d.grants, func(x *plan.Options) bool { return x == grant })
	}
}

// endedUntil returns the pass that the record is of, and where there is room for
// them those before it that did something.
func (d *daemon) endedUntil(w *passWatcher, rec reconcile.PassRecord) []endedPass {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []endedPass
	for _, e := range w.ended {
		last := e.rec.Began.Equal(rec.Began)
		if last || len(e.rec.Changes) > 0 && w.view.app.output == "text" {
			out = append(out, e)
		}
		if last {
			break
		}
	}
	return out
}
