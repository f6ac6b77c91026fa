// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"reconcile/schema"
)

// The summaries about enable entries.
const (
	summaryUnknownAgent = "unknown agent"
	summaryUnknownRepo  = "unknown repo"
	summaryAmbiguous    = "ambiguous agent"
	summaryAliasExists  = "alias already exists"
	summaryTwice        = "enabled twice; give one of them an alias"
	summaryNoCheckout   = "devel needs a folder"
	summaryCycle        = "cycle of enabled agents"
)

// instance is an agent under a name.
type instance struct {
	name  string
	agent *agent        // nil: its repo cannot be had
	repo  *repo         // of the agent, or the one that cannot be had
	work  *repo         // devel: whose checkout is worked in
	entry schema.Enable // the first one that leads here
	edges []*edge       // from here, in the order of the manifest
}

// edge is one enable entry that was resolved.
type edge struct {
	from  *instance // nil: the workspace file
	to    *instance
	entry schema.Enable
	cycle []string // names along the cycle that it closes; it is dropped
}

// closure is what the enable entries lead to.
type closure struct {
	instances []*instance          // in the order found
	byName    map[string]*instance // by lower-case name
	edges     []*edge
	agents    []*agent // enabled, in the order found
}

// pending is an entry to resolve.
type pending struct {
	from  *instance
	entry schema.Enable
}

// follow resolves enable entries, breadth first from the workspace file. The
// repos that manifests of one level name are fetched in one go, before their
// entries are looked at, so that slow remotes do not add up. An entry that
// leads nowhere is tried again when all others have added theirs, so that the
// order of entries does not decide what can be found.
func (t *Tree) follow(ctx context.Context) {
	t.closure.byName = map[string]*instance{}
	var queue, later []pending
	for _, e := range t.file.Enable {
		queue = append(queue, pending{nil, e})
	}
	last := false
	for known := 0; len(queue) > 0; {
		var fresh []*instance
		for _, p := range queue {
			found, missing := t.lookUp(p, last)
			switch {
			case missing && !last:
				later = append(later, p)
			case found.repo != nil:
				if i := t.claim(p, found); i != nil {
					fresh = append(fresh, i)
				}
			}
		}
		queue = t.enter(ctx, fresh)
		if len(queue) == 0 && len(later) > 0 {
			last = known == len(t.order)
			known = len(t.order)
			queue, later = later, nil
		}
	}
	t.closure.inOrder()
	t.closure.checkAmbiguity(t)
	t.closure.dropCycles(&t.report)
}

// claim gives what was found its name, and returns the instance when it is a
// new one.
func (t *Tree) claim(p pending, f found) *instance {
	name := p.entry.Alias
	if name == "" {
		name = p.entry.Agent
	}
	i := &instance{name: name, agent: f.agent, repo: f.repo, work: f.work, entry: p.entry}
	first, taken := t.closure.byName[strings.ToLower(name)]
	switch {
	case !taken:
		if p.entry.Mode == schema.EnableDevel && f.repo.blocked == nil && f.work.dir == "" {
			t.report.fail(p.entry.Pos, summaryNoCheckout, fmt.Sprintf("give the repo %s as the path of a checkout", f.work.name),
				"the repo %s is not a folder of this host", f.work.name)
			return nil
		}
		t.closure.byName[strings.ToLower(name)] = i
		t.closure.instances = append(t.closure.instances, i)
	case !first.same(i):
		t.clash(first, p.entry, name)
		return nil
	}
	if taken {
		i = first
	}
	e := &edge{from: p.from, to: i, entry: p.entry}
	t.closure.edges = append(t.closure.edges, e)
	if p.from != nil {
		p.from.edges = append(p.from.edges, e)
	}
	if taken {
		return nil
	}
	return i
}

// inOrder brings edges into the order of their manifests, which differs from
// that of resolution when an entry had to wait for a repo.
func (c *closure) inOrder() {
	byPlace := func(a, b *edge) int { return a.entry.Pos.Compare(b.entry.Pos) }
	slices.SortStableFunc(c.edges, byPlace)
	for _, i := range c.instances {
		slices.SortStableFunc(i.edges, byPlace)
	}
}

// same reports whether two entries ask for one instance.
func (i *instance) same(o *instance) bool {
	return i.name == o.name && i.agent == o.agent && i.repo == o.repo && i.work == o.work && i.entry.Mode == o.entry.Mode &&
		(i.agent != nil || i.entry.Agent == o.entry.Agent)
}

func (t *Tree) clash(first *instance, entry schema.Enable, name string) {
	detail := fmt.Sprintf("%q is already the %s at %s", name, first.describe(), first.entry.Pos)
	if first.name != name {
		detail = fmt.Sprintf("%q and %q, the %s at %s, are one name to DNS", name, first.name, first.describe(), first.entry.Pos)
	}
	if entry.Alias != "" {
		t.report.fail(entry.Pos, summaryAliasExists, "choose another alias", "%s", detail)
		return
	}
	t.report.fail(entry.Pos, summaryTwice, fmt.Sprintf("write %q", entry.String()+" as ALIAS"), "%s", detail)
}

func (i *instance) describe() string {
	s := "agent " + i.repo.name + "/" + i.entry.Agent
	if i.entry.Mode != schema.EnableLocal {
		s += " in " + string(i.entry.Mode) + " mode"
	}
	return s
}

// enter reads the manifests of new instances' agents, adds their repos and
// returns their entries.
func (t *Tree) enter(ctx context.Context, fresh []*instance) []pending {
	var asked []*repo
	var queue []pending
	for _, i := range fresh {
		m := t.manifestOf(ctx, i)
		if m == nil {
			continue
		}
		asked = append(asked, t.addRepos(m.Repos, i.agent)...)
		for _, e := range m.Enable {
			queue = append(queue, pending{i, e})
		}
	}
	t.openGit(ctx, asked, nil)
	return queue
}

// manifestOf reads the manifest of a new instance's agent; nil = there is none
// that makes sense.
func (t *Tree) manifestOf(ctx context.Context, i *instance) *schema.Manifest {
	a := i.agent
	if a == nil {
		return nil
	}
	if i.entry.Mode != schema.EnableDevel {
		a.copied = true
	}
	if !a.enabled {
		a.enabled = true
		t.closure.agents = append(t.closure.agents, a)
		t.readManifest(ctx, a)
		t.report.add(a.ds...)
		t.partial = append(t.partial, a.partial...)
	}
	return a.manifest
}
