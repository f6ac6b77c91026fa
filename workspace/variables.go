// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"maps"
	"slices"
	"strings"

	"reconcile/schema"
)

// Variable is a workspace variable with where its value comes from.
type Variable struct {
	Name   string
	Origin schema.Pos // of its declaration; the file is "--var NAME" for one of Options.Vars
	Ref    string     // the variable that it refers to; "" = none
	// Secret is the secret of the host that its value is, and Env the variable of
	// the operator's environment, through references too; "" = none.
	Secret, Env string
	Value       string // unless it is from one of these
	Set         bool   // it has a value; a secret counts as set
}

// Exposed is a variable for one agent or instance.
type Exposed struct {
	Agent, Name string
	Origin      schema.Pos
	Ref         string // the workspace variable; "" = Value counts
	Value       string
}

// variables returns the workspace variables, sorted by name.
func (r *resolver) variables() []Variable {
	byName := map[string]Variable{}
	for _, d := range r.tree.file.Vars {
		ref, _ := target(d.Value.V)
		byName[d.Name.V] = Variable{Name: d.Name.V, Origin: d.Name.Pos, Ref: ref}
	}
	for name, text := range r.tree.opt.Vars {
		ref, _ := target(text)
		byName[name] = Variable{Name: name, Origin: schema.Pos{File: "--var " + name, Line: 1, Col: 1}, Ref: ref}
	}
	out := make([]Variable, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		v, x := byName[name], r.vars[name]
		v.Set, v.Value, v.Env = x.set, x.text, x.unset
		if scheme, from, ok := strings.Cut(x.secret, ":"); ok && scheme == "env" {
			v.Env = from
		} else if ok {
			v.Secret = from
		}
		out = append(out, v)
	}
	return out
}

// exposures returns what the workspace file exposes, in its order.
func (r *resolver) exposures() []Exposed {
	var out []Exposed
	for _, x := range r.tree.file.Expose {
		e := Exposed{Agent: x.Agent.V, Name: x.Name.V, Origin: x.Name.Pos}
		if ref, ok := target(x.Value.V); ok {
			e.Ref = ref
		} else {
			e.Value = x.Value.V
		}
		out = append(out, e)
	}
	return out
}

// RepoPlace is a repo with its agents.
type RepoPlace struct {
	Name   string
	Dir    string   // its folder; "" = it is no folder of this host
	Agents []string // by name, sorted; of other repos than the workspace those that are enabled
}

// places returns the repos as they were added, the workspace first.
func (t *Tree) places() []RepoPlace {
	var out []RepoPlace
	for _, name := range t.order {
		r := t.repos[name]
		p := RepoPlace{Name: name}
		for agent, a := range r.agents {
			if a != nil {
				p.Agents = append(p.Agents, agent)
			}
		}
		slices.Sort(p.Agents)
		if r.root != nil || name == ownRepo && t.commit == nil {
			p.Dir = r.dir
		}
		out = append(out, p)
	}
	return out
}
