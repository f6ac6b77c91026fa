// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// approvals are what the lock file approves, and where it could be written.
func (r *resolver) approvals() plan.Approvals {
	t := r.tree
	a := plan.Approvals{Required: t.policy.requireApproval, Folder: t.root}
	if t.commit == nil {
		a.Files = lockPaths(t.root)
	}
	if t.lock == nil {
		return a
	}
	r.approvedHooks(&a)
	for _, e := range t.lock.Approvals {
		id, ok := r.lockedID(e.Name)
		if !ok {
			continue
		}
		if a.Keys == nil {
			a.Keys = map[plan.ID][]string{}
		}
		for _, key := range e.Keys {
			a.Keys[id] = append(a.Keys[id], key.V)
			r.checkApproval(key)
		}
	}
	return a
}

// checkApproval warns of a line that approves nothing.
func (r *resolver) checkApproval(key schema.Str) {
	if plan.CanApprove(key.V, r.tree.root) {
		return
	}
	word, _, _ := strings.Cut(key.V, " ")
	var kinds []string
	for _, kind := range plan.GrantKinds() {
		kinds = append(kinds, string(kind))
	}
	if slices.Contains(kinds, word) {
		r.report.warn(key.Pos, summaryNoApproval, "`reconcile approve` writes such lines", "%q says not what of the kind %s may be", key.V, word)
		return
	}
	r.report.warn(key.Pos, summaryNoApproval, nearest(word, kinds), "%q begins with no kind of authority that is known here", key.V)
}

// lockedID is the agent that an entry of the lock file is about.
func (r *resolver) lockedID(name schema.Str) (plan.ID, bool) {
	id, err := plan.ParseID(name.V)
	if err != nil {
		r.report.warn(name.Pos, summaryUnusedLock, "`reconcile approve --all` removes it", "%q is not kind/name or kind/namespace/name", name.V)
	}
	return id, err == nil
}

// approvedHooks are the hooks on the host that the lock file approves. An entry
// that is of something else than it says approves nothing.
func (r *resolver) approvedHooks(a *plan.Approvals) {
	for _, e := range r.tree.lock.Hooks {
		id, ok := r.lockedID(e.Name)
		if !ok {
			continue
		}
		if a.Hooks == nil {
			a.Hooks, a.Texts = map[plan.ID]string{}, map[plan.ID][]string{}
		}
		if len(e.Commands) == 0 && len(e.Files) == 0 {
			a.Hooks[id] = e.Digest.V
			continue
		}
		files := map[string]string{}
		for _, f := range e.Files {
			files[f.Name.V] = f.Digest.V
		}
		commands := lines(e.Commands)
		a.Texts[id] = plan.HookText(commands, files)
		if plan.HookDigest(commands, files) != e.Digest.V {
			r.report.warn(e.Digest.Pos, summaryLockedHook, "find out who changed it, then run `reconcile approve "+id.String()+"`",
				"the digest is not that of the commands and files beside it, so that nothing is approved")
			continue
		}
		a.Hooks[id] = e.Digest.V
	}
}

// lockPaths are the paths that the lock file is read by: its own, and where it
// leads when it is a link.
func lockPaths(root string) []string {
	path := filepath.Join(root, schema.LockFile)
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		return []string{path, real}
	}
	return []string{path}
}

// placesOf says where the fields of a container are asked for.
func placesOf(i *instance, ws *schema.Workspace, spec plan.ContainerSpec) map[string]string {
	m := i.agent.manifest
	places := map[string]string{"image": m.Container.Pos.String()}
	for _, v := range m.Volumes {
		places["mounts."+v.Container] = v.Host.Pos.String()
	}
	for _, p := range m.Ports {
		places[fmt.Sprintf("ports.%d/%s", p.Container, p.Protocol)] = p.Pos.String()
	}
	for _, e := range spec.Env {
		if pos, ok := envPlace(i, ws, e.Name); ok {
			places["env."+e.Name] = pos.String()
		}
	}
	return places
}

// envPlace is where an instance is given a variable, or asks for it.
func envPlace(i *instance, ws *schema.Workspace, name string) (pos schema.Pos, ok bool) {
	for _, v := range i.agent.manifest.Env {
		if v.Name.V == name {
			pos, ok = v.Name.Pos, true
		}
	}
	for _, v := range i.agent.manifest.Expose {
		if v.Name.V == name {
			pos, ok = v.Name.Pos, true
		}
	}
	for _, of := range []string{i.agent.name, i.name} {
		for _, x := range ws.Expose {
			if x.Agent.V == of && x.Name.V == name {
				pos, ok = x.Name.Pos, true
			}
		}
	}
	return pos, ok
}
