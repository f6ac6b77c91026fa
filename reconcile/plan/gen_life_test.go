// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

// ago is a time before now, at least a second.
func (g *gen) ago(what string) time.Time {
	return testNow.Add(-time.Duration(rapid.IntRange(1, 900).Draw(g.T, what)) * time.Second)
}

// image adds an install hook to r, which is to be, and returns its image.
func (g *gen) image(r *plan.Resource) plan.Resource {
	id := plan.ID{Kind: plan.Image, Name: r.ID.Name}
	c := *r.Spec.Container
	c.Installed = true
	r.Spec.Container = &c
	r.Needs = append(r.Needs, plan.Need{On: id, Until: plan.UntilExists, Bound: true, Origin: r.Origin})
	return plan.Resource{ID: id, Name: imageName(id), Origin: r.Origin, Spec: imageSpec(*r, "install")}
}

func imageSpec(r plan.Resource, command string) plan.Spec {
	c := r.Spec.Container
	return plan.Spec{Image: &plan.ImageSpec{Base: c.Image, Commands: []string{command}, Env: c.Env, Of: r.ID.String()}}
}

func (g *gen) hooks(r *plan.Resource) {
	add := func(h plan.Hook) {
		h.Origin, h.Timeout, h.Commands = r.Origin, time.Minute, []string{"run " + h.Digest}
		r.Hooks = append(r.Hooks, h)
	}
	if g.oneIn(3, "preinstall") {
		h := plan.Hook{Name: plan.HookPreinstall, Digest: pick(g, "preinstall of", "p1", "p2"), Dir: "/w/a"}
		h.Locked, h.InCopy = rapid.Bool().Draw(g.T, "locked"), rapid.Bool().Draw(g.T, "in a copy")
		if !h.Locked || g.healthy || !g.oneIn(4, "unapproved") {
			g.w.desired.Approvals.Hooks[r.ID] = h.Digest
		}
		add(h)
	}
	if g.oneIn(3, "postinstall") {
		add(plan.Hook{Name: plan.HookPostinstall, Digest: pick(g, "postinstall of", "q1", "q2")})
	}
	if g.oneIn(3, "update") {
		add(plan.Hook{Name: plan.HookUpdate, Digest: "u1", Revision: pick(g, "at", "", "aaaa", "bbbb")})
	}
	if g.oneIn(3, "probes") {
		c := *r.Spec.Container
		p := &plan.Probe{Script: "probe.sh", Interval: 1000, Timeout: 1000, FailureThreshold: 1, SuccessThreshold: 1}
		c.Liveness, c.Readiness = p, p
		r.Spec.Container = &c
	}
}

// lived adds what passes and people have left of the life of an instance.
func (g *gen) lived(id plan.ID) {
	w := g.w
	record := func(kind plan.RecordKind, key string, data map[string]string) {
		w.records.Records = append(w.records.Records, plan.Record{ID: id, Kind: kind, Key: key, At: g.ago(key + " at"), Data: data})
	}
	if g.oneIn(6, "stop wish") {
		record(plan.RecordWish, plan.WishStop, map[string]string{"wanted": pick(g, "wanted", "true", "false")})
	}
	for _, key := range []string{plan.WishRestart, plan.WishRefresh, plan.WishUpdate} {
		if g.oneIn(8, key+" wish") {
			record(plan.RecordWish, key, map[string]string{})
		}
	}
	handle := ""
	if objs := w.of(id); len(objs) > 0 {
		handle = objs[rapid.IntRange(0, len(objs)-1).Draw(g.T, "ran in")].Handle
	}
	for _, h := range []plan.HookName{plan.HookPostinstall, plan.HookUpdate} {
		if rapid.Bool().Draw(g.T, "ran "+string(h)) {
			record(plan.RecordHook, string(h), map[string]string{
				"container": handle, "digest": pick(g, "what ran", "q1", "q2", "u1"), "revision": pick(g, "where", "", "aaaa", "bbbb"),
			})
		}
	}
	if rapid.Bool().Draw(g.T, "ran on the host") {
		states := []plan.HostHookState{plan.HookDone, plan.HookDone, plan.HookFailed}
		if !g.healthy {
			states = append(states, plan.HookRunning)
		}
		w.hostHooks[id] = plan.HostHook{Digest: pick(g, "what ran on the host", "p1", "p2", "p1+t1"), State: pick(g, "how it ended", states...), At: testNow}
	}
}

