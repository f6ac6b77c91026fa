// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/reconcile/plan"
)

// start starts a container, or thaws a paused one; one that runs is left alone.
func (r *Runtime) start(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	if !r.knows(s, d) {
		c, err := r.inspectOurs(ctx, s, d)
		if err == nil && c == nil {
			err = fmt.Errorf("start %s: the container is gone", s.Name)
		}
		if err != nil {
			return plan.Object{}, err
		}
	}
	err := containers.Start(ctx, s.Object, nil)
	if says(err, "container state improper") {
		// Older services say so of a paused container, newer ones of a running one.
		if thawed := containers.Unpause(ctx, s.Object, nil); thawed == nil {
			err = nil
		}
	}
	if says(err, "already in use", "address in use") && says(err, "address") {
		return plan.Object{}, fmt.Errorf("start %s: a port is taken by somebody else: %w", s.Name, err)
	}
	if err != nil && !says(err, "already running") {
		return plan.Object{}, r.explain("start "+s.Name, err)
	}
	return plan.Object{ID: s.Target, Handle: s.Object, Name: s.Name, State: plan.StateRunning, Started: time.Now()}, nil
}

// lastLines is how much of its log a container that failed is quoted with.
const lastLines = 10

// pollInterval is how often a wait looks. An inspect costs the service about
// two milliseconds.
const pollInterval = 100 * time.Millisecond

// wait waits until the container is as far as the step says. Ready is running,
// and passing where it has a readiness probe. A container that exited instead is
// an error that quotes its last lines.
func (r *Runtime) wait(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	finished := s.Until == plan.UntilFinished
	late := func() error { return fmt.Errorf("wait for %s: %w", s.Name, context.Cause(ctx)) }
	for {
		c, err := containers.Inspect(ctx, s.Object, nil)
		if err != nil && ctx.Err() != nil {
			return plan.Object{}, late()
		}
		if err != nil {
			return plan.Object{}, r.explain("wait for "+s.Name, err)
		}
		g := r.gateOf(s, d, c)
		open, readiness, news := g.look()
		late = func() error { return g.late(ctx, s, c, readiness) }
		obj := plan.Object{ID: s.Target, Handle: c.ID, Name: c.Name, Started: c.State.StartedAt, State: plan.StateRunning}
		switch c.State.Status {
		case "running":
			if open && !finished {
				return obj, nil
			}
		case "exited", "stopped":
			obj.State, obj.ExitCode, obj.Finished = plan.StateExited, int(c.State.ExitCode), c.State.FinishedAt
			if finished && obj.ExitCode == 0 {
				return obj, nil
			}
			return obj, r.exited(ctx, s, c)
		case "dead", "removing", "unknown":
			return obj, fmt.Errorf("wait for %s: it is %s", s.Name, c.State.Status)
		}
		if !g.pause(ctx, news) {
			return obj, late()
		}
	}
}

// exited is the error for a container that ended before it was ready.
func (r *Runtime) exited(ctx context.Context, s plan.Step, c *define.InspectContainerData) error {
	text := fmt.Sprintf("%s exited with code %d", s.Name, c.State.ExitCode)
	if c.State.OOMKilled || c.State.ExitCode == killed {
		text = s.Name + " ended: " + ended(int(c.State.ExitCode), c.State.OOMKilled)
	}
	var said strings.Builder
	err := r.Logs(ctx, s.Object, LogOptions{Tail: lastLines}, &said, &said)
	if lines := strings.TrimRight(said.String(), "\n"); err == nil && lines != "" {
		text += "; it said last:\n" + indent(clean(lines))
	}
	return fmt.Errorf("%s", text)
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

// stop ends the container's process: SIGTERM, then SIGKILL after the timeout
// that the container was created with.
func (r *Runtime) stop(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	c, err := r.inspectOurs(ctx, s, d)
	if err != nil || c == nil {
		return plan.Object{}, err
	}
	obj := plan.Object{ID: s.Target, Handle: s.Object, Name: s.Name, State: plan.StateExited, Started: c.State.StartedAt, Finished: time.Now()}
	if c.State.Status == "paused" {
		// A frozen process hears no signal.
		if err := containers.Unpause(ctx, s.Object, nil); err != nil && !says(err, "is not paused") {
			return plan.Object{}, r.explain("stop "+s.Name, err)
		}
	}
	err = containers.Stop(ctx, s.Object, nil)
	switch {
	case err == nil, notFound(err), says(err, "can only stop created or running", "container state improper"):
		return obj, nil
	}
	return plan.Object{}, r.explain("stop "+s.Name, err)
}

// knows reports whether this Runtime observed or made the container as what the
// step takes it for. A container's ID is never used again and its labels never
// change, so that needs no second look; another look is taken before whatever
// cannot be undone.
func (r *Runtime) knows(s plan.Step, d plan.Desired) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen, ok := r.seen[s.Object]
	return ok && seen.id == s.Target && seen.workspace == d.Workspace
}

