// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// endTimeout bounds what it takes to end a hook that is not to go on.
const endTimeout = 30 * time.Second

// exec runs a hook in the running container, by the helper. When the context ends
// first, all that the hook started is ended.
func (r *Runtime) exec(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	if s.Hook == nil {
		return plan.Object{}, fmt.Errorf("exec %s: there is no hook", s.Name)
	}
	c, err := r.inspectOurs(ctx, s, d)
	if err == nil && c == nil {
		err = fmt.Errorf("%s: the container is gone", s.Hook.Name)
	}
	if err != nil {
		return plan.Object{}, err
	}
	if c.State.Status != "running" {
		return plan.Object{}, fmt.Errorf("%s: the container is %s", s.Hook.Name, c.State.Status)
	}
	hook := helper.Hook{
		Name: string(s.Hook.Name), Shell: []string{"/bin/sh", "-lc"}, Commands: s.Hook.Commands,
		Secrets: secretNames(s, d), Limit: hookLimit, Timeout: s.Hook.Timeout,
	}
	out := r.openHookOutput(s, s.Target, s.Hook.Name)
	r.say(s, "run %s", s.Hook.Name)
	code, err := r.execHelper(ctx, s.Object, execOptions{args: hook.Args(), dir: mountedCode(c), out: out})
	if err != nil && ctx.Err() != nil {
		r.endHook(ctx, s.Object, hook)
	}
	said, logErr := out.close()
	switch {
	case err != nil && ctx.Err() != nil:
		return plan.Object{}, unfinishedHook(s.Hook.Name, said)
	case err != nil:
		return plan.Object{}, fmt.Errorf("%s: %w", s.Hook.Name, err)
	case code != 0:
		return plan.Object{}, hookFailed(s.Hook.Name, code, false, said)
	case logErr != nil:
		r.say(s, "the output of %s is not complete: %v", s.Hook.Name, logErr)
	}
	return plan.Object{ID: s.Target, Handle: c.ID, Name: c.Name, State: plan.StateRunning, Started: c.State.StartedAt}, nil
}

// secretNames are the variables of the target that are secrets.
func secretNames(s plan.Step, d plan.Desired) []string {
	for _, res := range d.Resources {
		if res.ID.Compare(s.Target) == 0 && res.Spec.Container != nil {
			return sortedKeys(secretVariables(*res.Spec.Container))
		}
	}
	return nil
}

// execOptions are what the helper is run with.
type execOptions struct {
	args []string
	dir  string // "" = where the container says
	out  *hookOutput
}

// mountedCode is codeDir of a container that is there.
func mountedCode(c *define.InspectContainerData) string {
	if slices.ContainsFunc(c.Mounts, func(m define.InspectMount) bool { return m.Destination == codeTarget }) {
		return codeTarget
	}
	return ""
}

// execHelper runs the helper in a container and returns its exit status. It
// returns when nobody writes to the output any more. A context that ends breaks the
// stream off, and not what runs.
func (r *Runtime) execHelper(ctx context.Context, handle string, o execOptions) (code int, err error) {
	config := new(handlers.ExecCreateConfig)
	config.Cmd, config.WorkingDir = append([]string{helper.Server}, o.args...), o.dir
	config.AttachStdout, config.AttachStderr = true, true
	id, err := containers.ExecCreate(ctx, handle, config)
	if err != nil {
		return 0, r.explain("exec", err)
	}
	conn, end, err := r.breakable(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	ended := make(chan error, 1)
	go func() {
		opt := new(containers.ExecStartAndAttachOptions).WithOutputStream(o.out).WithErrorStream(o.out).
			WithAttachOutput(true).WithAttachError(true)
		ended <- containers.ExecStartAndAttach(conn, id, opt)
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		end()
		<-ended
		return 0, context.Cause(ctx)
	}
	if err != nil {
		return 0, r.explain("exec", err)
	}
	return r.execCode(ctx, id)
}

// execCode waits for the end of an exec whose output has ended, and returns its exit
// status.
func (r *Runtime) execCode(ctx context.Context, id string) (int, error) {
	for {
		got, err := containers.ExecInspect(ctx, id, nil)
		switch {
		case err != nil:
			return 0, r.explain("inspect exec", err)
		case !got.Running:
			return got.ExitCode, nil
		case !pause(ctx, endPoll):
			return 0, context.Cause(ctx)
		}
	}
}

// endHook ends what runs of a hook: the helper does so before another run of the
// same hook, which here is of nothing.
func (r *Runtime) endHook(ctx context.Context, handle string, hook helper.Hook) {
	ctx, cancel := context.WithTimeout(r.with(context.WithoutCancel(ctx)), endTimeout)
	defer cancel()
	hook = helper.Hook{Name: hook.Name, Shell: []string{helper.Server}, Commands: []string{"none"}}
	// What is not ended now is ended by the next run.
	_, _ = r.execHelper(ctx, handle, execOptions{args: hook.Args(), out: new(hookOutput)})
}
