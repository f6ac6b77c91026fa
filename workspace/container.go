// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// Where a container finds the work directory and the agent's code.
const (
	workspacePath = "/workspace"
	codePath      = "/code"
	helperPath    = "/Agent"
)

// containerOf describes the container of an instance.
func (r *resolver) containerOf(i *instance) (plan.ContainerSpec, []plan.Reason) {
	m := i.agent.manifest
	image, blocked := r.image(m.Container)
	env, missing := r.envOf(i)
	port, bad := r.portOf(i, env)
	mounts, refused := r.mountsOf(i)
	spec := plan.ContainerSpec{
		Image:   image,
		Helper:  true,
		Env:     env,
		WorkDir: codePath,
		Mounts:  mounts,
		Ports:   r.portsOf(i, port),
		Network: r.tree.networkName(),
		Aliases: []string{i.name},

		Installed: len(m.Install) > 0,
	}
	if m.Health != nil {
		spec.Liveness, spec.Readiness = probeOf(m.Health.Liveness), probeOf(m.Health.Readiness)
	}
	r.processes(m, &spec)
	return spec, slices.Concat(blocked, missing, bad, refused)
}

// processes sets what the helper starts: the main process, and agent beside it
// when start is the main one. Neither means the default supervisor.
func (r *resolver) processes(m *schema.Manifest, spec *plan.ContainerSpec) {
	agent := r.process(m.Agent)
	if !m.Start.IsSet() {
		if agent != nil {
			spec.Main = *agent
		}
		return
	}
	argv, err := split(m.Start.V)
	if err != nil {
		r.report.fail(m.Start.Pos, summaryCommand, "", "start: %v", err)
	}
	if needsShell(strings.TrimSpace(m.Start.V)) {
		r.report.warn(m.Start.Pos, summaryCommand, "use agent for a command line of the shell", "start runs without a shell, which gives characters such as | and $ no meaning")
	}
	spec.Main = plan.Process{Args: argv}
	spec.Beside = agent
}

// process is the text of agent: argv for the image's entrypoint, or a command
// line for the shell when it needs one.
func (r *resolver) process(text schema.Str) *plan.Process {
	line := strings.TrimSpace(text.V)
	switch {
	case line == "":
		return nil
	case needsShell(line):
		return &plan.Process{Command: []string{"/bin/sh", "-lc", line}}
	}
	argv, err := split(line)
	if err != nil {
		r.report.fail(text.Pos, summaryCommand, "", "agent: %v", err)
	}
	return &plan.Process{Args: argv}
}

// stateDir is the folder of this workspace in the state directory.
func (t *Tree) stateDir(elem ...string) string {
	return filepath.Join(append([]string{t.opt.StateDir, "workspaces", t.name}, elem...)...)
}

// workDir is where an instance works.
func (t *Tree) workDir(i *instance) string {
	switch i.entry.Mode {
	case schema.EnableGlobal:
		return t.root
	case schema.EnableDevel:
		return i.work.dir
	}
	return t.stateDir("data", "agents", i.name)
}

// mountsOf lists the mounts of an instance, sorted by target.
func (r *resolver) mountsOf(i *instance) ([]plan.Mount, []plan.Reason) {
	t, a := r.tree, i.agent
	work := t.workDir(i)
	mounts := []plan.Mount{
		{Type: plan.MountDir, Source: work, Target: workspacePath, Relabel: r.relabel()},
		{Type: plan.MountHelper, Target: helperPath, ReadOnly: true},
	}
	if work != workspacePath && work != codePath && !within(work, helperPath) {
		mounts = append(mounts, plan.Mount{Type: plan.MountDir, Source: work, Target: work, Relabel: r.relabel()})
	}
	var blocked []plan.Reason
	if i.entry.Mode == schema.EnableDevel {
		mounts = append(mounts, plan.Mount{
			Type: plan.MountDir, Source: filepath.Join(a.repo.dir, filepath.FromSlash(a.dir)), Target: codePath, Relabel: r.relabel(),
		})
	} else {
		mounts = append(mounts, plan.Mount{
			Type: plan.MountCopy, Target: codePath, From: a.source, TreeHash: a.tree,
			Source: t.stateDir("cache", "code", i.name),
		})
	}
	if i.entry.Mode != schema.EnableLocal {
		blocked = append(blocked, r.forbidden(work, i.entry.Pos)...)
	}
	for _, m := range mounts {
		if m.Type == plan.MountDir {
			r.mounts = append(r.mounts, mountClaim{by: i.id(), mount: m, pos: i.entry.Pos})
		}
	}
	for _, v := range a.manifest.Volumes {
		m, reasons := r.volume(i, v, mounts)
		blocked = append(blocked, reasons...)
		if m.Target != "" {
			mounts = append(mounts, m)
		}
	}
	slices.SortFunc(mounts, func(a, b plan.Mount) int { return cmp.Compare(a.Target, b.Target) })
	return mounts, blocked
}

// relabel is the SELinux label of the user's folders.
func (r *resolver) relabel() string {
	if r.tree.policy.relabel {
		return "z"
	}
	return ""
}
