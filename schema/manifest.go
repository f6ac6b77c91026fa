// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// manifest reads a unified manifest.
func (c cursor) manifest() *Manifest {
	c.manifestConflicts(c.written)
	m := c.overlay()
	if c.layers != nil {
		for _, f := range c.layers.profiles.Fields {
			m.Profiles = append(m.Profiles, Str{V: f.Key, Pos: f.Pos})
		}
	}
	if !c.at("container").set() && c.n.Kind == NodeMap {
		c.fail(c.n.Pos, summaryMissing, "container: the image to run", "")
	}
	return m
}

// readLayers reads what the active profile hides in a manifest: values of its
// own, and profiles that are not active. Only the problems are of interest.
func (r *reader) readLayers() {
	if r.layers == nil {
		return
	}
	cursor{r, r.unifyOverlay(r.layers.base)}.overlay()
	for _, p := range (cursor{r, r.layers.profiles}).entries() {
		p.n = r.unifyOverlay(plainNames(p.n))
		p.overlay()
	}
}

// overlay reads the fields that a manifest and its profiles share.
func (c cursor) overlay() *Manifest {
	m := &Manifest{
		Pos:         c.n.Pos,
		Container:   c.at("container").image(),
		Preinstall:  c.at("preinstall").texts(),
		Install:     c.at("install").texts(),
		Postinstall: c.at("postinstall").texts(),
		Update:      c.at("update").texts(),
		CLI:         c.at("cli").text(),
		Agent:       c.at("agent").text(),
		Start:       c.at("start").text(),
		About:       c.at("about").text(),
		Env:         c.at("env").env(),
		Expose:      c.at("expose").exposed(),
		Enable:      c.at("enable").enable(),
		Repos:       c.at("repos").repos(),
		Volumes:     c.at("volumes").volumes(),
		Ports:       c.at("ports").ports(),
		Health:      c.at("health").health(),
	}
	return m
}

// manifestConflicts looks at a manifest or profile as written: two spellings
// of one field, and fields without effect.
func (c cursor) manifestConflicts(n *Node) {
	if n == nil || n.Kind != NodeMap {
		return
	}
	for _, pair := range [][2]string{{"container", "image"}, {"ports", "port"}} {
		if n.field(pair[0]) == nil {
			continue
		}
		for _, f := range n.Fields {
			if f.Key == pair[1] {
				c.fail(f.Pos, summaryConflict, fmt.Sprintf("%s and %s are two names of one field", pair[0], pair[1]), "remove one of them")
			}
		}
	}
	for _, f := range n.Fields {
		switch {
		case noEffectField(f.Key):
			c.warn(f.Pos, summaryNoEffect, "accepted, but it does nothing here", "")
		case f.Key == "profiles" && n == c.written:
			for _, p := range f.Value.Fields {
				c.manifestConflicts(p.Value)
			}
		}
	}
}

// reservedEnv reports variables that are injected into every agent. PORT may
// be set.
func reservedEnv(name string) bool {
	switch name {
	case "AGENT_NAME", "AGENT_ALIAS", "AGENT_REPO", "WORKSPACE_PATH", "CODE_PATH":
		return true
	}
	return false
}

// manifestEnvName reads the name of a variable that a manifest may set.
func (c cursor) manifestEnvName() Str {
	name := c.text()
	if name.IsSet() && c.envName(name) && reservedEnv(name.V) {
		c.fail(name.Pos, summaryReserved, fmt.Sprintf("%s is set for every agent; a manifest may only set PORT", name.V), "")
	}
	return name
}

func (c cursor) env() []EnvVar {
	var out []EnvVar
	seen := map[string]Pos{}
	for _, x := range c.items() {
		v := EnvVar{Name: x.at("name").manifestEnvName(), Required: x.at("required").boolean().V}
		if !v.Name.IsSet() {
			continue
		}
		v.VarName = v.Name.V
		if name := x.at("varName").text(); name.IsSet() {
			x.at("varName").envName(name)
			v.VarName = name.V
		}
		if d := x.at("default").text(); d.IsSet() {
			v.Default = &d
			x.at("default").portDefault(v.Name.V)
		}
		if first, again := seen[v.Name.V]; again {
			c.warn(v.Name.Pos, summaryRepeated, fmt.Sprintf("%s is also on line %d; this later one counts", v.Name.V, first.Line), "")
		}
		seen[v.Name.V] = v.Name.Pos
		out = append(out, v)
	}
	return out
}

