// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Agent is a KubeTask Agent; defaults are filled in.
type Agent struct {
	Pos                Pos
	Image              Str
	Command            []string // argv; nil: the image's own entrypoint and command
	WorkspaceDir       Str      // absolute; "/workspace" when absent
	Contexts           []ContextMount
	Credentials        []Credential
	MaxConcurrentTasks Int // unset or 0: no limit
	HumanInTheLoop     *HumanInTheLoop
	Labels             map[string]string // podSpec.labels
}

// Credential gives a secret to the Agent's Tasks as variables, files or both.
type Credential struct {
	Pos       Pos
	Name      Str
	Secret    Str
	Key       Str // unset: all keys
	Env       Str // unset: none; all keys as variables when MountPath is unset too
	MountPath Str
	FileMode  fs.FileMode // permission bits; default 0600
}

func (c cursor) agent() *Agent {
	spec := c.at("spec")
	a := &Agent{
		Pos:                c.n.Pos,
		Image:              spec.at("agentImage").image(),
		Command:            spec.at("command").argv(),
		WorkspaceDir:       spec.at("workspaceDir").absolutePath(),
		Contexts:           spec.at("contexts").mounts(),
		Credentials:        spec.at("credentials").credentials(),
		MaxConcurrentTasks: spec.at("maxConcurrentTasks").count(),
		HumanInTheLoop:     spec.at("humanInTheLoop").humanInTheLoop(),
		Labels:             spec.at("podSpec").at("labels").textMap(),
	}
	if a.WorkspaceDir.V == "" {
		a.WorkspaceDir.V = "/workspace"
	}
	spec.noEffect("serviceAccountName")
	spec.at("podSpec").noEffect("scheduling", "runtimeClassName")
	return a
}

// noEffect warns about fields that mean nothing on one Podman host.
func (c cursor) noEffect(names ...string) {
	for _, name := range names {
		if v := c.at(name); v.set() {
			c.warn(v.n.Pos, summaryNoEffect, "means nothing on a Podman host", "")
		}
	}
}

func (c cursor) credentials() []Credential {
	var out []Credential
	envs := map[string]Pos{}
	for _, x := range c.items() {
		if !x.is("a map", NodeMap) {
			continue
		}
		k := Credential{
			Pos:       x.n.Pos,
			Name:      x.at("name").filled(),
			Secret:    x.at("secretRef").at("name").word(),
			Key:       x.at("secretRef").at("key").secretKey(),
			Env:       x.at("env").word(),
			MountPath: x.at("mountPath").mountPath(),
			FileMode:  x.at("fileMode").fileMode(),
		}
		hasKey := x.at("secretRef").at("key").set()
		switch {
		case k.Env.IsSet() && !hasKey:
			x.fail(k.Env.Pos, summaryConflict, "one variable cannot hold all keys of a secret", "give secretRef.key, or leave out env to get a variable per key")
		case hasKey && !x.at("env").set() && !k.MountPath.IsSet():
			x.fail(x.n.Pos, summaryMissing, "env or mountPath: where the key's value goes", "")
		}
		if k.Env.IsSet() && x.envName(k.Env) {
			x.at("env").taskEnv(envs)
		}
		out = append(out, k)
	}
	return out
}

// taskEnv refuses variables that every task has, and repetitions.
func (c cursor) taskEnv(seen map[string]Pos) {
	name := c.n.Text
	switch first, again := seen[name]; {
	case strings.HasPrefix(name, "TASK_") || name == "WORKSPACE_DIR" || name == "KUBETASK_KEEP_ALIVE_SECONDS":
		c.fail(c.n.Pos, summaryReserved, fmt.Sprintf("%s is set for every task", name), "")
	case again:
		c.fail(c.n.Pos, summaryConflict, fmt.Sprintf("%s is already set by the credential on line %d", name, first.Line), "")
	}
	seen[name] = c.n.Pos
}

// fileMode reads 0400, "0400" or a decimal number; 0600 when absent.
func (c cursor) fileMode() fs.FileMode {
	const fallback = 0o600
	if !c.is("a number or text", NodeInt, NodeFloat, NodeString) {
		return fallback
	}
	if c.n.Kind == NodeString {
		digits := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(c.n.Text), "0o"), "0O")
		v, err := strconv.ParseUint(digits, 8, 32)
		if err != nil || v > 0o777 {
			c.invalid(fmt.Sprintf("%s is not a file mode between 0000 and 0777", quoteKey(c.n.Text)), `for example "0400"`)
			return fallback
		}
		return fs.FileMode(v)
	}
	v := c.integer()
	if !v.IsSet() || v.V < 0 || v.V > 0o777 {
		c.invalid(fmt.Sprintf("%s is not a file mode between 0 and 511 (0777)", c.n.Text), `write it as octal text, for example "0400"`)
		return fallback
	}
	return fs.FileMode(v.V)
}
