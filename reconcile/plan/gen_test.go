// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

// genWorld draws a world: something desired, and whatever interrupted passes,
// people and other tools may have left. A healthy world holds nothing that
// would keep it from becoming what is desired.
func genWorld(t *rapid.T, healthy bool) *world {
	g := &gen{T: t, healthy: healthy, w: &world{
		facts: map[plan.Input]plan.Fact{}, specs: map[string]plan.Spec{},
		records: plan.Records{Owner: testOwner}, hostHooks: map[plan.ID]plan.HostHook{},
		opts: plan.Options{Now: testNow, AllowMassDelete: true},
	}, names: map[string]bool{}}
	g.desired()
	g.inputs()
	g.observed()
	if !healthy {
		g.trouble()
	}
	return g.w
}

type gen struct {
	*rapid.T
	healthy bool
	w       *world
	names   map[string]bool
	n       int
}

// oneIn is true once in n draws.
func (g *gen) oneIn(n int, what string) bool { return rapid.IntRange(1, n).Draw(g.T, what) == n }

func pick[V any](g *gen, what string, from ...V) V { return rapid.SampledFrom(from).Draw(g.T, what) }

var pool = []string{"a", "b", "c", "d", "e", "f"}

func manifest(name string) plan.ID { return plan.ID{Kind: plan.Manifest, Name: name} }

