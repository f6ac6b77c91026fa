// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"slices"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// What every container of a DaemonAgent gets.
const (
	daemonPath        = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	daemonHome        = "/tmp"
	daemonTmpBytes    = 100 << 20
	daemonPids        = 512
	daemonStopSeconds = 5
)

// daemon describes a DaemonAgent: argv is the command, else the image's
// entrypoint, and the arguments; neither CMD nor ENV of the image count.
func (r *resolver) daemon(res *plan.Resource, doc schema.Document) {
	d, ok := doc.Object.(*schema.DaemonAgent)
	if !ok {
		return
	}
	image, blocked := r.image(d.Template.Image)
	env := map[string]string{"PATH": daemonPath, "HOME": daemonHome}
	for _, v := range d.Template.Env {
		env[v.Name.V] = v.Value
	}
	res.Spec.Container = &plan.ContainerSpec{
		Image:           image,
		Main:            plan.Process{Command: d.Template.Command, Args: d.Template.Args},
		Env:             envList(env),
		NoImageEnv:      true,
		CABundle:        true,
		Mounts:          []plan.Mount{{Type: plan.MountTmpfs, Target: "/tmp", SizeBytes: daemonTmpBytes}},
		Network:         r.tree.networkName(),
		Aliases:         []string{r.daemonAlias(doc)},
		ReadOnlyRoot:    true,
		CapDrop:         []string{"ALL"},
		CapAdd:          []string{"NET_BIND_SERVICE"},
		NoNewPrivileges: true,
		PidsLimit:       daemonPids,
		Memory:          d.Template.MemoryBytes,
		NanoCPUs:        d.Template.NanoCPUs,
		StopTimeout:     daemonStopSeconds,
	}
	res.Places = map[string]string{"image": d.Template.Image.Pos.String()}
	for path, limit := range map[string]schema.Str{"memory": d.Template.Memory, "nanoCPUs": d.Template.CPU} {
		if limit.IsSet() {
			res.Places[path] = limit.Pos.String()
		}
	}
	res.Needs = []plan.Need{r.needNetwork(doc.Pos)}
	res.Restart = plan.Restart{Policy: restartPolicy(d.RestartPolicy.V), Max: int(d.MaxRestarts.V)}
	res.Blocked = blocked
	if d.MaxLifetimeSeconds.V > 0 {
		r.report.warn(d.MaxLifetimeSeconds.Pos, "field has no effect", "", "maxLifetimeSeconds is not enforced by single passes")
	}
}

// daemonAlias is the DNS name: instances and DaemonAgents of the default
// namespace share one space of names.
func (r *resolver) daemonAlias(doc schema.Document) string {
	if ns := namespaceOf(doc); ns != plan.DefaultNamespace {
		return doc.Meta.Name.V + "." + ns
	}
	return doc.Meta.Name.V
}

func restartPolicy(s string) plan.RestartPolicy {
	switch s {
	case "Never":
		return plan.RestartNever
	case "OnFailure":
		return plan.RestartOnFailure
	}
	return plan.RestartAlways
}

func envList(env map[string]string) []plan.EnvVar {
	list := make([]plan.EnvVar, 0, len(env))
	for name, v := range env {
		list = append(list, plan.EnvVar{Name: name, Value: v})
	}
	slices.SortFunc(list, func(a, b plan.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
