// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"strings"
)

// workspace reads a unified workspace file.
func (c cursor) workspace() *Workspace {
	spec := c.at("spec")
	return &Workspace{
		Pos:          c.n.Pos,
		Name:         c.at("metadata").at("name").word(),
		Repos:        spec.at("repos").repos(),
		Enable:       spec.at("enable").enable(),
		Vars:         spec.at("vars").vars(),
		Expose:       spec.at("expose").expose(),
		Policy:       spec.at("policy").policy(),
		Profile:      spec.at("profile").filled(),
		HooksTimeout: spec.at("hooks").at("timeout").deadline(),
		TasksTTL:     spec.at("tasks").at("ttlSecondsAfterFinished").count(),
		ImagesPin:    spec.at("images").at("pin").boolean(),
		NetworkIPv6:  spec.at("network").at("ipv6").boolean(),
	}
}

func (c cursor) vars() []Var {
	var out []Var
	for _, e := range c.entries() {
		c.envName(e.key)
		v := Var{Name: e.key, Value: e.at("value").text(), Env: e.at("env").word(), Secret: e.at("secret").hostSecret()}
		if v.Env.IsSet() {
			e.at("env").envName(v.Env)
		}
		sources := 0
		for _, f := range e.n.Fields {
			sources++
			if f.Key != "env" && f.Key != "secret" && f.Key != "value" { // CUE refuses it
				sources = 1
				break
			}
		}
		if e.n.Kind == NodeMap && sources != 1 {
			e.fail(e.n.Pos, summaryConflict, fmt.Sprintf("%s needs a literal value, {env: NAME} or {secret: NAME}", e.key.V), "")
		}
		out = append(out, v)
	}
	return out
}

// hostSecret reads the name of a secret of Podman, or of a file in the secrets
// directory.
func (c cursor) hostSecret() Str {
	s := c.filled()
	if s.IsSet() && (!aliasName.MatchString(s.V) || strings.Contains(s.V, "..") || len(s.V) > maxSecretName) {
		c.fail(s.Pos, summaryName, fmt.Sprintf("%s cannot name a secret of the host", quoteKey(s.V)),
			fmt.Sprintf("use letters, digits, dots, dashes and underscores, a letter or digit first, at most %d", maxSecretName))
	}
	return s
}

// maxSecretName is the longest name of a secret that Podman takes.
const maxSecretName = 253

func (c cursor) expose() []Expose {
	var out []Expose
	for _, agent := range c.entries() {
		for _, e := range agent.entries() {
			if c.envName(e.key) && reservedEnv(e.key.V) {
				c.fail(e.key.Pos, summaryReserved, fmt.Sprintf("%s is set for every agent", e.key.V), "")
			}
			if v := e.text(); v.IsSet() {
				out = append(out, Expose{Agent: agent.key, Name: e.key, Value: v})
			}
		}
	}
	return out
}

func (c cursor) policy() Policy {
	if !c.set() {
		return Policy{}
	}
	return Policy{
		Pos:              c.n.Pos,
		Mounts:           c.at("mounts").word(),
		HostHooks:        c.at("hostHooks").word(),
		PlaintextSecrets: c.at("plaintextSecrets").word(),
		RequireApproval:  c.at("requireApproval").word(),
		Registries:       c.at("registries").texts(),
		FileURLs:         c.at("fileUrls").boolean(),
		Relabel:          c.at("relabel").boolean(),
	}
}
