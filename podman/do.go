// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reconcile/reconcile/plan"
)

// Do carries out one step. A step that is already done succeeds. Where a step
// finds something else than the plan took it to be, it touches nothing and
// fails.
//
// A step without an Object acts on what the create step of its target made
// through this Runtime.
func (r *Runtime) Do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	ctx = r.with(ctx)
	err := r.sweepOnce(ctx, d)
	var obj plan.Object
	if err == nil {
		obj, err = r.do(ctx, s, d)
	}
	if lost, ok := errors.AsType[*lostError](err); ok && ctx.Err() != nil {
		err = fmt.Errorf("%s: cut off", lost.doing) // by us, whatever the connection says
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		return plan.Object{}, fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return obj, err
}

func (r *Runtime) do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	if s.Op == plan.OpPrepare || s.Op == plan.OpCreate {
		return r.make(ctx, s, d)
	}
	if s.Op == plan.OpDelete && s.Object == "" && s.Run != "" {
		return plan.Object{}, r.deleteRun(ctx, s, d)
	}
	if s.Object == "" {
		r.mu.Lock()
		s.Object = r.made[madeKey{s.Target, s.Run}]
		r.mu.Unlock()
	}
	if s.Object == "" {
		return plan.Object{}, fmt.Errorf("%s %s: nothing was created", s.Op, s.Target)
	}
	if s.Name == "" {
		s.Name = s.Target.String()
	}
	switch s.Target.Kind.Role() {
	case plan.RoleSupport:
		return r.support(ctx, s, d)
	case plan.RoleImage:
		if s.Op == plan.OpDelete {
			return plan.Object{}, r.deleteImage(ctx, s, d)
		}
		return plan.Object{}, fmt.Errorf("%s %s: there is no such step for it", s.Op, s.Target)
	}
	switch s.Op {
	case plan.OpStart:
		return r.start(ctx, s, d)
	case plan.OpWait:
		return r.wait(ctx, s, d)
	case plan.OpStop:
		return r.stop(ctx, s, d)
	case plan.OpDelete:
		return r.delete(ctx, s, d)
	case plan.OpActivate:
		return r.activate(ctx, s, d)
	case plan.OpExec:
		return r.exec(ctx, s, d)
	}
	return plan.Object{}, fmt.Errorf("%s %s: Podman has no such step", s.Op, s.Target)
}

// make carries out the steps that need the spec.
func (r *Runtime) make(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	i := slices.IndexFunc(d.Resources, func(res plan.Resource) bool { return res.ID.Compare(s.Target) == 0 })
	if i < 0 {
		return plan.Object{}, errors.New("the workspace does not want it")
	}
	res := d.Resources[i]
	if s.Name == "" {
		s.Name = res.Name
	}
	if s.Op == plan.OpPrepare {
		return plan.Object{}, r.prepare(ctx, s, d, res)
	}
	obj, err := r.create(ctx, s, d, res)
	if err != nil {
		return plan.Object{}, err
	}
	r.mu.Lock()
	r.made[madeKey{s.Target, s.Run}] = obj.Handle
	r.seen[obj.Handle] = identify(obj)
	r.mu.Unlock()
	return obj, nil
}

func (r *Runtime) create(ctx context.Context, s plan.Step, d plan.Desired, res plan.Resource) (plan.Object, error) {
	switch {
	case res.Spec.Container != nil:
		return r.createContainer(ctx, s, d, res)
	case res.Spec.Image != nil:
		return r.createImage(ctx, s, d, res)
	case res.Spec.Network != nil:
		return r.createNetwork(ctx, s, d, res)
	case res.Spec.Volume != nil:
		return r.createVolume(ctx, s, d, res)
	case res.Spec.Secret != nil:
		return r.createSecret(ctx, s, d, res)
	}
	return plan.Object{}, fmt.Errorf("create %s: the spec is empty", s.Target)
}

// say reports what a step does now.
func (r *Runtime) say(s plan.Step, format string, args ...any) {
	r.opt.Progress(Progress{Target: s.Target, Op: s.Op, Text: fmt.Sprintf(format, args...)})
}
