// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// power is one thing that a container can do. Of two powers of one kind and
// subject, that of the higher level includes the other.
type power struct {
	kind    GrantKind
	subject string
	level   int64
	text    string
	path    string // of the field of the spec that it comes from, as in ReplacePaths; "" = none
}

// The levels of powers that have some.
const (
	levelRead  = 1
	levelWrite = 2

	levelUnlimited = math.MaxInt64
)

// key is the line of the lock file that stands for p. Paths in the workspace's
// folder begin with a dot: the same line stands for them wherever that lies.
func (p power) key(folder string) string {
	switch p.kind {
	case GrantHostPath:
		mode := "ro"
		if p.level == levelWrite {
			mode = "rw"
		}
		return fmt.Sprintf("%s %s %s", p.kind, mode, shortPath(p.subject, folder))
	case GrantWorkDir:
		return fmt.Sprintf("%s %s", p.kind, shortPath(p.subject, folder))
	case GrantLimit:
		level := "none"
		if p.level != levelUnlimited {
			level = strconv.FormatInt(p.level, 10)
		}
		return fmt.Sprintf("%s %s %s", p.kind, p.subject, level)
	}
	return string(p.kind) + " " + p.subject
}

// parsePower is the inverse of key, but for the text. What is not of a kind that
// this build knows includes nothing.
func parsePower(key, folder string) (power, bool) {
	kind, rest, ok := strings.Cut(key, " ")
	p := power{kind: GrantKind(kind), subject: rest}
	if !ok || rest == "" || !slices.Contains(GrantKinds(), p.kind) {
		return power{}, false
	}
	switch p.kind {
	case GrantWorkDir:
		p.subject, p.level = longPath(rest, folder), levelWrite
		return p, p.subject != ""
	case GrantHostPath:
		mode, path, _ := strings.Cut(rest, " ")
		p.subject, p.level = longPath(path, folder), levelRead
		if mode == "rw" {
			p.level = levelWrite
		}
		return p, p.subject != "" && (mode == "rw" || mode == "ro")
	case GrantLimit:
		subject, level, _ := strings.Cut(rest, " ")
		p.subject, p.level = subject, levelUnlimited
		if level == "none" {
			return p, true
		}
		n, err := strconv.ParseInt(level, 10, 64)
		p.level = n
		return p, err == nil && n > 0
	}
	return p, true
}

// CanApprove reports whether a line of the lock file approves anything, in a
// workspace of that folder; "" = it has none.
func CanApprove(key, folder string) bool {
	_, ok := parsePower(key, folder)
	return ok
}

// shortPath is a path for the lock file.
func shortPath(at, folder string) string {
	if folder == "" || !inPath(at, folder) {
		return at
	}
	return "." + strings.TrimPrefix(at, strings.TrimSuffix(folder, "/"))
}

// longPath is the inverse of shortPath; "" = it is no path, or leads out of the
// folder.
func longPath(short, folder string) string {
	rest, within := strings.CutPrefix(short, ".")
	switch {
	case !within && path.IsAbs(short):
		return path.Clean(short)
	case within && folder != "" && (rest == "" || rest[0] == '/') && inPath(path.Join(folder, rest), folder):
		return path.Join(folder, rest)
	}
	return ""
}

// includes reports whether whoever has p has q as well.
func (p power) includes(q power) bool {
	if p.level < q.level {
		return false
	}
	switch {
	case p.kind == GrantPrivilege && p.subject == defaultCapabilities && q.kind == GrantCapability:
		return byDefault(q.subject)
	case p.isPath() && q.isPath():
		return inPath(q.subject, p.subject)
	case p.kind != q.kind:
		return false
	case p.kind == GrantSecret && strings.HasPrefix(p.subject, everyKey) && strings.HasPrefix(q.subject, oneKey):
		return strings.HasPrefix(q.subject, oneKey+strings.TrimPrefix(p.subject, everyKey)+"/")
	case p.kind == GrantCapability && p.subject == "ALL", p.kind == GrantUser && p.subject == "root":
		return true
	}
	return p.subject == q.subject
}

func (p power) isPath() bool { return p.kind == GrantHostPath || p.kind == GrantWorkDir }

