// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"encoding/json"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const summaryTemplateSize = "template too large"

// maxTemplate is how many bytes what a revision is made from may take: it is
// recorded with each.
const maxTemplate = 128 << 10

// taskAgent describes a TaskAgent: its spec is what an execution is made from, of
// which each change makes a revision, and its dispatch all the rest.
func (r *resolver) taskAgent(res *plan.Resource, doc schema.Document) {
	t, ok := doc.Object.(*schema.TaskAgent)
	if !ok {
		return
	}
	c, places, blocked := r.templateOf(t.Template)
	res.Replace = plan.Overlap
	res.Places = places
	res.Needs = []plan.Need{r.needNetwork(doc.Pos)}
	res.Blocked = blocked
	res.Dispatch = &plan.Dispatch{
		ContentType:   t.ContentType,
		MaxConcurrent: int(t.MaxConcurrent),
		Mode:          plan.DeliveryMode(t.Delivery),
		Name:          res.Name,
		Schedule:      t.Schedule.V,
		Streaming:     t.Streaming,
		Timeout:       t.Timeout,
		Warm:          plan.WarmPool{Size: int(t.WarmPoolSize), TTL: t.WarmPoolIdleTTL, Started: t.WarmStarted},
	}
	if t.Schedule.IsSet() {
		res.Dispatch.ScheduleInput, res.Dispatch.Zone = t.ScheduleInput, t.TimeZone.V
	}
	if t.State != nil {
		res.Blocked = append(res.Blocked, r.state(res, &c, *t.State)...)
	}
	res.Spec.Container = &c
	if raw, err := json.Marshal(c); err != nil || len(raw) > maxTemplate {
		res.Blocked = append(res.Blocked, r.report.block(doc.Pos, plan.CodeInvalid, summaryTemplateSize, "keep large texts in the image, or send them with the request",
			"what TaskAgent %s is made from takes %d bytes; at most %d are kept", displayName(doc), len(raw), maxTemplate))
	}
}

// state gives the executions of a TaskAgent the volume that they share.
func (r *resolver) state(res *plan.Resource, c *plan.ContainerSpec, s schema.State) []plan.Reason {
	if place := reservedBy(s.MountPath, kernelPaths()); place != "" {
		return []plan.Reason{r.report.block(s.Pos, plan.CodeInvalid, summaryReservedPath, "mount it elsewhere",
			"%s: the state cannot be there: the container has %s for itself", s.MountPath, place)}
	}
	if within(templateTmp, s.MountPath) {
		return []plan.Reason{r.report.block(s.Pos, plan.CodeInvalid, summaryReservedPath, "mount it elsewhere, or below it",
			"%s: the state cannot be there: the container has %s for itself", s.MountPath, templateTmp)}
	}
	volume := plan.ID{Kind: plan.Volume, Namespace: res.ID.Namespace, Name: res.ID.Name}
	name := r.stateVolume(res.ID)
	origin := s.Pos.String()
	r.add(plan.Resource{ID: volume, Name: name, Origin: origin, Spec: plan.Spec{Volume: &plan.VolumeSpec{}}, Keep: true, Replace: plan.Never})
	res.Needs = append(res.Needs, plan.Need{On: volume, Until: plan.UntilExists, Origin: origin})
	c.Mounts = append(c.Mounts, plan.Mount{Type: plan.MountVolume, Source: name, Target: s.MountPath})
	slices.SortFunc(c.Mounts, func(a, b plan.Mount) int { return strings.Compare(a.Target, b.Target) })
	res.Dispatch.StateVolume, res.Dispatch.StateLimit = name, s.SizeLimitMB<<20
	return nil
}

// stateVolume is the name of the volume of a TaskAgent. No name has a dot.
func (r *resolver) stateVolume(id plan.ID) string {
	name := r.tree.name + "-state-"
	if id.Canonical().Namespace != "" {
		name += id.Namespace + "."
	}
	return name + id.Name
}
