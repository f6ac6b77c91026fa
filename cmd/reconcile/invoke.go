// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// The exit codes of invoke, beside 0 for a success and 1 for a failure.
const (
	exitRejected    = 77 // no execution was made
	exitTimeout     = 124
	exitInterrupted = 130
)

// invocation is one request for a TaskAgent, as it was asked for.
type invocation struct {
	name   string
	data   string // DATA, @FILE, - or @-
	given  bool   // data was given
	method string
	path   string // below that of the agent, with a query
	// headers are NAME: VALUE each.
	headers []string
	// contentType counts where typed is set; otherwise it is JSON.
	contentType string
	typed       bool
	trigger, id string
	maxTime     time.Duration // 0 = the agent's own timeout alone
}

func newInvokeCommand(a *app) *cobra.Command {
	var inv invocation
	cmd := &cobra.Command{
		Use:   "invoke NAME",
		Short: "Have a TaskAgent answer a request",
		Long: `Sends a request to a TaskAgent and prints what it answers, byte for byte and as it
comes. The id of the execution, and why one failed, are told on stderr; what the
agent wrote there is in its log. With -o json all of it is one document.

The daemon runs the agent, if there is one. Otherwise this command does, with what
the last pass made ready: it holds the workspace for as long as that takes, and
leaves nothing behind. Interrupting it cancels the run.

Exit codes: 0 it succeeded, 1 it failed, 124 it took longer than its timeout or
--max-time, 77 the request was rejected and no execution was made, 130 interrupted.`,
		Example: `  reconcile invoke word-count -d '{"text": "hello brave new world"}'
  reconcile invoke word-count -d @request.json
  git diff | reconcile invoke review -d - --content-type text/plain`,
		Args: oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			inv.name = args[0]
			inv.given, inv.typed = cmd.Flags().Changed("data"), cmd.Flags().Changed("content-type")
			if inv.maxTime < 0 {
				return fmt.Errorf("--max-time: %v is negative", inv.maxTime)
			}
			return a.invoke(cmd.Context(), inv)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&inv.data, "data", "d", "", "the body: `DATA`, @FILE, or - for standard input (default: none)")
	fs.StringArrayVarP(&inv.headers, "header", "H", nil, "a header `NAME: VALUE` of the request; may be repeated")
	fs.StringVar(&inv.contentType, "content-type", "application/json", "`type` of the body; \"\" sends none")
	fs.StringVarP(&inv.method, "request", "X", http.MethodPost, "`METHOD` of the request")
	fs.StringVar(&inv.path, "path", "", "`PATH` below that of the agent, with a query if need be")
	fs.StringVar(&inv.trigger, "trigger", "", "what made the request: the header X-Clrk-Trigger")
	fs.StringVar(&inv.id, "id", "", "`ID` of the execution: the header X-Clrk-Execution-ID (default: a new one)")
	fs.DurationVarP(&inv.maxTime, "max-time", "m", 0, "cancel the run after `DURATION` (default: the agent's own timeout)")
	return cmd
}

// errMaxTime ends an invocation.
var errMaxTime = errors.New("it took longer than --max-time")

func (a *app) invoke(ctx context.Context, inv invocation) error {
	defer outlivePipes()()
	ctx, done := inv.bound(ctx)
	defer done()
	src, archive, err := a.loadToLook(ctx)
	if err != nil {
		return err
	}
	agent, err := a.agentToInvoke(src, archive, inv.name)
	if err != nil {
		return a.notInvoked(ctx, inv, err)
	}
	req, err := inv.request(ctx, agent.ID, a.std.in)
	if err != nil {
		return a.notInvoked(ctx, inv, err)
	}
	door, end, err := a.openAgent(ctx, src, archive, agent)
	if err != nil {
		return a.notInvoked(ctx, inv, err)
	}
	out := &outcome{app: a, agent: agent.ID, maxTime: inv.maxTime}
	err = out.take(ctx, door, req)
	return errors.Join(err, end())
}

// bound is ctx with the limit of the invocation.
func (inv invocation) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if inv.maxTime == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, inv.maxTime, errMaxTime)
}

// outlivePipes has a reader that has gone fail a write rather than end this process,
// which has to clean up.
func outlivePipes() (undo func()) {
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	return func() { signal.Stop(pipes) }
}

// rejection is why a request is not sent at all.
type rejection struct{ error }

func rejectf(format string, args ...any) error { return rejection{fmt.Errorf(format, args...)} }

// agentToInvoke is the TaskAgent that is meant, as it is known here.
func (a *app) agentToInvoke(src source, archive *reconcile.Archive, name string) (plan.Agent, error) {
	records, unread := archive.Load() // what cannot be read may be of others
	agents := plan.Agents(src.Desired, records)
	var ids []plan.ID
	for _, agent := range agents {
		ids = append(ids, agent.ID)
	}
	id, err := findID(name, ids)
	if err != nil && unread != nil {
		return plan.Agent{}, unread
	}
	if err != nil {
		if other, otherErr := findID(name, desiredIDs(src.Desired)); otherErr == nil {
			return plan.Agent{}, rejectf("%s is no TaskAgent, and takes no requests", other)
		}
		if src.Fatal {
			a.printDiagnostics(src.Diagnostics)
		}
		return plan.Agent{}, rejection{err}
	}
	agent, _ := agentOf(agents, id)
	return agent, nil
}

// door is where requests for TaskAgents are answered.
type door interface {
	// Do answers a request, whose URL has a path below /agents/.
	Do(req *http.Request) (*http.Response, error)
}

// openAgent is where a TaskAgent answers: at the daemon, or in this process until
// end is called, which leaves nothing behind.
func (a *app) openAgent(ctx context.Context, src source, archive *reconcile.Archive, agent plan.Agent) (d door, end func() error, err error) {
	c, err := a.dialDaemon(ctx, src.root)
	if err != nil {
		return nil, nil, err
	}
	if c != nil {
		return c, func() error { return nil }, nil
	}
	if err := noRevision(agent); err != nil {
		_, unread := archive.LoadOf(agent.ID)
		return nil, nil, cmp.Or(unread, err)
	}
	if text := outdated(src.Desired, agent); text != "" {
		fmt.Fprintln(a.std.err, "hint: "+escape(text))
	}
	return a.openAgentHere(ctx, src, agent.ID)
}

// noRevision is why an agent cannot be run without a pass before; nil = it can.
func noRevision(agent plan.Agent) error {
	if agent.Revision.Number > 0 {
		return nil
	}
	return rejectf("%s has no revision that is ready: run `reconcile` first, which says what is missing", agent.ID)
}

// outdated says that the workspace asks for another agent than the last pass made
// ready; "" = it does not.
func outdated(d plan.Desired, agent plan.Agent) string {
	for _, r := range d.Resources {
		if r.ID.Compare(agent.ID) == 0 && r.Spec.Digest() != agent.Revision.Digest {
			return fmt.Sprintf("%s has changed since %s was made: `reconcile` makes a new revision", agent.ID, agent.Revision.Name())
		}
	}
	return ""
}