// portDefault checks the value of PORT, the port that the router uses.
func (c cursor) portDefault(name string) {
	if name != "PORT" {
		return
	}
	if _, err := portNumber(c.n.Text); err != nil {
		c.invalid(err.Error(), "")
	}
}

func (c cursor) exposed() []EnvVar {
	var out []EnvVar
	for _, x := range c.items() {
		v := EnvVar{Name: x.at("name").manifestEnvName()}
		if !v.Name.IsSet() {
			continue
		}
		v.VarName = v.Name.V
		value, ref := x.at("value").text(), x.at("ref").text()
		switch {
		case value.IsSet() == ref.IsSet():
			x.fail(v.Name.Pos, summaryConflict, fmt.Sprintf("%s needs either a value or a ref", v.Name.V), "")
		case ref.IsSet():
			v.Ref = strings.TrimPrefix(ref.V, "$")
			x.at("ref").envName(Str{V: v.Ref, Pos: ref.Pos})
		default:
			v.Default = &value
			x.at("value").portDefault(v.Name.V)
		}
		out = append(out, v)
	}
	return out
}

func (c cursor) enable() []Enable {
	var out []Enable
	for _, s := range c.texts() {
		e, ds := ParseEnable(s.V, s.Pos)
		for _, d := range ds {
			c.report(d.Severity, d.Pos, d.Summary, d.Detail, d.Hint)
		}
		if !ds.HasErrors() {
			out = append(out, e)
		}
	}
	return out
}

func (c cursor) repos() []Repo {
	var out []Repo
	for _, e := range c.entries() {
		switch {
		case !repoName(e.key.V):
			c.fail(e.key.Pos, summaryName, fmt.Sprintf("%s cannot name a repo", quoteKey(e.key.V)),
				"use letters, digits, dots, dashes and underscores, a letter or digit first, at most 63")
		case e.key.V == "workspace":
			c.fail(e.key.Pos, summaryReserved, "the repo workspace is the workspace itself", "give the repo another name")
		}
		out = append(out, Repo{
			Name:      e.key,
			URL:       e.at("url").gitURL(true),
			Ref:       e.at("ref").gitRef(),
			Path:      e.at("path").inside("the repository"),
			Depth:     e.at("depth").count(),
			Git:       e.at("git").word(),
			SecretRef: e.at("secretRef").word(),
		})
	}
	return out
}

func repoName(s string) bool {
	if s == "" || len(s) > 63 || strings.IndexFunc(s[:1], notEnvRune) >= 0 || s[0] == '_' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r != '.' && r != '-' && notEnvRune(r) }) < 0
}

// volumeOptions are the words that may follow the container path.
func volumeOption(s string) bool {
	return slices.Contains([]string{
		"z", "Z", "U", "O", "exec", "noexec", "dev", "nodev", "suid", "nosuid", "bind", "rbind",
		"shared", "rshared", "slave", "rslave", "private", "rprivate",
	}, s)
}

func (c cursor) volumes() []Volume {
	var out []Volume
	targets := map[string]Pos{}
	for _, e := range c.entries() {
		v := Volume{Host: e.key}
		switch {
		case strings.TrimSpace(e.key.V) == "":
			c.fail(e.key.Pos, summaryInvalid, "the host path must not be empty", "")
		case strings.HasPrefix(e.key.V, "~"):
			c.fail(e.key.Pos, summaryInvalid, fmt.Sprintf("~ is not expanded in %s", quoteKey(e.key.V)), "write an absolute path, or one relative to the workspace root")
		}
		s := e.filled()
		if !s.IsSet() {
			continue
		}
		target, options, _ := strings.Cut(s.V, ":")
		for _, o := range strings.FieldsFunc(options, func(r rune) bool { return r == ',' || r == ':' }) {
			switch {
			case o == "ro":
				v.ReadOnly = true
			case o == "rw":
			case volumeOption(o):
				v.Options = append(v.Options, o)
			default:
				e.invalid(fmt.Sprintf("the mount option %s is not known", quoteKey(o)), didYouMean(o, []string{"ro", "rw"}))
			}
		}
		v.Container = cursor{c.reader, textAt(s.Pos, target)}.absolutePath().V
		if first, again := targets[v.Container]; again {
			e.fail(s.Pos, summaryConflict, fmt.Sprintf("%s is already mounted on line %d", quoteKey(v.Container), first.Line), "")
		}
		targets[v.Container] = s.Pos
		out = append(out, v)
	}
	return out
}

