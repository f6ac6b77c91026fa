// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"maps"
	"slices"
	"strings"

	"reconcile/schema"
)

// The summaries about variables.
const (
	summaryMissingVar = "missing required variable"
	summaryUnknownVar = "unknown variable"
	summaryVarLoop    = "loop of variables"
	summarySecretVar  = "secret not exposed"
)

// value is what a variable has: text, or a reference to what only the runtime
// reads. The zero value is no value.
type value struct {
	set    bool
	text   string
	secret string // plan.EnvVar.Secret
	// broken: it has a mistake that is reported where it is declared.
	broken bool
	// unset is the variable of the environment that it should come from.
	unset string
}

func (v value) isSecret() bool { return strings.HasPrefix(v.secret, "secret:") }

// variables are the workspace's variables, resolved.
type variables map[string]value

// target returns OTHER of a value that is exactly $OTHER.
func target(s string) (string, bool) {
	name, ok := strings.CutPrefix(s, "$")
	if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) || name[0] >= '0' && name[0] <= '9' {
		return "", false
	}
	return name, true
}

// resolveVars follows the references between workspace variables. Those of the
// command line come first.
func (t *Tree) resolveVars(r *report) variables {
	declared := map[string]schema.Var{}
	for _, v := range t.file.Vars {
		declared[v.Name.V] = v
	}
	for _, name := range slices.Sorted(maps.Keys(t.opt.Vars)) {
		pos := schema.Pos{File: "--var " + name, Line: 1, Col: 1}
		declared[name] = schema.Var{Name: schema.Str{V: name, Pos: pos}, Value: schema.Str{V: t.opt.Vars[name], Pos: pos}}
	}
	c := varChain{tree: t, report: r, declared: declared, done: variables{}}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		c.resolve(name)
	}
	return c.done
}

type varChain struct {
	tree     *Tree
	report   *report
	declared map[string]schema.Var
	done     variables
	way      []string
}

func (c *varChain) resolve(name string) value {
	if v, ok := c.done[name]; ok {
		return v
	}
	d := c.declared[name]
	c.way = append(c.way, name)
	v := c.valueOf(d)
	c.way = c.way[:len(c.way)-1]
	c.done[name] = v
	return v
}

func (c *varChain) valueOf(d schema.Var) value {
	switch {
	case d.Secret.IsSet():
		return value{set: true, secret: "secret:" + d.Secret.V}
	case d.Env.IsSet():
		if c.tree.opt.LookupEnv != nil {
			if _, ok := c.tree.opt.LookupEnv(d.Env.V); ok {
				return value{set: true, secret: "env:" + d.Env.V}
			}
		}
		return value{unset: d.Env.V}
	}
	other, ok := target(d.Value.V)
	if !ok {
		return value{set: d.Value.IsSet(), text: d.Value.V, broken: !d.Value.IsSet()}
	}
	if i := slices.Index(c.way, other); i >= 0 {
		c.report.fail(d.Value.Pos, summaryVarLoop, "", "%s", strings.Join(append(slices.Clone(c.way[i:]), other), " -> "))
		return value{broken: true}
	}
	if _, ok := c.declared[other]; !ok {
		c.report.fail(d.Value.Pos, summaryUnknownVar, nearest(other, slices.Sorted(maps.Keys(c.declared))),
			"%s refers to $%s, which the workspace does not have", d.Name.V, other)
		return value{broken: true}
	}
	return c.resolve(other)
}
