// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// Graph is who enables whom, and what Tasks are made of.
type Graph struct {
	Nodes []Node // sorted by kind and name
	Edges []Edge // by node, in the order of its manifest; those of the workspace file first, those of Tasks last
}

// Node is an instance of a manifest agent, or an object: a DaemonAgent, a Task, a
// CronTask, an Agent, or a Context or ConfigMap that one of them uses.
type Node struct {
	ID     plan.ID
	Name   string // of the instance, or the object
	Agent  string // "" for an object
	Repo   string
	Mode   schema.EnableMode
	Devel  string     // the repo of devel
	Origin schema.Pos // its first entry, or its document
	CLI    string     // the interactive command of its manifest; "" = it has none
	// Blocked: it is not acted on.
	Blocked bool
}

// Edge is one enable entry, or a reference of an object to another, whose names are
// their IDs then.
type Edge struct {
	From   string // name of an instance; "" = the workspace file
	To     string
	Text   string // the entry as written
	Origin schema.Pos
	NoWait bool
	// Cycle is set for an edge that is dropped because it closes a cycle: the
	// names along it, the first one again at the end.
	Cycle []string
}

// Entry is one link of a chain that leads to an instance.
type Entry struct {
	From   string // "" = the workspace file
	To     string
	Text   string
	Origin schema.Pos
}

// The bounds of what Why returns.
const (
	maxChains = 100
	maxSteps  = 100_000
)

// Why returns the chains of entries that lead from the workspace file to the
// instance name, shortest first, ties in the order of their entries. No chain
// passes an instance twice. At most 100 chains are returned; nil means that
// nothing enables name.
func (g *Graph) Why(name string) [][]Entry {
	into := map[string][]Edge{}
	for _, e := range g.Edges {
		into[e.To] = append(into[e.To], e)
	}
	var chains [][]Entry
	steps := 0
	visited := map[string]bool{}
	var tail []Entry // from the instance backwards
	var back func(to string, depth int)
	back = func(to string, depth int) {
		visited[to] = true
		defer delete(visited, to)
		for _, e := range into[to] {
			if steps++; steps > maxSteps || len(chains) >= maxChains {
				return
			}
			tail = append(tail[:depth], Entry{e.From, e.To, e.Text, e.Origin})
			switch {
			case e.From == "":
				chain := slices.Clone(tail)
				slices.Reverse(chain)
				chains = append(chains, chain)
			case !visited[e.From]:
				back(e.From, depth+1)
			}
		}
	}
	back(name, 0)
	slices.SortStableFunc(chains, func(a, b []Entry) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), slices.CompareFunc(a, b, func(x, y Entry) int { return x.Origin.Compare(y.Origin) }))
	})
	return chains
}

// dropCycles marks the edges that close a cycle, as a walk along the entries
// in their order meets them. A no-wait edge closes nothing, as nobody waits
// along it, unless it leads from an instance to itself.
func (c *closure) dropCycles(r *report) {
	const (
		fresh = iota
		open
		done
	)
	state := map[*instance]int{}
	var way []*instance
	var visit func(i *instance)
	visit = func(i *instance) {
		state[i] = open
		way = append(way, i)
		for _, e := range i.edges {
			switch {
			case e.to != i && (e.entry.NoWait || state[e.to] == done):
				continue
			case state[e.to] == fresh:
				visit(e.to)
				continue
			}
			for _, on := range way[slices.Index(way, e.to):] {
				e.cycle = append(e.cycle, on.name)
			}
			e.cycle = append(e.cycle, e.to.name)
			r.warn(e.entry.Pos, summaryCycle, "", "%s; the entry %q of %s is dropped", strings.Join(e.cycle, " -> "), e.entry.Text, i.name)
		}
		way = way[:len(way)-1]
		state[i] = done
	}
	// Instances come in the order found: what only no-wait edges lead to is
	// visited after what they start from.
	for _, i := range c.instances {
		if state[i] == fresh {
			visit(i)
		}
	}
}

func (t *Tree) graph(resources map[plan.ID]*plan.Resource) *Graph {
	g := &Graph{}
	blocked := func(id plan.ID) bool {
		res, ok := resources[id]
		return ok && len(res.Blocked) > 0
	}
	for _, i := range t.closure.instances {
		n := Node{
			ID: i.id(), Name: i.name, Agent: i.entry.Agent, Repo: i.repo.name, Mode: i.entry.Mode,
			Devel: i.entry.Devel, Origin: i.entry.Pos, Blocked: blocked(i.id()),
		}
		if i.agent != nil && i.agent.manifest != nil {
			n.CLI = i.agent.manifest.CLI.V
		}
		g.Nodes = append(g.Nodes, n)
	}
	for _, doc := range t.documents {
		if (doc.Kind == schema.KindDaemonAgent || doc.Kind == schema.KindTaskAgent) && !doc.Invalid {
			id := documentID(doc)
			g.Nodes = append(g.Nodes, Node{ID: id, Name: doc.Meta.Name.V, Origin: doc.Pos, Blocked: blocked(id)})
		}
	}
	g.addTasks(t, blocked)
	slices.SortFunc(g.Nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(graphRank(a.ID.Kind), graphRank(b.ID.Kind)), a.ID.Compare(b.ID))
	})
	used := g.Edges // of tasks, which come last
	g.Edges = nil
	edge := func(from string, e *edge) {
		g.Edges = append(g.Edges, Edge{
			From: from, To: e.to.name, Text: e.entry.Text, Origin: e.entry.Pos, NoWait: e.entry.NoWait, Cycle: e.cycle,
		})
	}
	for _, e := range t.closure.edges {
		if e.from == nil {
			edge("", e)
		}
	}
	for _, n := range g.Nodes {
		if i, ok := t.closure.byName[strings.ToLower(n.Name)]; ok && n.ID == i.id() {
			for _, e := range i.edges {
				edge(i.name, e)
			}
		}
	}
	g.Edges = append(g.Edges, used...)
	return g
}
