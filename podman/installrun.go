// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/reconcile/plan"
)

const (
	// annotationHook marks the container of an install hook and names its image. It
	// is no label, since labels would go into that image.
	annotationHook = "reconcile.hook"
	// dropTimeout bounds the removal of a container of a hook.
	dropTimeout = time.Minute
	// endPoll is how often is looked whether what said its last has ended.
	endPoll = 10 * time.Millisecond
)

// startAttached starts the container of a hook with somebody listening. What
// listens ends with wait.
func (r *Runtime) startAttached(ctx context.Context, x *installRun, id string) error {
	conn, end, err := r.breakable(ctx)
	if err != nil {
		return err
	}
	ready, ended := make(chan bool, 1), make(chan error, 1)
	go func() {
		ended <- containers.Attach(conn, id, nil, x.out, x.out, ready, new(containers.AttachOptions).WithStream(true))
	}()
	x.attached = &attached{ended: ended, end: end}
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		return r.explain("attach", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := containers.Start(ctx, id, nil); err != nil {
		return r.explain("start the container of install", err)
	}
	return nil
}

// attached is a stream under way.
type attached struct {
	ended chan error
	end   func()
}

// close breaks the stream off and returns when nobody writes any more.
func (a *attached) close() {
	if a != nil {
		a.end()
		<-a.ended
		a.ended <- nil
	}
}

// wait waits until the hook is done.
func (x *installRun) wait(ctx context.Context, id string) error {
	defer x.attached.close()
	select {
	case err := <-x.attached.ended: // however the stream ends, the container tells more
		x.attached.ended <- err
	case <-ctx.Done():
		x.attached.close()
		said, _ := x.out.close()
		return unfinishedHook(plan.HookInstall, said)
	}
	for {
		c, err := containers.Inspect(ctx, id, nil)
		if err != nil {
			return x.r.explain("inspect the container of install", err)
		}
		switch c.State.Status {
		case "running", "stopping", "created", "initialized", "configured":
		default:
			said, err := x.out.close()
			if err != nil {
				x.r.say(x.s, "the output of install is not complete: %v", err)
			}
			if code := int(c.State.ExitCode); code != 0 {
				return hookFailed(plan.HookInstall, code, c.State.OOMKilled, said)
			}
			return nil
		}
		if !pause(ctx, endPoll) {
			said, _ := x.out.close()
			return unfinishedHook(plan.HookInstall, said)
		}
	}
}

// unfinishedHook is the error of a hook that was ended before it was done. Why is
// for the context to say.
func unfinishedHook(hook plan.HookName, said string) error {
	text := string(hook) + " was ended before it was done"
	if said != "" {
		text += "; it said last:\n" + indent(said)
	}
	return fmt.Errorf("%s", text)
}

// hookName is a name for the container of an instance's install hook that no
// other run of this process has, and what gives it back.
func (r *Runtime) hookName(d plan.Desired, of plan.Resource) (name string, forget func()) {
	name = d.Workspace + hookInfix + strings.TrimPrefix(of.Name, d.Workspace+"-")
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range d.Resources {
		if res.Name == name { // an agent may be called so
			name += "-" + strings.ToLower(rand.Text()[:6])
			break
		}
	}
	r.hooking[name] = true
	return name, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.hooking, name)
	}
}

// hookInfix stands in the names of containers of install hooks behind the
// workspace.
const hookInfix = "-hook-"

// dropHook ends the hook and removes its container. What stays is found by the
// next sweep.
func (r *Runtime) dropHook(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	_ = removeAtOnce(ctx, id)
}

// sweepHooks ends and removes what is left of install hooks of the workspace that
// nobody runs any more, since whoever ran them was killed.
func (r *Runtime) sweepHooks(ctx context.Context, d plan.Desired) error {
	filter := map[string][]string{"label": {plan.ImageLabel(plan.LabelWorkspace) + "=" + d.Workspace}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		return r.explain("list containers", err)
	}
	for _, c := range list {
		if len(c.Names) == 0 || !strings.HasPrefix(c.Names[0], d.Workspace+hookInfix) {
			continue
		}
		r.mu.Lock()
		running := r.hooking[c.Names[0]]
		r.mu.Unlock()
		if running {
			continue
		}
		// The labels alone may be those of an image of ours that somebody uses.
		got, err := containers.Inspect(ctx, c.ID, nil)
		if notFound(err) {
			continue
		}
		if err != nil {
			return r.explain("inspect "+c.Names[0], err)
		}
		obj, ok := plan.ParseImageLabels(got.Config.Labels)
		mine := ok && obj.Root == d.Root && obj.Owner == r.opt.Owner && got.Config.Annotations[annotationHook] == obj.ID.String()
		if !mine {
			continue
		}
		if err := removeAtOnce(ctx, c.ID); err != nil {
			return r.explain("remove "+c.Names[0]+", which an interrupted run left", err)
		}
	}
	return nil
}

// sweepOnce is sweepHooks and sweepRuns, once in the life of a Runtime: what ran when it began
// is not its own.
func (r *Runtime) sweepOnce(ctx context.Context, d plan.Desired) error {
	r.sweeping.Lock()
	defer r.sweeping.Unlock()
	if r.swept {
		return nil
	}
	err := errors.Join(r.sweepHooks(ctx, d), r.sweepRuns(ctx, d))
	r.swept = err == nil
	return err
}