// inPath reports whether path is top or below it; both are clean and absolute.
func inPath(path, top string) bool {
	return path == top || strings.HasPrefix(path, strings.TrimSuffix(top, "/")+"/")
}

func includedIn(q power, have []power) bool {
	return slices.ContainsFunc(have, func(p power) bool { return p.includes(q) })
}

// sortPowers sorts ps, and drops those that others include.
func sortPowers(ps []power) []power {
	slices.SortFunc(ps, func(a, b power) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.subject, b.subject), -cmp.Compare(a.level, b.level))
	})
	var kept []power
	for i, p := range ps {
		others := slices.Concat(ps[:i], ps[i+1:])
		if slices.ContainsFunc(others, func(o power) bool { return o.includes(p) && !p.includes(o) }) ||
			slices.ContainsFunc(ps[:i], func(o power) bool { return o.includes(p) }) {
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// absolutePowers are those of c that are more than every agent has, whatever it
// had before. own are the folders that are made for it alone.
func (c *ContainerSpec) absolutePowers(own []string) []power {
	ps := c.pathPowers(own)
	for _, p := range c.Ports {
		if !isLoopback(p.HostIP) {
			pw := p.power()
			pw.path = fmt.Sprintf("ports.%s", portKey(p))
			ps = append(ps, pw)
		}
	}
	for _, name := range c.CapAdd {
		if !byDefault(name) {
			ps = append(ps, capabilityPower(name))
		}
	}
	for _, e := range c.Env {
		if e.Secret != "" {
			p := secretPower(e.Secret)
			p.path = "env." + e.Name
			ps = append(ps, p)
		}
	}
	for _, ref := range c.EnvFrom {
		p := secretPower(ref)
		p.path = "envFrom." + ref
		ps = append(ps, p)
	}
	for _, f := range c.SecretFiles {
		p := secretPower(f.Ref)
		p.path = "secretFiles." + f.Target
		ps = append(ps, p)
	}
	if registry := registryOf(c.Image); registry != "" {
		ps = append(ps, power{kind: GrantRegistry, subject: registry, text: "runs an image from " + registry, path: "image"})
	}
	if isRoot(c.User) {
		ps = append(ps, power{kind: GrantUser, subject: "root", text: "runs as root"})
	}
	return ps
}

// pathPowers are the host's folders that c can reach.
func (c *ContainerSpec) pathPowers(own []string) []power {
	var ps []power
	work := ""
	for _, m := range c.Mounts {
		if m.Target == workTarget {
			work = m.Source
		}
	}
	for _, m := range c.Mounts {
		if m.Type != MountDir || slices.ContainsFunc(own, func(o string) bool { return inPath(m.Source, o) }) {
			continue
		}
		p := power{
			kind: GrantHostPath, subject: m.Source, level: levelWrite, path: "mounts." + m.Target,
			text: "reads and writes " + m.Source + " on the host",
		}
		switch {
		case m.ReadOnly:
			p.level, p.text = levelRead, "reads "+m.Source+" on the host"
		case m.Source == work:
			p.kind, p.text = GrantWorkDir, "works in "+m.Source+", which is no folder of its own"
		}
		ps = append(ps, p)
	}
	return ps
}

// workTarget is where a container finds its work directory, and nothing else.
const workTarget = "/workspace"

func (p Port) power() power {
	ip, host := cmp.Or(p.HostIP, "0.0.0.0"), "*"
	if p.HostPort != 0 {
		host = strconv.Itoa(int(p.HostPort))
	}
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	at := ip + ":" + host
	text := fmt.Sprintf("answers at %s/%s, beyond this host, with its port %d", at, p.Protocol, p.Container)
	if p.HostPort == 0 {
		text = fmt.Sprintf("answers at a free port of %s/%s, beyond this host, with its port %d", ip, p.Protocol, p.Container)
	}
	return power{kind: GrantPort, subject: fmt.Sprintf("%s:%d/%s", at, p.Container, p.Protocol), text: text}
}

// The references to one key of a secret and to all of them, without its name.
const (
	oneKey   = "key:"
	everyKey = "keys:"
)

func secretPower(ref string) power {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		return power{kind: GrantSecret, subject: ref, text: "gets " + name + " of the operator's environment"}
	}
	if name, ok := strings.CutPrefix(ref, everyKey); ok {
		return power{kind: GrantSecret, subject: ref, text: "gets every key of the secret " + name}
	}
	if _, name, ok := strings.Cut(ref, ":"); ok && !strings.HasPrefix(ref, "secret:") {
		return power{kind: GrantSecret, subject: ref, text: "gets the secret " + name}
	}
	name := secretName(Input{Name: ref})
	return power{kind: GrantSecret, subject: name, text: "gets the secret " + name}
}

// relativePowers are those of c that every container has in some measure, so
// that they count only beside what it had before.
func (c *ContainerSpec) relativePowers() []power {
	limit := func(subject, path string, n int64, text, none string) power {
		if n <= 0 {
			return power{kind: GrantLimit, subject: subject, level: levelUnlimited, text: none, path: path}
		}
		return power{kind: GrantLimit, subject: subject, level: n, text: text, path: path}
	}
	ps := []power{
		limit("memory", "memory", c.Memory, "may use "+bytesText(c.Memory)+" of memory", "may use as much memory as there is"),
		limit("cpu", "nanoCPUs", c.NanoCPUs, "may use "+cpuText(c.NanoCPUs), "may use every CPU"),
		limit("pids", "pidsLimit", c.PidsLimit, fmt.Sprintf("may have %d processes", c.PidsLimit), "may have as many processes as the runtime lets it"),
	}
	if c.Network != "" {
		ps = append(ps, power{kind: GrantNetwork, subject: c.Network, text: "is on the network " + c.Network})
	}
	privilege := func(has bool, subject, text string) {
		if has {
			ps = append(ps, power{kind: GrantPrivilege, subject: subject, text: text})
		}
	}
	for _, name := range c.CapAdd {
		if byDefault(name) {
			ps = append(ps, capabilityPower(name))
		}
	}
	privilege(!c.drops("ALL"), defaultCapabilities, "has the capabilities that containers have by default")
	privilege(!c.NoNewPrivileges, "new-privileges", "may gain privileges through setuid programs")
	privilege(!c.ReadOnlyRoot, "writable-root", "may write to its root file system")
	if c.User == "" || isRoot(c.User) {
		ps = append(ps, power{kind: GrantUser, subject: "image", text: "runs as the user of its image, who may be root"})
	}
	return ps
}

// dropsMore reports whether c drops a capability that other keeps.
func (c *ContainerSpec) dropsMore(other *ContainerSpec) bool {
	return slices.ContainsFunc(c.CapDrop, func(name string) bool { return !other.drops(name) })
}

// defaultCapabilities is the subject of the capabilities that a runtime gives to
// every container that does not drop them.
const defaultCapabilities = "default-capabilities"

func (c *ContainerSpec) drops(name string) bool {
	return slices.ContainsFunc(c.CapDrop, func(d string) bool {
		return capability(d) == capability(name) || capability(d) == "ALL"
	})
}

func capabilityPower(name string) power {
	name = capability(name)
	if name == "ALL" {
		return power{kind: GrantCapability, subject: name, text: "has every capability"}
	}
	return power{kind: GrantCapability, subject: name, text: "has the capability " + name}
}

// byDefault reports whether containers have a capability that nobody asks for.
func byDefault(name string) bool {
	switch capability(name) {
	case "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT":
		return true
	}
	return false
}

func capability(name string) string { return strings.TrimPrefix(strings.ToUpper(name), "CAP_") }

// isLoopback reports whether only this host can reach an address; what is no
// address counts as one that everybody can.
func isLoopback(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && a.Unmap().IsLoopback()
}

func isRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	return name == "root" || name != "" && strings.Trim(name, "0") == ""
}

// registryOf is where an image comes from; "" = from nowhere but this host.
func registryOf(image string) string {
	registry, _, ok := strings.Cut(image, "/")
	if !ok || registry == "localhost" {
		return ""
	}
	return registry
}

// bytesText is a number of bytes for people, exact.
func bytesText(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