// inspectOurs inspects the container and checks that the step may touch it. A
// container that is gone is nil, without an error.
func (r *Runtime) inspectOurs(ctx context.Context, s plan.Step, d plan.Desired) (*define.InspectContainerData, error) {
	c, err := containers.Inspect(ctx, s.Object, nil)
	if notFound(err) {
		return nil, nil //nolint:nilnil // gone is an answer
	}
	if err != nil {
		return nil, r.explain("inspect "+s.Name, err)
	}
	if err := r.check(c.Config.Labels, s, d, c.ID); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Op, err)
	}
	return c, nil
}

// activate gives the container its proper name.
func (r *Runtime) activate(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	c, err := r.inspectOurs(ctx, s, d)
	if err != nil {
		return plan.Object{}, err
	}
	if c == nil {
		return plan.Object{}, fmt.Errorf("rename to %s: the container is gone", s.Name)
	}
	obj := plan.Object{ID: s.Target, Handle: c.ID, Name: s.Name}
	if c.Name == s.Name {
		return obj, nil
	}
	err = containers.Rename(ctx, s.Object, new(containers.RenameOptions).WithName(s.Name))
	if says(err, "already in use") {
		return plan.Object{}, fmt.Errorf("rename %s to %s: the name belongs to another container: %w", c.Name, s.Name, err)
	}
	return obj, r.explain("rename "+c.Name+" to "+s.Name, err)
}

// delete removes the container, running or not, and the nameless volumes of its
// image. Named volumes and folders stay, but for copies that nobody uses any
// more, and the folder of a run.
func (r *Runtime) delete(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	c, err := r.inspectOurs(ctx, s, d)
	if err == nil && c == nil && s.Run != "" {
		return plan.Object{}, r.deleteRun(ctx, s, d)
	}
	if err != nil || c == nil {
		return plan.Object{}, err
	}
	if err := r.removeContainer(ctx, c.ID); err != nil {
		return plan.Object{}, r.explain("delete "+s.Name, err)
	}
	if c.Config.Labels[labelSecrets] != "" {
		if err := r.pruneSecrets(ctx, d); err != nil {
			return plan.Object{}, err
		}
	}
	labels := c.Config.Labels
	if err := errors.Join(r.dropCopies(ctx, labels), r.dropChannel(ctx, labels), r.dropRun(ctx, labels[labelRun])); err != nil {
		return plan.Object{}, err
	}
	return plan.Object{ID: s.Target, Handle: c.ID, Name: c.Name}, nil
}

// lastRemoval is the longest time between two tries to remove a container.
const lastRemoval = 2 * time.Second

// removeAtOnce removes a container, and ends its process without waiting for it; one
// that is gone is removed. One that ends by itself at the same time takes another try:
// Podman finds it in a state that it has no more.
func removeAtOnce(ctx context.Context, handle string) error {
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		err := removeBy(ctx, handle, new(containers.RemoveOptions).WithTimeout(0))
		if err == nil || isLost(err) || wait > lastRemoval || !pause(ctx, wait) {
			return err
		}
	}
}

// removeContainer removes a container by force; one that is gone is removed.
func (r *Runtime) removeContainer(ctx context.Context, handle string) error {
	return removeBy(ctx, handle, new(containers.RemoveOptions))
}

func removeBy(ctx context.Context, handle string, o *containers.RemoveOptions) error {
	reports, err := containers.Remove(ctx, handle, o.WithForce(true).WithVolumes(true))
	for _, report := range reports {
		err = errors.Join(err, report.Err)
	}
	if notFound(err) {
		return nil
	}
	return err
}
