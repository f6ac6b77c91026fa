// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"reconcile/dispatch"
	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// defaultDrain is how long executions may go on when a daemon is told to end.
const defaultDrain = 30 * time.Second

// newDispatcher returns what runs the executions of the workspace. Nothing of it
// runs yet.
func (d *daemon) newDispatcher(name string, rt *daemonRuntime) (*dispatch.Dispatcher, error) {
	scratch, err := d.app.repliesDir(name)
	if err != nil {
		return nil, err
	}
	return dispatch.NewDispatcher(dispatch.DispatcherOptions{
		Runtime: &lateExecutions{rt: rt, options: podman.ExecutionOptions{
			Workspace: name, Root: d.feed.at.root(), Log: d.app.logger(),
		}},
		Journal:      dispatch.OpenFolder(d.app.executionsDir(name)),
		Scratch:      scratch,
		DrainTimeout: d.drain,
		Idle:         func(plan.ID, string) { d.notify(reconcile.CauseRuntime) },
		Ended:        d.metrics.executed,
		Fired:        d.fired,
		Log:          d.app.logger(),
	}), nil
}

// repliesDir is the folder for the replies of a workspace that are too large for
// memory. It is made.
func (a *app) repliesDir(name string) (string, error) {
	dir := filepath.Join(a.workspaceDir(name), "cache", "replies")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("folder for large replies: %w", err)
	}
	return dir, nil
}

// dispatches runs the executions of the workspace until ctx has ended, and no
// execution goes on any more.
func (d *daemon) dispatches(ctx context.Context, by *dispatch.Dispatcher) error {
	defer context.AfterFunc(ctx, d.draining)()
	return by.Run(ctx)
}

// draining tells people that the daemon waits for executions.
func (d *daemon) draining() {
	n := d.agents.inFlight()
	if n == 0 {
		return
	}
	text := fmt.Sprintf("waiting for %s to end, %s at most", count(n, "execution"), d.drain)
	d.journal.say("%s", text)
	d.systemd.send(extendTimeout(d.drain+closeTime), sdStatus(text))
}

// fired tells of a run of a schedule that failed.
func (d *daemon) fired(agent plan.ID, s dispatch.CronState) {
	if s.Outcome == dispatch.Succeeded {
		return
	}
	d.journal.say("warning: %s: the run of %s failed: %s", escape(agent.String()), s.Slot.UTC().Format(time.RFC3339), replyText(s))
}

// maxReplyText is how much of a reply is told, in bytes.
const maxReplyText = 300

// replyText is the answer to a run of a schedule that failed, in a line.
func replyText(s dispatch.CronState) string {
	out := string(s.Outcome)
	if s.Status != 0 {
		out = fmt.Sprintf("status %d", s.Status)
	}
	text := strings.Join(strings.Fields(s.Reply), " ")
	if len(text) > maxReplyText {
		text = strings.ToValidUTF8(text[:maxReplyText], "") + "…"
	}
	if text != "" {
		out += ": " + escape(text)
	}
	return out
}

// obeyAgain ends what goes on at the second signal to end. The third one is not for
// us any more, and the second is not either once nothing is waited for.
func (d *daemon) obeyAgain(ctx context.Context) error {
	if d.again == nil {
		return nil
	}
	defer signal.Stop(d.again)
	for range 2 {
		select {
		case <-d.again:
		case <-d.drained:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	d.journal.say("ending %s", count(d.agents.inFlight(), "execution"))
	d.agents.cut()
	return nil
}

// recordingStore tells of what is recorded of TaskAgents, which need no pass for it.
type recordingStore struct {
	*reconcile.Store
	agents *taskAgents
}

// Put keeps a record.
func (s recordingStore) Put(ctx context.Context, r plan.Record) error {
	if err := s.Store.Put(ctx, r); err != nil {
		return err
	}
	if tells(r) {
		s.agents.recorded(r.ID)
	}
	return nil
}

// tells reports whether a record may change what a TaskAgent is, see [plan.Agents], by
// itself. A new revision does once it is activated: the settings that it came with
// are recorded by then.
func tells(r plan.Record) bool {
	return r.ID.Kind == plan.TaskAgent && (r.Kind == plan.RecordDispatch || r.Kind == plan.RecordWish)
}
