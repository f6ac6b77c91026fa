// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// The commands of hooks that the engine knows: all but the second end well.
const (
	okCommand   = "true"
	failCommand = "false"
)

//lint:ignore ST1005 people are told it as it is
var errNotReady = errors.New("Container failed to become ready")

// HookRun is one run of a hook that has ended.
type HookRun struct {
	Target   plan.ID
	Name     plan.HookName
	Handle   string // of the container; "" on the host, and of an install hook
	Digest   string // "" of an install hook
	Commands []string
}

type hookKey struct {
	target plan.ID
	name   plan.HookName
}

// run runs a hook. The lock is held, as in all that follows.
func (rt *Runtime) run(h HookRun) error {
	rt.hooks = append(rt.hooks, h)
	if err := rt.fails[hookKey{h.Target, h.Name}]; err != nil {
		return fmt.Errorf("%s hook: %w", h.Name, err)
	}
	if slices.Contains(h.Commands, failCommand) {
		return fmt.Errorf("%s hook: %q: exit status 1", h.Name, failCommand)
	}
	return nil
}

// createImage runs an install hook and keeps what it made. What has been made of
// the same is there already, unless part of it is gone.
func (rt *Runtime) createImage(th *thing, s plan.Step) (plan.Object, error) {
	spec := th.spec.Image
	for _, have := range rt.things {
		same := have.class == classImage && have.ours && have.obj.Workspace == th.obj.Workspace && have.obj.ID.Compare(s.Target) == 0 &&
			have.obj.Digest == s.Digest && maps.Equal(have.obj.Inputs, s.Bound)
		if same && !have.lost {
			return have.view(), nil
		}
	}
	if rt.noCommit {
		return plan.Object{}, errors.New("images cannot be made here")
	}
	if rt.images[spec.Base].local == "" {
		return plan.Object{}, fmt.Errorf("image %s is not here", spec.Base)
	}
	if err := rt.run(HookRun{Target: s.Target, Name: plan.HookInstall, Commands: spec.Commands}); err != nil {
		return plan.Object{}, err
	}
	for _, old := range rt.things {
		if old.obj.ID.Compare(s.Target) == 0 && old.obj.Workspace == th.obj.Workspace {
			old.lost = false // the hook has left it there again
		}
	}
	return rt.add(th).view(), nil
}