func (g *gen) desired() {
	w := g.w
	w.desired = plan.Desired{Workspace: "acme", Root: testRoot, Revision: "abc", Source: "workspace.yaml:1:1"}
	w.desired.Approvals.Hooks = map[plan.ID]string{}
	support := []plan.Resource{
		{ID: plan.ID{Kind: plan.Network, Name: "net"}, Name: "acme", Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", DNS: true}}},
		{ID: plan.ID{Kind: plan.Volume, Name: "vol"}, Name: "acme-vol", Spec: plan.Spec{Volume: &plan.VolumeSpec{}}, Replace: plan.Never, Keep: true},
		{ID: plan.ID{Kind: plan.Secret, Name: "sec"}, Name: "acme-sec", Spec: plan.Spec{Secret: &plan.SecretSpec{Ref: "secret:sec"}}},
	}
	for _, r := range support {
		if rapid.Bool().Draw(g.T, "has "+r.Name) {
			r.Origin = r.ID.Name + ".yaml:1:1"
			w.desired.Resources = append(w.desired.Resources, r)
		}
	}
	for i, name := range pool {
		if g.oneIn(3, "without "+name) {
			continue
		}
		r := g.resource(i, name)
		g.hooks(&r)
		if g.oneIn(3, "installed") {
			w.desired.Resources = append(w.desired.Resources, g.image(&r))
		}
		w.desired.Resources = append(w.desired.Resources, r)
	}
	if g.oneIn(8, "destroy") {
		w.desired.Destroy, w.desired.Volumes = true, rapid.Bool().Draw(g.T, "volumes")
	}
	slices.SortFunc(w.desired.Resources, func(a, b plan.Resource) int { return a.ID.Compare(b.ID) })
}

func (g *gen) resource(i int, name string) plan.Resource {
	r := plan.Resource{
		ID: manifest(name), Name: "acme-" + name, Origin: fmt.Sprintf("%s.yaml:%d:1", name, i+1),
		Spec: g.spec(i), Want: plan.WantRunning,
	}
	if i == 1 && g.oneIn(4, "named like a temporary") {
		r.Name = "acme-a-next"
		g.names[r.Name] = true // see TestNameOfAnotherTakesTwoPasses
	}
	if g.oneIn(5, "other want") {
		r.Want = pick(g, "want", plan.WantPrepared, plan.WantStopped, plan.WantOnce)
	}
	if g.oneIn(3, "other restart") {
		r.Restart = plan.Restart{Policy: pick(g, "policy", plan.RestartAlways, plan.RestartOnFailure, plan.RestartNever), Max: rapid.IntRange(0, 2).Draw(g.T, "max")}
	}
	for _, on := range g.w.desired.Resources {
		support := on.ID.Kind.Role() == plan.RoleSupport
		switch {
		case on.ID.Kind == plan.Image:
		case support && r.Spec.Container.Network == on.Name:
			r.Needs = append(r.Needs, plan.Need{On: on.ID, Until: plan.UntilExists, Origin: r.Origin})
		case support || !g.oneIn(3, "needs"):
		case g.healthy && on.Want != plan.WantRunning:
		default:
			until := plan.UntilReady
			if g.oneIn(4, "other until") {
				until = plan.UntilExists
			}
			if on.Want == plan.WantOnce {
				until = plan.UntilFinished
			}
			r.Needs = append(r.Needs, plan.Need{On: on.ID, Until: until, Bound: g.oneIn(4, "bound"), Origin: r.Origin})
		}
	}
	return r
}

func (g *gen) spec(i int) plan.Spec {
	c := &plan.ContainerSpec{Image: pick(g, "image", "img:1", "img:2"), Main: plan.Process{ImageCmd: true}}
	c.Env = []plan.EnvVar{{Name: "LEVEL", Value: strconv.Itoa(rapid.IntRange(0, 1).Draw(g.T, "level"))}}
	if g.oneIn(3, "secret") {
		c.Env = append(c.Env, plan.EnvVar{Name: "TOKEN", Secret: "secret:token"})
	}
	switch rapid.IntRange(0, 2).Draw(g.T, "port") {
	case 1:
		c.Ports = []plan.Port{{HostIP: "127.0.0.1", Container: 7000, Protocol: "tcp"}}
	case 2:
		// The other half takes the port of what may be an orphan.
		c.Ports = []plan.Port{{HostIP: "127.0.0.1", HostPort: uint16(8000 + i/2), Container: 7000, Protocol: "tcp"}}
	}
	if len(g.w.desired.Resources) > 0 && g.w.desired.Resources[0].ID.Kind == plan.Network && rapid.Bool().Draw(g.T, "on network") {
		c.Network = "acme"
	}
	return plan.Spec{Container: c}
}

func (g *gen) inputs() {
	for _, in := range []plan.Input{
		{Kind: plan.InputImage, Name: "img:1"},
		{Kind: plan.InputImage, Name: "img:2"},
		{Kind: plan.InputSecret, Name: "secret:token"},
		{Kind: plan.InputSecret, Name: "secret:sec"},
	} {
		f := plan.Fact{State: plan.FactKnown, Value: "sha256:now-" + in.Name}
		switch rapid.IntRange(0, 9).Draw(g.T, "fact "+in.Name) {
		case 0:
			f = plan.Fact{State: plan.FactUnknown, Detail: "no registry"}
		case 1:
			f = plan.Fact{State: plan.FactUnknown, Value: "sha256:local", Detail: "no registry"}
		case 2:
			if !g.healthy {
				f = plan.Fact{State: plan.FactMissing, Detail: "not found"}
			}
		}
		g.w.facts[in] = f
	}
}

func (g *gen) observed() {
	ids := []plan.ID{}
	for _, r := range g.w.desired.Resources {
		ids = append(ids, r.ID)
	}
	for _, name := range append(pool, "old1", "old2", "old3") {
		if !slices.Contains(ids, manifest(name)) {
			ids = append(ids, manifest(name))
		}
	}
	for _, name := range pool { // of another kind, but with the same name
		ids = append(ids, plan.ID{Kind: plan.DaemonAgent, Name: name})
	}
	ids = append(ids, plan.ID{Kind: plan.Network, Name: "oldnet"})
	for _, name := range []string{"a", "b", "old1"} { // their install hooks are no more
		if id := (plan.ID{Kind: plan.Image, Name: name}); !slices.Contains(ids, id) && rapid.Bool().Draw(g.T, "was installed "+name) {
			ids = slices.Insert(ids, 0, id)
		}
	}
	for _, id := range ids {
		if rapid.Bool().Draw(g.T, "converged "+id.String()) {
			g.w.converged = append(g.w.converged, id)
		}
		n := pick(g, "objects of "+id.String(), 0, 0, 1, 1, 1, 2, 3)
		if id.Kind == plan.DaemonAgent {
			n /= 2
		}
		if id.Kind.Role() == plan.RoleSupport {
			n = min(n, 1)
		}
		for range n {
			if id.Kind == plan.Image {
				g.imageObject(id)
			} else {
				g.object(id)
			}
		}
		if id.Kind.Role() == plan.RoleInstance {
			g.record(id)
			g.lived(id)
		}
	}
}

func (g *gen) record(id plan.ID) {
	if g.oneIn(3, "has restarts") {
		g.w.records.Records = append(g.w.records.Records, plan.Record{
			ID: id, Kind: plan.RecordRestarts, At: g.ago("restarted"),
			Data: map[string]string{
				"count":  strconv.Itoa(rapid.IntRange(0, 3).Draw(g.T, "count")),
				"streak": strconv.Itoa(rapid.IntRange(0, 6).Draw(g.T, "streak")),
			},
		})
	}
	if g.oneIn(20, "braked") {
		g.w.records.Records = append(g.w.records.Records, plan.Record{
			ID: id, Kind: plan.RecordBrake, Data: map[string]string{"held": pick(g, "held", "true", "false")},
		})
	}
	if g.oneIn(3, "has ports") {
		g.w.records.Records = append(g.w.records.Records, plan.Record{
			ID: id, Kind: plan.RecordPorts, Data: map[string]string{"7000/tcp": strconv.Itoa(50000 + g.n)},
		})
	}
}

func (g *gen) object(id plan.ID) {
	g.n++
	o := plan.Object{
		ID: id, Handle: fmt.Sprintf("h%d", g.n), Workspace: "acme", Root: testRoot, Owner: testOwner,
		Role: id.Kind.Role(), Created: testNow.Add(time.Duration(g.n-100) * time.Minute),
	}
	r := g.w.resource(id)
	base, spec := "acme-"+id.Name, plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge"}}
	if r != nil {
		base, spec = r.Name, r.Spec
	} else if o.Role == plan.RoleInstance {
		spec = g.spec(g.n % 6)
		if rapid.Bool().Draw(g.T, "on the old network") {
			spec.Container.Network = "acme-oldnet"
		}
	}
	o.Name = base
	for _, suffix := range []string{"-next", "-next2", "-odd", fmt.Sprint("-odd", g.n)} {
		if g.names[o.Name] || o.Role == plan.RoleInstance && g.oneIn(4, "misnamed") {
			o.Name = base + suffix
		}
	}
	g.names[o.Name] = true
	o.State = plan.StateExists
	if o.Role == plan.RoleInstance {
		if r != nil && g.oneIn(3, "old spec") {
			spec = g.spec(g.n % 6)
		}
		o.State = pick(g, "state", plan.StateRunning, plan.StateRunning, plan.StateRunning, plan.StateCreated,
			plan.StatePaused, plan.StateExited, plan.StateExited, plan.StateBroken)
		o.ExitCode = rapid.IntRange(0, 1).Draw(g.T, "exit code")
		if o.State == plan.StateExited && g.oneIn(2, "known when") {
			o.Finished = testNow.Add(-time.Duration(rapid.IntRange(0, 400).Draw(g.T, "finished")) * time.Second)
			o.Started = o.Finished.Add(-time.Duration(rapid.IntRange(0, 900).Draw(g.T, "ran")) * time.Second)
		}
		if g.oneIn(8, "drifted") {
			o.Drift = []plan.Reason{{Code: pick(g, "drift", plan.CodeDetached, plan.CodeOtherImage), Text: "not as made"}}
		}
		o.Ports = slices.Clone(spec.Container.Ports)
		for i := range o.Ports {
			if o.Ports[i].HostPort == 0 {
				o.Ports[i].HostPort = uint16(30000 + g.n)
			}
		}
	}
	o.Keep = id.Kind == plan.Volume
	o.Digest = spec.Digest()
	g.w.specs[o.Digest] = spec
	o.Inputs = map[string]string{}
	for _, in := range spec.Inputs() {
		o.Inputs[in.String()] = "sha256:now-" + in.Name
		if g.oneIn(4, "moved") {
			o.Inputs[in.String()] = "sha256:before"
		}
	}
	if o.Role == plan.RoleInstance {
		g.life(&o, spec)
	}
	if r != nil {
		for _, n := range r.Needs {
			if _, made := o.Inputs["need:"+n.On.String()]; n.Bound && !made && !g.oneIn(4, "made unbound") {
				o.Inputs["need:"+n.On.String()] = "stale"
			}
		}
	}
	g.w.objects = append(g.w.objects, o)
}

// disturb changes a converged world the way days of use do.
func disturb(t *rapid.T, w *world) {
	g := &gen{T: t, healthy: true, w: w}
	for i := range w.desired.Resources {
		r := &w.desired.Resources[i]
		if r.Spec.Container != nil && g.oneIn(4, "edit "+r.Name) {
			c := *r.Spec.Container
			c.Env = append([]plan.EnvVar{{Name: "EDITED", Value: r.Name}}, c.Env...)
			r.Spec.Container = &c
		}
	}
	for in, f := range w.facts {
		if f.State == plan.FactKnown && in.Name == "img:1" && g.oneIn(4, "move "+in.Name) {
			w.facts = maps.Clone(w.facts)
			w.facts[in] = plan.Fact{State: plan.FactKnown, Value: "sha256:moved"}
		}
	}
	g.disturbLife()
	for i := range w.objects {
		o := &w.objects[i]
		if o.Role != plan.RoleInstance || o.Keep || !g.oneIn(4, "break "+o.Handle) {
			continue
		}
		o.State = pick(g, "how", plan.StateExited, plan.StatePaused, plan.StateBroken)
		o.ExitCode, o.Health = rapid.IntRange(0, 1).Draw(t, "with"), nil
	}
}

// trouble adds what nobody but a person can mend.
func (g *gen) trouble() {
	w := g.w
	for i := range w.objects {
		w.objects[i].Keep = w.objects[i].Keep || g.oneIn(12, "kept")
		if w.objects[i].ID.Kind == plan.DaemonAgent && g.oneIn(8, "in a session") {
			w.objects[i].Session = "s1"
		}
		if g.oneIn(100, "elsewhere") {
			w.objects[i].Root = "/elsewhere"
		}
		if g.oneIn(12, "lost") {
			w.objects[i].Owner = "owner-0"
		}
	}
	for i := range w.desired.Resources {
		if g.oneIn(12, "blocked") {
			code := pick(g, "why", plan.CodeInvalid, plan.CodePolicy, plan.CodeUnsupported)
			w.desired.Resources[i].Blocked = []plan.Reason{{Code: code, Text: "not now", Origin: "x.yaml:1:1"}}
		}
		if r := w.desired.Resources[i]; g.oneIn(12, "foreign") && !g.names[r.Name] {
			w.foreign = append(w.foreign, plan.Object{ID: plan.ID{Kind: r.ID.Kind}, Name: r.Name, Handle: "foreign-" + r.Name})
		}
	}
	for _, r := range w.desired.Resources {
		if next := r.Name + "-next"; g.oneIn(8, "foreign "+next) && !g.names[next] {
			w.foreign = append(w.foreign, plan.Object{ID: plan.ID{Kind: r.ID.Kind}, Name: next, Handle: "foreign-" + next})
		}
	}
	w.opts.Supervise = rapid.Bool().Draw(g.T, "supervise")
	for _, id := range append(pool, "old1") {
		if g.oneIn(12, "failed "+id) {
			g.failed(manifest(id))
		}
	}
	w.opts.Adopt = g.oneIn(4, "adopt")
	if w.partial = g.oneIn(8, "partial"); w.partial {
		w.desired.Partial = []plan.Reason{{Code: plan.CodePartial, Text: "repo lib cannot be read", Origin: "workspace.yaml:4:5"}}
	}
	w.incomplete = g.oneIn(8, "incomplete")
	w.noCommit = g.oneIn(8, "no commit")
	w.busy = g.oneIn(8, "busy")
	w.opts.AllowMassDelete = rapid.Bool().Draw(g.T, "allow mass delete")
	w.opts.AcceptLostRecords = g.oneIn(4, "accept lost records")
	if g.oneIn(16, "empty") {
		w.desired.Resources, w.desired.Empty, w.desired.Destroy, w.busy = nil, true, false, false
	}
}

// failed has a step for an ID fail lately.
func (g *gen) failed(id plan.ID) {
	b := plan.Backoff{ID: id, Detail: "it did not work", Until: testNow.Add(time.Duration(rapid.IntRange(-1, 1).Draw(g.T, "until")) * time.Minute)}
	if r := g.w.resource(id); r != nil && !g.oneIn(4, "another spec") {
		b.Digest = r.Spec.Digest()
	}
	g.w.backoff = append(g.w.backoff, b)
}

func TestGeneratedWorldsAreVaried(t *testing.T) {
	seen := map[plan.Op]bool{}
	rapid.Check(t, func(t *rapid.T) {
		for _, s := range genWorld(t, false).plan().Steps {
			seen[s.Op] = true
		}
	})
	for _, op := range []plan.Op{
		plan.OpPrepare, plan.OpCreate, plan.OpRecord, plan.OpStart, plan.OpWait,
		plan.OpStop, plan.OpDelete, plan.OpActivate, plan.OpExec, plan.OpHost,
	} {
		if !seen[op] {
			t.Errorf("no generated world leads to a %s step", op)
		}
	}
}
