// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"slices"

	"reconcile/reconcile/plan"
)

func (w *world) publishes(o plan.Object, port uint16) bool {
	return slices.ContainsFunc(o.Ports, func(p plan.Port) bool { return p.HostPort == port })
}

func (w *world) needsMet(r plan.Resource, what string) error {
	for _, n := range r.Needs {
		if on := w.resource(n.On); n.Until == plan.UntilReady && on != nil && on.Want == plan.WantRunning && !w.pass.waited[n.On] {
			return fmt.Errorf("%s before %s was waited for", what, n.On)
		}
	}
	return nil
}

func (w *world) portsRecorded(r plan.Resource) bool {
	return !slices.ContainsFunc(r.Spec.Container.Ports, func(p plan.Port) bool {
		return p.HostPort == 0 && w.recordedPort(r.ID, p) == ""
	})
}

// leftAlone reports whether o, which exited, is not to be started again.
func leftAlone(r plan.Resource, o plan.Object, restarts int) bool {
	return r.Want == plan.WantOnce || r.Restart.Policy == plan.RestartNever ||
		r.Restart.Policy == plan.RestartOnFailure && o.ExitCode == 0 || r.Restart.Max > 0 && restarts >= r.Restart.Max
}

// perfect reports whether nothing about o calls for another object.
func (w *world) perfect(r plan.Resource, o plan.Object) bool {
	if o.Digest != r.Spec.Digest() || o.State == plan.StateBroken || len(o.Drift) > 0 {
		return false
	}
	if w.asked(o.ID, plan.WishRefresh, o.Created) {
		return false
	}
	if o.ID.Kind == plan.Image { // a later one may have been made of the same
		return false
	}
	for _, n := range r.Needs {
		if n.Bound {
			return false // whether it is bound to the right one is not for the world to know
		}
	}
	return !slices.ContainsFunc(r.Spec.Inputs(), func(in plan.Input) bool {
		f := w.facts[in]
		return f.State == plan.FactKnown && o.Inputs[in.String()] != f.Value
	})
}

// mayGo checks that o may be stopped or deleted now.
func (w *world) mayGo(o plan.Object) error {
	if o.Keep && (!w.desired.Destroy || o.ID.Kind != plan.Volume) {
		return fmt.Errorf("%s is to be kept", o.Handle)
	}
	if o.Session != "" {
		return fmt.Errorf("%s belongs to a session", o.Handle)
	}
	if err := w.imageFree(o); err != nil {
		return err
	}
	r := w.resource(o.ID)
	if r == nil {
		if w.partial || w.incomplete || w.desired.Empty {
			if !w.desired.Destroy {
				return fmt.Errorf("%s is pruned though not everything is known", o.Handle)
			}
		}
		for id := range w.pass.creates {
			if next := w.resource(id); next.Name == o.Name && space(id) == space(o.ID) && w.pass.created[id] == "" {
				return fmt.Errorf("%s goes before %s, which takes its name, is created", o.Handle, id)
			}
		}
		return w.usersGone(o)
	}
	if r.Want == plan.WantStopped || o.ID.Kind.Role() == plan.RoleSupport {
		return nil
	}
	if w.pass.created[o.ID] != "" && w.perfect(*r, o) {
		return fmt.Errorf("%s is replaced for nothing", o.Handle)
	}
	if !slices.ContainsFunc(w.of(o.ID), func(next plan.Object) bool {
		return next.Handle != o.Handle && next.Digest == r.Spec.Digest() && next.State != plan.StateBroken
	}) {
		return fmt.Errorf("%s goes before its replacement is created", o.Handle)
	}
	if o.State != plan.StateRunning || !w.pass.starts[o.ID] {
		return nil
	}
	if !w.pass.prepared[o.ID] {
		return fmt.Errorf("%s goes before its replacement is prepared", o.Handle)
	}
	return w.needsMet(*r, o.Handle+" stopped")
}

// usersGone checks, in a destroy, that what needs o goes before it.
func (w *world) usersGone(o plan.Object) error {
	for _, r := range w.desired.Resources {
		if !slices.ContainsFunc(r.Needs, func(n plan.Need) bool { return n.On == o.ID }) {
			continue
		}
		for _, user := range w.of(r.ID) {
			if w.pass.goes[user.Handle] {
				return fmt.Errorf("%s goes before %s, which needs it", o.Handle, user.Handle)
			}
		}
	}
	return nil
}

func (w *world) remove(o plan.Object) error {
	if o.State == plan.StateRunning || o.State == plan.StatePaused {
		return fmt.Errorf("%s is deleted while it is %s", o.Handle, o.State)
	}
	if err := w.mayGo(o); err != nil {
		return err
	}
	if o.ID.Kind == plan.Network {
		for _, user := range w.objects {
			if c := w.specs[user.Digest].Container; c != nil && c.Network == o.Name {
				return fmt.Errorf("network deleted while %s uses it", user.Handle)
			}
		}
	}
	w.objects = slices.DeleteFunc(w.objects, func(p plan.Object) bool { return p.ID == o.ID && p.Handle == o.Handle })
	return nil
}