// madeFor returns the last image that install hooks made for a new container.
func (rt *Runtime) madeFor(th *thing) (*thing, error) {
	id := th.obj.ID
	id.Kind = plan.Image
	bound := th.obj.Inputs[plan.Input{Kind: plan.InputNeed, Name: id.String()}.String()]
	var found *thing
	for _, have := range rt.things {
		if have.class == classImage && have.ours && have.obj.Workspace == th.obj.Workspace && have.obj.ID.Compare(id) == 0 &&
			plan.Generation(have.obj.Digest, have.obj.Inputs) == bound && (found == nil || found.obj.Created.Before(have.obj.Created)) {
			found = have
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no %s of generation %q", id, bound)
	}
	return found, nil
}

func (rt *Runtime) exec(s plan.Step, d plan.Desired) (plan.Object, error) {
	th, err := rt.own(s, d)
	switch {
	case err != nil:
		return plan.Object{}, err
	case th == nil:
		return plan.Object{}, fmt.Errorf("no container %s", s.Object)
	case th.obj.State != plan.StateRunning:
		return plan.Object{}, fmt.Errorf("container %s is %s", th.obj.Name, th.obj.State)
	case s.Hook == nil:
		return plan.Object{}, errors.New("no hook is given")
	}
	run := HookRun{Target: s.Target, Name: s.Hook.Name, Handle: s.Object, Digest: s.Hook.Digest, Commands: s.Hook.Commands}
	if err := rt.run(run); err != nil {
		return plan.Object{}, err
	}
	return th.view(), nil
}

// runHost runs a hook on the host and remembers how it ended.
func (rt *Runtime) runHost(s plan.Step, d plan.Desired) error {
	if s.Hook == nil {
		return errors.New("no hook is given")
	}
	facts := rt.host[d.Workspace]
	if facts == nil {
		facts = map[plan.ID]plan.HostHook{}
		rt.host[d.Workspace] = facts
	}
	err := rt.run(HookRun{Target: s.Target, Name: s.Hook.Name, Digest: s.Hook.Digest, Commands: s.Hook.Commands})
	fact := plan.HostHook{Digest: s.Hook.Digest, State: plan.HookDone, At: rt.now()}
	if err != nil {
		fact.State, fact.Code, fact.Detail = plan.HookFailed, 1, err.Error()
	}
	facts[s.Target] = fact
	return err
}

// probe is what the helper reports of a container that has just started: its
// probes pass at once, unless somebody said that they are not to.
func (rt *Runtime) probe(th *thing) {
	c := th.spec.Container
	first := func(p *plan.Probe, unready bool) *plan.ProbeState {
		switch {
		case p == nil:
			return nil
		case unready:
			return &plan.ProbeState{Since: th.obj.Started}
		}
		return passing(th.obj.Started)
	}
	th.obj.Health = nil
	if c.Liveness != nil || c.Readiness != nil {
		th.obj.Health = &plan.Health{Liveness: first(c.Liveness, false), Readiness: first(c.Readiness, rt.unready[th.obj.ID])}
	}
}

// notReady returns why a container that runs is not ready, or nil.
func notReady(obj plan.Object) error {
	if obj.Health == nil || obj.Health.Readiness == nil || obj.Health.Readiness.Verdict == plan.VerdictPassing {
		return nil
	}
	if out := obj.Health.Readiness.Output; out != "" {
		return fmt.Errorf("%w: %s", errNotReady, out)
	}
	return errNotReady
}

// HookRuns returns the hooks that ran so far, in order.
func (rt *Runtime) HookRuns() []HookRun {
	var out []HookRun
	rt.locked(func() { out = slices.Clone(rt.hooks) })
	return out
}

// FailHook makes a hook of a resource, or of the image made for it, end with err;
// nil: well.
func (rt *Runtime) FailHook(target plan.ID, name plan.HookName, err error) {
	rt.edit(func() { rt.fails[hookKey{target, name}] = err })
}

// SetHostHook sets what the host remembers of a hook of a resource.
func (rt *Runtime) SetHostHook(workspace string, id plan.ID, h plan.HostHook) {
	rt.edit(func() {
		if rt.host[workspace] == nil {
			rt.host[workspace] = map[plan.ID]plan.HostHook{}
		}
		rt.host[workspace][id] = h
	})
}

// SetNoCommit makes the engine unable to make images, or able again.
func (rt *Runtime) SetNoCommit(no bool) { rt.edit(func() { rt.noCommit = no }) }

// ForgetCopy takes away what the install hook of an image left beside it.
func (rt *Runtime) ForgetCopy(image string) { rt.act(image, func(th *thing) { th.lost = true }) }

// UseImage has a container that is not ours use an image; "" = no more.
func (rt *Runtime) UseImage(image, by string) {
	rt.act(image, func(th *thing) { th.obj.UsedBy = by })
}

// SetHealth has the helper in a container report the state of its probes. It is
// forgotten when the container ends.
func (rt *Runtime) SetHealth(handle string, h plan.Health) {
	rt.act(handle, func(th *thing) { th.obj.Health = &h })
}

// FailLiveness has the helper in a container report that its liveness probe fails.
func (rt *Runtime) FailLiveness(handle, output string) {
	rt.act(handle, func(th *thing) {
		h := plan.Health{}
		if th.obj.Health != nil {
			h = *th.obj.Health
		}
		h.Liveness = &plan.ProbeState{Verdict: plan.VerdictFailing, Since: rt.now(), Failures: 5, Output: output}
		th.obj.Health = &h
	})
}

// SetUnready has containers of a resource not become ready by themselves, from
// their next start on.
func (rt *Runtime) SetUnready(id plan.ID, unready bool) {
	rt.edit(func() { rt.unready[id] = unready })
}

// passing is the state of a probe that passes since a time.
func passing(since time.Time) *plan.ProbeState {
	return &plan.ProbeState{Verdict: plan.VerdictPassing, Since: since}
}
