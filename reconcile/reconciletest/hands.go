// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"reconcile/reconcile/plan"
)

// AddImage has the image with the digest behind ref on this host.
func (rt *Runtime) AddImage(ref, digest string) {
	rt.edit(func() { rt.images[ref] = image{local: digest} })
}

// PushImage has the image with the digest behind ref in its registry; what is
// on this host stays until a prepare.
func (rt *Runtime) PushImage(ref, digest string) {
	rt.edit(func() { rt.images[ref] = image{local: rt.images[ref].local, remote: digest} })
}

// RemoveImage removes what is behind ref, here and in its registry.
func (rt *Runtime) RemoveImage(ref string) { rt.edit(func() { delete(rt.images, ref) }) }

// SetSecret sets the value behind a secret reference.
func (rt *Runtime) SetSecret(ref, value string) { rt.edit(func() { rt.secrets[ref] = value }) }

// SetUnknown makes the fact of an input unknown, for the reason; "" takes
// that back.
func (rt *Runtime) SetUnknown(in plan.Input, why string) {
	rt.edit(func() {
		rt.unknown[in] = why
		if why == "" {
			delete(rt.unknown, in)
		}
	})
}

// SetIncomplete makes every observation incomplete for the reasons.
func (rt *Runtime) SetIncomplete(why ...plan.Reason) { rt.edit(func() { rt.partial = why }) }

// SetDown makes the engine stop answering, or answer again.
func (rt *Runtime) SetDown(down bool) { rt.edit(func() { rt.down = down }) }

// Hook sets functions that are called with the count of steps so far, from 1,
// before a step has an effect and after it had one. The step fails with the
// error they return. They may block, and may be called concurrently; nil is
// none.
func (rt *Runtime) Hook(before, after func(n int, s plan.Step) error) {
	rt.edit(func() { rt.before, rt.after = before, after })
}

// Foreign makes a container that is not ours and returns its handle.
func (rt *Runtime) Foreign(name string) string {
	var handle string
	rt.edit(func() {
		th := &thing{class: classContainer, obj: plan.Object{Name: name, State: plan.StateRunning}}
		handle = rt.add(th).obj.Handle
		th.obj.Started = th.obj.Created
	})
	return handle
}

// Stop stops a container as somebody else would.
func (rt *Runtime) Stop(handle string) { rt.Exit(handle, codeStopped) }

// Kill kills the process of a container.
func (rt *Runtime) Kill(handle string) { rt.Exit(handle, codeKilled) }

// Exit ends the process of a container with the code.
func (rt *Runtime) Exit(handle string, code int) {
	rt.act(handle, func(th *thing) { rt.end(th, code) })
}

// Pause freezes a container.
func (rt *Runtime) Pause(handle string) {
	rt.act(handle, func(th *thing) { th.obj.State = plan.StatePaused })
}

// Break makes the engine lose track of a container.
func (rt *Runtime) Break(handle string) {
	rt.act(handle, func(th *thing) { th.obj.State = plan.StateBroken })
}

// Remove removes anything, whatever its state.
func (rt *Runtime) Remove(handle string) {
	rt.act(handle, func(*thing) { delete(rt.things, handle) })
}

// Rename renames a container.
func (rt *Runtime) Rename(handle, name string) {
	rt.act(handle, func(th *thing) { th.obj.Name = name })
}

// Detach takes a container off its network.
func (rt *Runtime) Detach(handle string) {
	rt.act(handle, func(th *thing) { th.attached = false })
}

// SwapImage makes a container run another image than it was made with.
func (rt *Runtime) SwapImage(handle, digest string) {
	rt.act(handle, func(th *thing) { th.obj.Image = digest })
}

// SetOwner makes an object look as if another record store had made it.
func (rt *Runtime) SetOwner(handle, owner string) {
	rt.act(handle, func(th *thing) { th.obj.Owner = owner })
}

// SetKeep sets or takes off an object's keep label.
func (rt *Runtime) SetKeep(handle string, keep bool) {
	rt.act(handle, func(th *thing) { th.obj.Keep = keep })
}

// Things returns everything there is, foreign or ours, sorted.
func (rt *Runtime) Things() []plan.Object {
	var out []plan.Object
	rt.locked(func() {
		for th := range maps.Values(rt.things) {
			out = append(out, th.view())
		}
	})
	slices.SortFunc(out, compareObjects)
	return out
}

// Journal returns every step asked for so far, in order.
func (rt *Runtime) Journal() []plan.Step {
	var out []plan.Step
	rt.locked(func() { out = slices.Clone(rt.journal) })
	return out
}

// Calls counts the steps asked for so far by op.
func (rt *Runtime) Calls() map[plan.Op]int {
	out := map[plan.Op]int{}
	for _, s := range rt.Journal() {
		out[s.Op]++
	}
	return out
}

// Observations counts the calls of Observe so far.
func (rt *Runtime) Observations() int {
	var n int
	rt.locked(func() { n = rt.observed })
	return n
}

// Peak returns how many steps were ever under way at once, waits left out.
func (rt *Runtime) Peak() int {
	var n int
	rt.locked(func() { n = rt.peak })
	return n
}

// World returns the engine as the conformance suite wants it.
func (rt *Runtime) World(t *testing.T) World {
	t.Helper()
	const ref = "localhost/conformance:latest"
	rt.AddImage(ref, "sha256:0c0c")
	return World{
		Runtime: rt,
		Image:   ref,
		Dir:     t.TempDir(),
		Owner:   rt.opt.Owner,
		Foreign: func(_ *testing.T, name string) { rt.Foreign(name) },
		Stop:    func(_ *testing.T, handle string) { rt.Stop(handle) },
		Remove:  func(_ *testing.T, handle string) { rt.Remove(handle) },
		Detach:  func(_ *testing.T, handle, _ string) { rt.Detach(handle) },
		Pause:   func(_ *testing.T, handle string) { rt.Pause(handle) },
		Hooks:   &Hooks{OK: okCommand, Fail: failCommand, Host: true},
		Health:  func(_ *testing.T, handle string, h plan.Health) { rt.SetHealth(handle, h) },
		Forget:  func(_ *testing.T, image string) { rt.ForgetCopy(image) },
		Exit: func(code int) plan.Process {
			return plan.Process{Command: []string{exitCommand, strconv.Itoa(code)}}
		},
		Say: func(variable string) plan.Process {
			return plan.Process{Command: []string{sayCommand, variable}}
		},
		State:    "/var/lib/reconcile",
		HostFile: rt.HostFile,
		Look:     func(_ *testing.T, handle, path string) (Seen, bool) { return rt.Look(handle, path) },
		Secret: func(_ *testing.T, name, value string) string {
			rt.SetSecret("secret:"+name, value)
			return "secret:" + name
		},
	}
}

// edit changes the engine behind everybody's back.
func (rt *Runtime) edit(f func()) {
	if tell := rt.locked(f); tell != nil {
		tell()
	}
}

// locked changes the engine and returns who is to be told.
func (rt *Runtime) locked(f func()) func() {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	f()
	rt.broadcast()
	return rt.onChange
}

// act changes one thing. A handle that does not exist is a mistake in a test.
func (rt *Runtime) act(handle string, f func(*thing)) {
	rt.edit(func() {
		th := rt.things[handle]
		if th == nil {
			panic(fmt.Sprintf("reconciletest: no object %s", handle))
		}
		f(th)
	})
}
