// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"reconcile/dispatch"
	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

// executionsPoll is how often somebody who waits for an execution looks for one.
const executionsPoll = 200 * time.Millisecond

// namedAgent is the TaskAgent that a NAME means: one that should be, or one of which
// executions are kept. False: it means something else, or nothing.
func (a *app) namedAgent(src source, name string) (plan.ID, bool, error) {
	ids := desiredIDs(src.Desired)
	kept, err := dispatch.Look(a.executionsDir(src.name)).Agents()
	if err != nil {
		return plan.ID{}, false, err
	}
	for _, id := range kept {
		if !slices.ContainsFunc(ids, func(other plan.ID) bool { return other.Compare(id) == 0 }) {
			ids = append(ids, id)
		}
	}
	if !slices.ContainsFunc(ids, func(id plan.ID) bool { return id.Kind == plan.TaskAgent && names(id, name) }) {
		return plan.ID{}, false, nil
	}
	id, err := findID(name, ids)
	return id, id.Kind == plan.TaskAgent, err
}

// executionLog prints what executions of one TaskAgent wrote.
type executionLog struct {
	app  *app
	src  source
	id   plan.ID
	kept dispatch.Kept
	opt  podman.LogOptions
}

// printExecutionLog prints what an execution of a TaskAgent wrote: the one that text
// means, or the last. Podman is not asked: what executions wrote is kept. To follow
// without a text goes on with the next one, whenever that comes.
func (a *app) printExecutionLog(ctx context.Context, src source, id plan.ID, text string, opt podman.LogOptions) error {
	l := executionLog{a, src, id, dispatch.Look(a.executionsDir(src.name)), opt}
	list, err := a.keptExecutions(src.name, id)
	if err != nil {
		return err
	}
	if text != "" {
		e, err := l.pick(text, list)
		if err != nil {
			return err
		}
		return l.print(ctx, e)
	}
	if opt.Follow {
		return l.followAll(ctx, list)
	}
	if len(list) == 0 {
		return fmt.Errorf("nothing is kept of %s: it has answered no request yet", id)
	}
	return l.print(ctx, list[0])
}

// pick is the execution that text means: the newest with that id, or the one whose
// key begins so.
func (l executionLog) pick(text string, list []dispatch.Execution) (dispatch.Execution, error) {
	var same, begun []dispatch.Execution
	for _, e := range list {
		if e.ID == text {
			same = append(same, e)
		}
		if strings.HasPrefix(e.Key, text) {
			begun = append(begun, e)
		}
	}
	if len(same) > 1 {
		fmt.Fprintf(l.app.std.err, "hint: %d executions have the id %s, and this is the last; --execution takes their keys too: %s\n",
			len(same), escape(text), strings.Join(keysOf(same), ", "))
	}
	switch {
	case len(same) > 0:
		return same[0], nil
	case len(begun) == 1:
		return begun[0], nil
	case len(begun) > 1:
		return dispatch.Execution{}, fmt.Errorf("%q is ambiguous: %s", text, strings.Join(keysOf(begun), ", "))
	case len(list) == 0:
		return dispatch.Execution{}, fmt.Errorf("nothing is kept of %s: it has answered no request yet", l.id)
	}
	var ids []string
	for _, e := range list[:min(len(list), 5)] {
		ids = append(ids, e.ID)
	}
	return dispatch.Execution{}, fmt.Errorf("no execution %q of %s is kept; the last were: %s", text, l.id, strings.Join(ids, ", "))
}

func keysOf(list []dispatch.Execution) []string {
	var out []string
	for _, e := range list[:min(len(list), 10)] {
		out = append(out, e.Key)
	}
	return out
}

// print prints the log of one execution, and follows it if that is asked for.
func (l executionLog) print(ctx context.Context, e dispatch.Execution) error {
	l.introduce(e)
	a, dir := l.app, l.kept.Dir(l.id)
	if e.Outcome == dispatch.Running && l.opt.Follow {
		err := podman.FollowLog(ctx, dir, e.Key, l.opt, func() bool { return !l.goesOn(e.Key) }, a.std.out, a.std.err)
		if err == nil && ctx.Err() == nil {
			l.conclude(e)
		}
		return err
	}
	err := podman.RunLog(ctx, dir, e.Key, l.opt, a.std.out, a.std.err)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(a.std.err, "it has written nothing")
		return nil
	}
	return err
}

// introduce says which execution it is whose log follows.
func (l executionLog) introduce(e dispatch.Execution) {
	fmt.Fprintf(l.app.std.err, "execution %s of %s: %s\n", escape(e.ID), escape(cmp.Or(e.Revision, l.id.Name)), executionText(e))
}

// conclude says how an execution ended that was followed.
func (l executionLog) conclude(e dispatch.Execution) {
	if now, ok := l.look(e.Key); ok {
		e = now
	}
	fmt.Fprintf(l.app.std.err, "execution %s: %s\n", escape(e.ID), executionText(e))
}

// executionText says how an execution is doing.
func executionText(e dispatch.Execution) string {
	text := string(e.Outcome)
	if e.Outcome == dispatch.Running {
		text += " since " + clock(e.Accepted)
	} else if !e.Ended.IsZero() {
		text += " at " + clock(e.Ended) + " after " + executionTook(e)
	}
	if e.Reason != "" {
		text += ": " + firstLine(e.Reason)
	}
	return escape(text)
}

// look is an execution as it is now.
func (l executionLog) look(key string) (dispatch.Execution, bool) {
	e, ok := l.kept.Execution(l.id, key)
	holder, held := reconcile.LookHolder(l.app.workspaceDir(l.src.name))
	return lostUnlessHeld(e, holder, held), ok
}

func (l executionLog) goesOn(key string) bool {
	e, ok := l.look(key)
	return ok && e.Outcome == dispatch.Running
}

// followAll follows the last execution, if it goes on, and each that comes after, in
// the order in which they were accepted, until ctx ends.
func (l executionLog) followAll(ctx context.Context, list []dispatch.Execution) error {
	seen := map[string]bool{}
	for i, e := range list {
		seen[e.Key] = i > 0 || e.Outcome != dispatch.Running
	}
	for told := false; ctx.Err() == nil; {
		e, ok := oldest(list, seen)
		switch {
		case ok:
			seen[e.Key], told = true, false
			if err := l.print(ctx, e); err != nil {
				return err
			}
			l.opt.Tail = 0 // that was of what was there
		case !told:
			fmt.Fprintf(l.app.std.err, "waiting for an execution of %s\n", escape(l.id.String()))
			told = true
		}
		if !ok {
			select {
			case <-time.After(executionsPoll):
			case <-ctx.Done():
			}
		}
		var err error
		if list, err = l.app.keptExecutions(l.src.name, l.id); err != nil {
			return err
		}
	}
	return nil
}

// oldest is the oldest execution of a list, newest first, that was not seen.
func oldest(list []dispatch.Execution, seen map[string]bool) (dispatch.Execution, bool) {
	for _, e := range slices.Backward(list) {
		if !seen[e.Key] {
			return e, true
		}
	}
	return dispatch.Execution{}, false
}
