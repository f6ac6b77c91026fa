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
		Command:            spec.at("command").program(),
		WorkspaceDir:       spec.at("workspaceDir").absolutePath(),
		Contexts:           spec.at("contexts").mounts(),
		Credentials:        spec.at("credentials").credentials(),
		MaxConcurrentTasks: spec.at("maxConcurrentTasks").count(),
		HumanInTheLoop:     spec.at("humanInTheLoop").humanInTheLoop(),
		Labels:             spec.at("podSpec").at("labels").containerLabels(),
	}
	if a.WorkspaceDir.V == "" {
		a.WorkspaceDir.V = "/workspace"
	}
	spec.noEffect("serviceAccountName")
	spec.at("podSpec").noEffect("scheduling", "runtimeClassName")
	return a
}

// program reads an argv that must begin with a program; none at all is unset.
func (c cursor) program() []string {
	argv := c.argv()
	if len(argv) > 0 && strings.TrimSpace(argv[0]) == "" {
		c.invalid("the program, which comes first, must not be empty", "leave out command to use the image's own")
	}
	return argv
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
			Key:       x.at("secretRef").at("key").keyOf("a secret"),
			Env:       x.at("env").word(),
			MountPath: x.at("mountPath").mountPath(),
			FileMode:  x.at("fileMode").fileMode(),
		}
		hasKey := x.at("secretRef").at("key").set()
		switch {
		case !x.at("secretRef").set(): // reported as missing
		case k.Env.IsSet() && !hasKey:
			x.fail(k.Env.Pos, summaryConflict, "one variable cannot hold all keys of a secret", "give secretRef.key, or leave out env to get a variable per key")
		case hasKey && !x.at("env").set() && !k.MountPath.IsSet():
			x.fail(x.n.Pos, summaryMissing, "env or mountPath: where the key's value goes", "")
		}
		if k.Env.IsSet() && x.envName(k.Env) {
			x.at("env").taskEnv(envs)
		}
		if mode := x.at("fileMode"); mode.set() && !x.at("mountPath").set() {
			x.warn(mode.n.Pos, summaryNoEffect, "there is no mountPath", "")
		}
		out = append(out, k)
	}
	return out
}

// IsEnvName reports whether s can name an environment variable: letters, digits
// and underscores, no digit first.
func IsEnvName(s string) bool {
	return s != "" && strings.IndexFunc(s, notEnvRune) < 0 && (s[0] < '0' || s[0] > '9')
}

// IsTaskEnv reports whether a variable of that name is set for every task.
func IsTaskEnv(name string) bool {
	return strings.HasPrefix(name, "TASK_") || name == "WORKSPACE_DIR" || name == "KUBETASK_KEEP_ALIVE_SECONDS"
}

// containerLabels reads labels of containers. Those that say what is ours are not
// for anybody to give.
func (c cursor) containerLabels() map[string]string {
	for _, e := range c.entries() {
		if e.key.V == "" {
			c.fail(e.key.Pos, summaryName, "a label must have a name", "")
		}
		if strings.HasPrefix(e.key.V, "reconcile.") || strings.HasPrefix(e.key.V, "reconcile-image.") {
			c.fail(e.key.Pos, summaryReserved, fmt.Sprintf("the label %s is this program's own", quoteKey(e.key.V)), "")
		}
	}
	return c.textMap()
}

// taskEnv refuses variables that every task has, and repetitions.
func (c cursor) taskEnv(seen map[string]Pos) {
	name := c.n.Text
	switch first, again := seen[name]; {
	case IsTaskEnv(name):
		c.fail(c.n.Pos, summaryReserved, fmt.Sprintf("%s is set for every task", name), "")
	case again:
		c.fail(c.n.Pos, summaryConflict, fmt.Sprintf("%s is already set by the credential on line %d", name, first.Line), "")
	}
	seen[name] = c.n.Pos
}

const octalHint = `write it in octal, for example 0400 or "0400"`

// decimalHint is for a number whose decimal digits were probably meant in octal:
// those of a mode that gives no class more than the one before.
func decimalHint(n int64) string {
	text := strconv.FormatInt(n, 10)
	v, err := strconv.ParseUint(text, 8, 32)
	usual := len(text) == 3 && text[0] >= text[1] && text[1] >= text[2]
	if err != nil || v > 0o777 || !usual {
		return octalHint
	}
	return fmt.Sprintf(`a number without a leading 0 is decimal; write "0%s" if that is meant`, text)
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
	switch {
	case !v.IsSet():
		return fallback
	case v.V < 0:
		c.invalid(fmt.Sprintf("%d is not a file mode between 0 and 0777", v.V), octalHint)
		return fallback
	case v.V > 0o777:
		c.invalid(fmt.Sprintf("%d (%#o in octal) is not a file mode between 0 and 0777", v.V, v.V), decimalHint(v.V))
		return fallback
	}
	if mode := fs.FileMode(v.V); mode&0o022 == 0 || decimalHint(v.V) == octalHint {
		return mode
	}
	c.warn(c.n.Pos, summaryInsecure, fmt.Sprintf("%d is %#o in octal, which lets others write", v.V, v.V), decimalHint(v.V))
	return fs.FileMode(v.V)
}