// life gives o, a container, the image that it is made of, times and health.
func (g *gen) life(o *plan.Object, spec plan.Spec) {
	if o.State == plan.StateRunning || o.State == plan.StatePaused {
		o.Started = g.ago("started")
	}
	if spec.Container.Installed {
		images := g.w.of(plan.ID{Kind: plan.Image, Name: o.ID.Name})
		if len(images) > 0 && !g.oneIn(4, "made of none") {
			of := images[rapid.IntRange(0, len(images)-1).Draw(g.T, "made of")]
			o.Image, o.Inputs["need:"+of.ID.String()] = of.Handle, plan.Generation(of.Digest, of.Inputs)
		}
	}
	if o.State == plan.StateRunning && spec.Container.Liveness != nil && rapid.Bool().Draw(g.T, "heard of") {
		o.Health = &plan.Health{Liveness: &plan.ProbeState{
			Verdict: pick(g, "liveness", plan.VerdictPassing, plan.VerdictPassing, plan.VerdictFailing), Since: g.ago("since"),
		}}
	}
}

// imageObject adds an image that was made for an instance.
func (g *gen) imageObject(id plan.ID) {
	g.n++
	r := g.w.resource(id)
	spec := plan.Spec{Image: &plan.ImageSpec{Base: "img:1", Commands: []string{"install"}, Of: "manifest/" + id.Name}}
	if r != nil {
		spec = r.Spec
	}
	if g.oneIn(3, "old install") {
		i := *spec.Image
		i.Commands = []string{"old"}
		spec.Image = &i
	}
	o := plan.Object{
		ID: id, Handle: fmt.Sprintf("i%d", g.n), Name: imageName(id), Workspace: "acme", Root: testRoot, Owner: testOwner,
		Role: plan.RoleImage, State: plan.StateExists, Created: testNow.Add(time.Duration(g.n-100) * time.Minute),
		Digest: spec.Digest(), Inputs: map[string]string{},
	}
	for _, in := range spec.Inputs() {
		o.Inputs[in.String()] = "sha256:now-" + in.Name
		if g.oneIn(4, "moved") {
			o.Inputs[in.String()] = "sha256:before"
		}
	}
	if g.oneIn(8, "copy gone") {
		o.Drift = []plan.Reason{{Code: plan.CodeMissing, Text: "what install wrote is gone"}}
	}
	if !g.healthy && g.oneIn(8, "used by others") {
		o.UsedBy = "somebodys"
	}
	g.w.specs[o.Digest] = spec
	g.w.objects = append(g.w.objects, o)
}

// disturbLife lets time pass over a converged world, in which people ask for
// things and probes fail.
func (g *gen) disturbLife() {
	w := g.w
	w.hostHooks = cloneMap(w.hostHooks)
	for i := range w.objects {
		o := &w.objects[i]
		if o.Role != plan.RoleInstance || o.State != plan.StateRunning || o.Started.IsZero() || !g.oneIn(2, "age "+o.Handle) {
			continue
		}
		o.Created, o.Started = testNow.Add(-2*time.Hour), testNow.Add(-time.Hour)
		for j := range w.records.Records {
			if r := &w.records.Records[j]; r.ID == o.ID && (r.Kind == plan.RecordHook || r.Kind == plan.RecordWish) {
				r.At = testNow.Add(-90 * time.Minute)
			}
		}
		key := pick(g, "asked for", "", plan.WishStop, plan.WishRestart, plan.WishRefresh, plan.WishUpdate)
		if key != "" {
			w.records.Records = slices.DeleteFunc(w.records.Records, func(r plan.Record) bool {
				return r.ID == o.ID && r.Kind == plan.RecordWish && r.Key == key
			})
			w.records.Records = append(w.records.Records, plan.Record{
				ID: o.ID, Kind: plan.RecordWish, Key: key, At: testNow.Add(-time.Minute), Data: map[string]string{"wanted": "true"},
			})
		}
		if c := w.specs[o.Digest].Container; c != nil && c.Liveness != nil && rapid.Bool().Draw(g.T, "fails "+o.Handle) {
			o.Health = &plan.Health{Liveness: &plan.ProbeState{Verdict: plan.VerdictFailing, Since: testNow.Add(-time.Second)}}
		}
	}
	for i := range w.desired.Resources {
		r := &w.desired.Resources[i]
		r.Hooks = slices.Clone(r.Hooks)
		for j := range r.Hooks {
			if g.oneIn(4, "edit a hook of "+r.Name) {
				r.Hooks[j].Digest += "x"
				if r.Hooks[j].Locked {
					w.desired.Approvals.Hooks = cloneMap(w.desired.Approvals.Hooks)
					w.desired.Approvals.Hooks[r.ID] = r.Hooks[j].Digest
				}
			}
		}
		if r.Spec.Image != nil && g.oneIn(4, "edit "+r.Name) {
			spec := *r.Spec.Image
			spec.Commands = append(slices.Clone(spec.Commands), "edited")
			r.Spec.Image = &spec
		}
	}
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	out := map[K]V{}
	for k, v := range m {
		out[k] = v
	}
	return out
}
