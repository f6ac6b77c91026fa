// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"time"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// daemon describes a DaemonAgent.
func (r *resolver) daemon(res *plan.Resource, doc schema.Document) {
	d, ok := doc.Object.(*schema.DaemonAgent)
	if !ok {
		return
	}
	c, places, blocked := r.templateOf(d.Template)
	c.Aliases = []string{r.daemonAlias(doc)}
	res.Spec.Container = &c
	res.Places = places
	res.Needs = []plan.Need{r.needNetwork(doc.Pos)}
	res.Restart = plan.Restart{
		Policy: restartPolicy(d.RestartPolicy.V), Max: int(d.MaxRestarts.V), Curve: plan.CurveDaemon,
		Lifetime: time.Duration(min(d.MaxLifetimeSeconds.V, maxSeconds)) * time.Second,
	}
	res.Blocked = blocked
}

// maxSeconds is as good as no limit, and fits a time.Duration.
const maxSeconds = 1 << 32

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
