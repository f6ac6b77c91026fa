// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"slices"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// What every container of a template gets.
const (
	templatePath        = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	templateHome        = "/tmp"
	templateTmp         = "/tmp"
	templateTmpBytes    = 100 << 20
	templatePids        = 512
	templateStopSeconds = 5
)

// templateOf describes the container of a template: argv is the command, else the
// image's entrypoint, and the arguments; neither CMD nor ENV of the image count.
//
// The addresses of the metadata service are not among the variables: whoever makes
// the container adds them, since they are another for each.
func (r *resolver) templateOf(t schema.Template) (c plan.ContainerSpec, places map[string]string, blocked []plan.Reason) {
	image, blocked := r.image(t.Image)
	env := map[string]string{"PATH": templatePath, "HOME": templateHome}
	for _, v := range t.Env {
		env[v.Name.V] = v.Value
	}
	c = plan.ContainerSpec{
		Image:           image,
		Main:            plan.Process{Command: t.Command, Args: t.Args},
		Env:             envList(env),
		NoImageEnv:      true,
		CABundle:        true,
		Mounts:          []plan.Mount{{Type: plan.MountTmpfs, Target: templateTmp, SizeBytes: templateTmpBytes}},
		Network:         r.tree.networkName(),
		ReadOnlyRoot:    true,
		CapDrop:         []string{"ALL"},
		CapAdd:          []string{"NET_BIND_SERVICE"},
		NoNewPrivileges: true,
		PidsLimit:       templatePids,
		Memory:          t.MemoryBytes,
		NanoCPUs:        t.NanoCPUs,
		StopTimeout:     templateStopSeconds,
	}
	places = map[string]string{"image": t.Image.Pos.String()}
	for path, limit := range map[string]schema.Str{"memory": t.Memory, "nanoCPUs": t.CPU} {
		if limit.IsSet() {
			places[path] = limit.Pos.String()
		}
	}
	return c, places, blocked
}

func envList(env map[string]string) []plan.EnvVar {
	list := make([]plan.EnvVar, 0, len(env))
	for name, v := range env {
		list = append(list, plan.EnvVar{Name: name, Value: v})
	}
	slices.SortFunc(list, func(a, b plan.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