func (c cursor) ports() []Port {
	var out []Port
	seen := map[string]Pos{}
	for _, x := range c.items() {
		s := x.text()
		if !s.IsSet() {
			continue
		}
		p, err := ParsePort(strings.TrimSpace(s.V))
		if err != nil {
			x.invalid(err.Error(), `write P, HOST:CONTAINER or IP:HOST:CONTAINER, for example "8080:7000"`)
			continue
		}
		p.Pos = s.Pos
		key := fmt.Sprintf("%s %d/%s", canonicalIP(p.HostIP), p.Host, p.Protocol)
		if first, again := seen[key]; again {
			x.fail(s.Pos, summaryConflict, fmt.Sprintf("host port %d/%s is already used on line %d", p.Host, p.Protocol, first.Line), "")
			continue
		}
		seen[key] = s.Pos
		out = append(out, p)
	}
	return out
}

func canonicalIP(ip string) string {
	if ip == "" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}).String()
	}
	return ip
}

func (c cursor) health() *Health {
	if !c.is("a map", NodeMap) {
		return nil
	}
	return &Health{Pos: c.n.Pos, Liveness: c.at("liveness").probe(), Readiness: c.at("readiness").probe()}
}

func (c cursor) probe() *Probe {
	if !c.is("a map", NodeMap) {
		return nil
	}
	seconds := func(key string, fallback float64, zero bool) float64 {
		v := c.at(key).number()
		switch {
		case !v.IsSet():
			return fallback
		case v.V < minSeconds && (v.V != 0 || !zero) || v.V > maxSeconds:
			c.at(key).invalid(fmt.Sprintf("%s seconds is out of range", c.at(key).n.Text), "")
			return fallback
		}
		return v.V
	}
	times := func(key string, fallback int) int {
		v := c.at(key).integer()
		switch {
		case !v.IsSet():
			return fallback
		case v.V < 1 || v.V > 1<<30:
			c.at(key).invalid(fmt.Sprintf("%d is out of range: a whole number of at least 1", v.V), "")
			return fallback
		}
		return int(v.V)
	}
	return &Probe{
		Pos:              c.n.Pos,
		Script:           c.at("script").scriptName(),
		Interval:         seconds("interval", 1, false),
		Timeout:          seconds("timeout", 5, false),
		InitialDelay:     seconds("initialDelay", 0, true),
		FailureThreshold: times("failureThreshold", 5),
		SuccessThreshold: times("successThreshold", 1),
	}
}

// What times are within: at least a millisecond where 0 is none, and no more than
// a time.Duration holds.
const (
	minSeconds = 0.001
	maxSeconds = 1e9
)

// deadline reads a time in seconds that is no 0.
func (c cursor) deadline() Float {
	v := c.number()
	if v.IsSet() && (v.V < minSeconds || v.V > maxSeconds) {
		c.invalid(fmt.Sprintf("%s seconds is out of range", c.n.Text), "")
		return Float{}
	}
	return v
}

// scriptName reads a bare file name.
func (c cursor) scriptName() Str {
	s := c.filled()
	if s.IsSet() && (strings.ContainsAny(s.V, `/\`) || strings.Contains(s.V, "..") || path.Clean(s.V) == ".") {
		c.invalid(fmt.Sprintf("%s is not a bare file name", quoteKey(s.V)), "the script lies in the agent's folder itself")
	}
	return s
}
