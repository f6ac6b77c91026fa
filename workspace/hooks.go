// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// defaultHookTimeout is the deadline of a hook where the workspace says none.
const defaultHookTimeout = 10 * time.Minute

// hookTimeout is the deadline of each hook.
func (t *Tree) hookTimeout() time.Duration {
	if !t.file.HooksTimeout.IsSet() {
		return defaultHookTimeout
	}
	return max(time.Duration(t.file.HooksTimeout.V*float64(time.Second)), time.Millisecond)
}

// hooksOf lists the hooks of an instance, but for install, which is a resource.
// Env is that of its container.
func (r *resolver) hooksOf(i *instance, env []plan.EnvVar) (hooks []plan.Hook, blocked []plan.Reason) {
	m := i.agent.manifest
	if len(m.Preinstall) > 0 {
		if r.tree.policy.hostHooks == hooksDeny {
			blocked = append(blocked, r.report.block(m.Preinstall[0].Pos, plan.CodePolicy, summaryPolicy, "",
				"the preinstall of %s runs on the host%s", i.name, forbids(r.tree.policy.hostHooksAt)))
		}
		hooks = append(hooks, r.hostHook(i, env))
	}
	for _, h := range []struct {
		name     plan.HookName
		commands []schema.Str
	}{{plan.HookPostinstall, m.Postinstall}, {plan.HookUpdate, m.Update}} {
		if len(h.commands) > 0 {
			hooks = append(hooks, r.hook(i, h.name, h.commands, nil))
		}
	}
	return hooks, blocked
}

func (r *resolver) hook(i *instance, name plan.HookName, commands []schema.Str, files map[string]string) plan.Hook {
	h := plan.Hook{
		Name: name, Commands: lines(commands), Files: files, Origin: commands[0].Pos.String(),
		Revision: i.agent.repo.commit, Timeout: r.tree.hookTimeout(),
	}
	h.Digest = plan.HookDigest(h.Commands, files)
	return h
}

// hostHook is preinstall. It runs where the agent's folder is, or, where that is
// only in a commit, in the copy of it.
func (r *resolver) hostHook(i *instance, env []plan.EnvVar) plan.Hook {
	a := i.agent
	h := r.hook(i, plan.HookPreinstall, a.manifest.Preinstall, a.hookFiles)
	h.Locked = r.tree.policy.hostHooks != hooksAllow
	h.Dir, h.InCopy = r.tree.hookDir(i)
	h.Env = r.tree.hostEnv(i, env, h.Dir)
	return h
}

func (t *Tree) hookDir(i *instance) (dir string, inCopy bool) {
	folder := i.agent.repo.dir
	if _, ofCommit := t.ofCommit(folder); i.entry.Mode != schema.EnableDevel && (folder == "" || ofCommit) {
		return "", true
	}
	return filepath.Join(folder, filepath.FromSlash(i.agent.dir)), false
}

// hostEnv is env for a process of this host: the paths in it are those here. The
// folder of a copy is not known here, and left out.
func (t *Tree) hostEnv(i *instance, env []plan.EnvVar, dir string) []plan.EnvVar {
	var out []plan.EnvVar
	for _, v := range env {
		switch v.Name {
		case "WORKSPACE_PATH":
			v.Value = t.workDir(i)
		case "CODE_PATH":
			v.Value = dir
			if dir == "" {
				continue
			}
		}
		out = append(out, v)
	}
	return out
}

// imageID is the image that the install hook of an instance makes.
func (i *instance) imageID() plan.ID { return plan.ID{Kind: plan.Image, Name: i.name} }

// addImage adds the image that install makes, and returns the edge to it.
func (r *resolver) addImage(i *instance, of plan.ContainerSpec) plan.Need {
	pos := i.agent.manifest.Install[0].Pos
	res := plan.Resource{
		ID: i.imageID(), Name: r.tree.imageName(i), Origin: pos.String(), Replace: plan.Overlap,
		Spec: plan.Spec{Image: &plan.ImageSpec{
			Base: of.Image, Commands: lines(i.agent.manifest.Install), Env: of.Env, Of: i.id().String(), TreeHash: treeOf(of.Mounts),
		}},
		Needs:        []plan.Need{r.needNetwork(pos)},
		StartTimeout: r.tree.hookTimeout(),
		Places: map[string]string{
			"base": i.agent.manifest.Container.Pos.String(), "commands": pos.String(), "treeHash": i.agent.pos().String(),
		},
	}
	for path, place := range r.resources[i.id()].Places {
		if strings.HasPrefix(path, "env.") {
			res.Places[path] = place
		}
	}
	r.add(res)
	return plan.Need{On: res.ID, Until: plan.UntilExists, Bound: true, Origin: pos.String()}
}

// treeOf is the content of the copy among mounts; "" = there is none.
func treeOf(mounts []plan.Mount) string {
	for _, m := range mounts {
		if m.Type == plan.MountCopy && m.Target == codePath {
			return m.TreeHash
		}
	}
	return ""
}

// blockImages blocks what install makes for instances that are blocked.
func (r *resolver) blockImages() {
	for _, i := range r.tree.closure.instances {
		if image := r.resources[i.imageID()]; image != nil {
			image.Blocked = slices.Clone(r.resources[i.id()].Blocked)
		}
	}
}

var imageComponent = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)

// imageName names the image of an instance, without a tag. What no image can be
// called is told apart by a hash.
func (t *Tree) imageName(i *instance) string {
	name := i.name
	if !imageComponent.MatchString(name) {
		sum := sha256.Sum256([]byte(i.name))
		name = label(strings.ToLower(i.name)) + "-" + hex.EncodeToString(sum[:4])
	}
	return "localhost/reconcile-" + t.name + "/" + strings.TrimPrefix(name, "-")
}

// probeOf is a probe in the terms of a container; nil without one.
func probeOf(p *schema.Probe) *plan.Probe {
	if p == nil {
		return nil
	}
	return &plan.Probe{
		Script: p.Script.V, Interval: max(milliseconds(p.Interval), 1), Timeout: max(milliseconds(p.Timeout), 1),
		InitialDelay: milliseconds(p.InitialDelay), FailureThreshold: p.FailureThreshold, SuccessThreshold: p.SuccessThreshold,
	}
}

func milliseconds(seconds float64) int64 { return int64(seconds*1000 + 0.5) }
