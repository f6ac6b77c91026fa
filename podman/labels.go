// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"fmt"
	"maps"
	"strings"

	"reconcile/reconcile/plan"
)

// Labels that only this package reads. What the engine knows is in plan's.
const (
	// labelNetwork is the network a container was made on.
	labelNetwork = "reconcile.podman.network"
	// labelImage is the ID of the image a container was made of.
	labelImage = "reconcile.podman.image"
	// labelSecrets names the derived secrets that a container uses, by commas.
	labelSecrets = "reconcile.podman.secrets"
	// labelCopies lists the folders that were copied for a container, by lines.
	labelCopies = "reconcile.podman.copies"
	// labelRun is the folder of the run that a container is.
	labelRun = "reconcile.podman.run"
	// labelChannel names the channel at which the helper of a container reports.
	labelChannel = "reconcile.podman.channel"
	// labelDerived marks a secret made of a file or a variable, and says which.
	labelDerived = "reconcile.podman.derived"
	// labelProbe marks a container that is only looked into. It is never started.
	labelProbe = "reconcile.podman.probe"
)

// ownPrefix begins every label of ours. No other label may.
const ownPrefix = "reconcile."

// identity is what tells objects under one handle or name apart.
type identity struct {
	workspace, root, owner string
	id                     plan.ID
}

func identify(o plan.Object) identity {
	return identity{workspace: o.Workspace, root: o.Root, owner: o.Owner, id: o.ID}
}

// remember keeps what an observed object said it was. The planner decided upon
// that; a step checks that it is still so.
func (r *Runtime) remember(workspace string, o plan.Observed, awaited []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workspace, r.awaited = workspace, awaited
	clear(r.seen)
	for _, obj := range o.Objects {
		r.seen[obj.Handle] = identify(obj)
	}
	maps.DeleteFunc(r.runs, func(handle string, _ runBegun) bool { _, there := r.seen[handle]; return !there })
	clear(r.foreign)
	for _, obj := range o.Foreign {
		r.foreign[obj.Handle] = true
	}
}

// check reports why the step may not touch the object that carries labels: it
// is not ours, not this workspace's, or not what the plan was made upon.
func (r *Runtime) check(labels map[string]string, s plan.Step, d plan.Desired, handle string) error {
	o, ok := plan.ParseLabels(labels)
	return r.checkObject(o, ok, s, d, handle)
}

// checkObject is check for what the labels say, if they say it.
func (r *Runtime) checkObject(o plan.Object, ok bool, s plan.Step, d plan.Desired, handle string) error {
	switch {
	case !ok:
		return fmt.Errorf("%s is not ours: it has no labels of reconcile; it is left alone", s.Name)
	case o.Workspace != d.Workspace:
		return fmt.Errorf("%s belongs to the workspace %s; it is left alone", s.Name, o.Workspace)
	case o.ID != s.Target:
		return fmt.Errorf("%s is %s, not %s; it is left alone", s.Name, o.ID, s.Target)
	}
	r.mu.Lock()
	want, seen := r.seen[handle]
	r.mu.Unlock()
	if !seen {
		want = identity{workspace: d.Workspace, root: d.Root, owner: r.opt.Owner, id: s.Target}
	}
	switch {
	case o.Root != want.root:
		return fmt.Errorf("%s belongs to the workspace at %s; it is left alone", s.Name, o.Root)
	case o.Owner != want.owner:
		return fmt.Errorf("%s was made with other records (%s); it is left alone", s.Name, o.Owner)
	}
	return nil
}

// newLabels are the labels of an object that the step makes.
func (r *Runtime) newLabels(s plan.Step, d plan.Desired, res plan.Resource, user map[string]string) map[string]string {
	return labelsOf(r.newObject(s, d, res), user)
}

// labelsOf are the labels of an object, with those of the user that may be beside
// them.
func labelsOf(o plan.Object, user map[string]string) map[string]string {
	labels := map[string]string{}
	for k, v := range user {
		if !strings.HasPrefix(k, ownPrefix) {
			labels[k] = v
		}
	}
	maps.Copy(labels, o.Labels())
	return labels
}

// newObject is the object that the step makes, as far as it is known before.
func (r *Runtime) newObject(s plan.Step, d plan.Desired, res plan.Resource) plan.Object {
	return plan.Object{
		ID: s.Target, Name: s.Name,
		Workspace: d.Workspace, Root: d.Root, Owner: r.opt.Owner, Role: s.Target.Kind.Role(),
		Run: s.Run, Digest: s.Digest, Inputs: s.Bound, Revision: d.Revision, Version: r.opt.Version, Keep: res.Keep,
	}
}
