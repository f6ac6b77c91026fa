// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// defaultPort is where an agent listens that says nothing.
const defaultPort = 7000

// envOf resolves the variables of an instance: what is exposed to it, then
// workspace variables, then defaults. Every problem is reported at its place
// and blocks the instance.
func (r *resolver) envOf(i *instance) (env []plan.EnvVar, blocked []plan.Reason) {
	e := envResolver{resolver: r, i: i, values: map[string]value{}}
	exposed := e.exposed()
	given := map[string]schema.EnvVar{}
	for _, x := range i.agent.manifest.Expose {
		given[x.Name.V] = x
	}
	declared := map[string]schema.EnvVar{}
	for _, v := range i.agent.manifest.Env {
		declared[v.Name.V] = v // of one name the later wins
	}
	for name, v := range declared {
		if _, again := given[name]; !again {
			e.values[name] = e.declared(v, exposed)
		}
	}
	for name, x := range given {
		e.values[name] = e.given(x, exposed)
	}
	for name, v := range exposed {
		if v.set {
			e.values[name] = v
		}
	}
	for name, text := range map[string]string{
		"AGENT_NAME": i.agent.name, "AGENT_ALIAS": i.name, "AGENT_REPO": i.agent.repo.name,
		"WORKSPACE_PATH": workspacePath, "CODE_PATH": codePath,
	} {
		e.values[name] = value{set: true, text: text}
	}
	if !e.values["PORT"].set {
		e.values["PORT"] = value{set: true, text: strconv.Itoa(defaultPort)}
	}
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		if v := e.values[name]; v.set {
			env = append(env, plan.EnvVar{Name: name, Value: v.text, Secret: v.secret})
		}
	}
	slices.SortFunc(e.blocked, func(a, b plan.Reason) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Text, b.Text))
	})
	return env, e.blocked
}

type envResolver struct {
	*resolver
	i       *instance
	values  map[string]value
	blocked []plan.Reason
}

func (e *envResolver) block(pos schema.Pos, code plan.Code, summary, hint, format string, args ...any) {
	e.blocked = append(e.blocked, e.report.block(pos, code, summary, hint, format, args...))
}

// exposed returns what the workspace exposes to this instance; what names the
// instance goes before what names its agent.
func (e *envResolver) exposed() map[string]value {
	out := map[string]value{}
	for _, name := range []string{e.i.agent.name, e.i.name} {
		for _, x := range e.tree.file.Expose {
			if x.Agent.V != name {
				continue
			}
			other, isRef := target(x.Value.V)
			if !isRef {
				out[x.Name.V] = value{set: true, text: x.Value.V}
				continue
			}
			v, ok := e.vars[other]
			if !ok {
				v.broken = true // which is reported with the workspace file
			}
			out[x.Name.V] = v
		}
	}
	return out
}

// declared resolves an entry of env.
func (e *envResolver) declared(d schema.EnvVar, exposed map[string]value) value {
	if v := exposed[d.Name.V]; v.set {
		return v
	}
	if v := e.vars[d.VarName]; v.set {
		if v.isSecret() && e.i.agent.repo.name != ownRepo {
			e.block(d.Name.Pos, plan.CodePolicy, summarySecretVar,
				"expose it in the workspace file: expose: {"+e.i.name+": {"+d.Name.V+": $"+d.VarName+"}}",
				"%s is a secret, and %s is of the repo %s", d.VarName, e.i.name, e.i.agent.repo.name)
			return value{}
		}
		return v
	}
	if d.Default != nil {
		return value{set: true, text: d.Default.V}
	}
	if d.Required && d.Name.V != "PORT" {
		e.missing(d, exposed[d.Name.V].broken)
	}
	return value{}
}

// missing blocks the instance for want of a variable. Why a variable of the
// workspace is no good is reported where it is declared.
func (e *envResolver) missing(d schema.EnvVar, broken bool) {
	v := e.vars[d.VarName]
	if broken || v.broken {
		e.blocked = append(e.blocked, plan.Reason{Code: plan.CodeInvalid, Text: "the variable " + d.VarName + " has errors", Origin: d.Name.Pos.String()})
		return
	}
	as := ""
	if d.VarName != d.Name.V {
		as = " (as " + d.VarName + ")"
	}
	hint := fmt.Sprintf("set %[1]s under vars in the workspace file (`reconcile var %[1]s VALUE` does), or with --var", d.VarName)
	if v.unset != "" {
		hint = "set " + v.unset + " in the environment, where " + d.VarName + " comes from, or give it with --var"
	}
	e.block(d.Name.Pos, plan.CodeInvalid, summaryMissingVar, hint, "%s needs %s%s", e.i.name, d.Name.V, as)
}

// given resolves an entry of the manifest's own expose.
func (e *envResolver) given(x schema.EnvVar, exposed map[string]value) value {
	if v := exposed[x.Name.V]; v.set {
		return v
	}
	ref := x.Ref
	if ref == "" && x.Default != nil {
		other, isRef := target(x.Default.V)
		if !isRef {
			return value{set: true, text: x.Default.V}
		}
		ref = other
	}
	return e.declared(schema.EnvVar{Name: x.Name, VarName: ref, Required: true}, nil)
}

// portOf is where the instance listens.
func (r *resolver) portOf(i *instance, env []plan.EnvVar) (uint16, []plan.Reason) {
	for _, v := range env {
		if v.Name != "PORT" {
			continue
		}
		n, err := strconv.ParseUint(v.Value, 10, 16)
		if v.Secret != "" || err != nil || n == 0 || strings.HasPrefix(v.Value, "0") {
			reason := r.report.block(r.portPos(i), plan.CodeInvalid, "invalid port", "PORT is a number from 1 to 65535, and no secret", "PORT of %s cannot be used", i.name)
			return defaultPort, []plan.Reason{reason}
		}
		return uint16(n), nil
	}
	return defaultPort, nil
}

// portPos is where PORT of an instance is declared.
func (r *resolver) portPos(i *instance) schema.Pos {
	for _, list := range [][]schema.EnvVar{i.agent.manifest.Env, i.agent.manifest.Expose} {
		for _, v := range list {
			if v.Name.V == "PORT" {
				return v.Name.Pos
			}
		}
	}
	for _, x := range r.tree.file.Expose {
		if x.Name.V == "PORT" && (x.Agent.V == i.name || x.Agent.V == i.agent.name) {
			return x.Name.Pos
		}
	}
	return i.agent.pos()
}

// checkExpose reports what the workspace file exposes to nobody, and what it
// exposes that it does not have.
func (r *resolver) checkExpose() {
	used := map[string]bool{}
	for _, i := range r.tree.closure.instances {
		used[i.name], used[i.entry.Agent] = true, true
	}
	for _, x := range r.tree.file.Expose {
		if other, isRef := target(x.Value.V); isRef {
			if _, ok := r.vars[other]; !ok {
				r.report.fail(x.Value.Pos, summaryUnknownVar, nearest(other, slices.Sorted(maps.Keys(r.vars))),
					"%s refers to $%s, which the workspace does not have", x.Name.V, other)
			}
		}
		if !used[x.Agent.V] {
			r.report.warn(x.Agent.Pos, "nothing is exposed", "", "no enabled agent or instance is called %s", x.Agent.V)
		}
	}
}
