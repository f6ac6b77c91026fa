// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"slices"
	"strings"

	"reconcile/schema"
)

// rules is what host and workspace allow together.
type rules struct {
	mounts          string // none, workspace or any
	denyPlaintext   bool   // of Secret documents
	hostHooks       string // deny, locked or allow
	fileURLs        bool
	fileURLsAsked   bool // allowed, and not only by nobody's saying no
	relabel         bool
	requireApproval bool // of what changes let agents do
	registries      []registryRule
	mountsFromHost  bool // the host narrows what the workspace asks for

	// Where these are said; the zero place = nowhere.
	mountsAt, plaintextAt, hostHooksAt, fileURLsAt schema.Pos
}

// registryRule is a list of which an image must match one entry.
type registryRule struct {
	allowed []schema.Str
	pos     schema.Pos
}

// The values of hostHooks, the strictest first.
const (
	hooksDeny   = "deny"
	hooksLocked = "locked"
	hooksAllow  = "allow"
)

func hooksRank(s string) int { return slices.Index([]string{hooksDeny, hooksLocked, hooksAllow}, s) }

func mountRank(s string) int { return slices.Index([]string{"none", "workspace", "any"}, s) }

// strictest combines the host's policy with the workspace's: the stricter of
// both holds. A host without a word on mounts allows those in the workspace; a
// file:// repository is allowed unless one of them says no. Flag is the host's
// word on hooks beside its policy; the workspace alone cannot allow them.
func strictest(host *schema.Policy, ws schema.Policy, flag schema.Str) rules {
	if host == nil {
		host = &schema.Policy{}
	}
	r := rules{mounts: "workspace", fileURLs: true}
	if host.Mounts.IsSet() {
		r.mounts, r.mountsAt = host.Mounts.V, host.Mounts.Pos
	}
	if ws.Mounts.IsSet() {
		r.mountsFromHost = mountRank(ws.Mounts.V) > mountRank(r.mounts)
		if mountRank(ws.Mounts.V) < mountRank(r.mounts) || !host.Mounts.IsSet() && !r.mountsFromHost {
			r.mounts, r.mountsAt = ws.Mounts.V, ws.Mounts.Pos
		}
	}
	deny := func(denied *bool, at *schema.Pos, says bool, pos schema.Pos) {
		if says && !*denied {
			*denied, *at = true, pos
		}
	}
	noFileURLs := false
	for _, p := range []schema.Policy{*host, ws} {
		deny(&r.denyPlaintext, &r.plaintextAt, p.PlaintextSecrets.V == "deny", p.PlaintextSecrets.Pos)
		deny(&noFileURLs, &r.fileURLsAt, p.FileURLs.IsSet() && !p.FileURLs.V, p.FileURLs.Pos)
		r.requireApproval = r.requireApproval || p.RequireApproval.V == "authority"
		if p.Registries != nil {
			r.registries = append(r.registries, newRegistryRule(p))
		}
	}
	r.settleHooks(host.HostHooks, flag, ws.HostHooks)
	r.fileURLs = !noFileURLs
	r.fileURLsAsked = r.fileURLs && (host.FileURLs.V || ws.FileURLs.V)
	r.relabel = ws.Relabel.V && (!host.Relabel.IsSet() || host.Relabel.V) || host.Relabel.V && !ws.Relabel.IsSet()
	return r
}

// settleHooks takes the strictest word on hooks of the host; without one of the
// host itself they are locked.
func (r *rules) settleHooks(host, flag, ws schema.Str) {
	r.hostHooks = hooksAllow
	if !host.IsSet() && !flag.IsSet() {
		r.hostHooks = hooksLocked
	}
	for _, says := range []schema.Str{host, flag, ws} {
		if says.IsSet() && hooksRank(says.V) < hooksRank(r.hostHooks) {
			r.hostHooks, r.hostHooksAt = says.V, says.Pos
		}
	}
}

func newRegistryRule(p schema.Policy) registryRule {
	if len(p.Registries) > 0 {
		return registryRule{p.Registries, p.Registries[0].Pos}
	}
	return registryRule{p.Registries, p.Pos}
}

// forbids names the place that does, at the end of a sentence; "" where it is
// only that nobody allows it.
func forbids(by schema.Pos) string {
	switch {
	case by.File == "":
		return ""
	case strings.HasPrefix(by.File, "--"): // a flag
		return fmt.Sprintf(", which %s forbids", by.File)
	}
	return fmt.Sprintf(", which %s forbids", by)
}

// allows reports whether a normalised image reference is of an allowed
// registry, or of a path within one.
func (r registryRule) allows(image string) bool {
	return slices.ContainsFunc(r.allowed, func(s schema.Str) bool {
		prefix := strings.TrimSuffix(s.V, "/")
		rest, ok := strings.CutPrefix(image, prefix)
		return ok && rest != "" && strings.ContainsRune("/:@", rune(rest[0]))
	})
}

func (r registryRule) String() string {
	names := make([]string, len(r.allowed))
	for i, s := range r.allowed {
		names[i] = s.V
	}
	return strings.Join(names, ", ")
}
