// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"slices"
	"strings"

	"reconcile/schema"
)

// rules is what host and workspace allow together.
type rules struct {
	mounts         string // none, workspace or any
	denyPlaintext  bool   // of Secret documents
	fileURLs       bool
	fileURLsAsked  bool // allowed, and not only by nobody's saying no
	relabel        bool
	registries     []registryRule
	mountsFromHost bool // the host narrows what the workspace asks for
}

// registryRule is a list of which an image must match one entry.
type registryRule struct {
	allowed []schema.Str
	pos     schema.Pos
}

func mountRank(s string) int { return slices.Index([]string{"none", "workspace", "any"}, s) }

// strictest combines the host's policy with the workspace's: the stricter of
// both holds. A host without a word on mounts allows those in the workspace; a
// file:// repository is allowed unless one of them says no.
func strictest(host *schema.Policy, ws schema.Policy) rules {
	if host == nil {
		host = &schema.Policy{}
	}
	r := rules{mounts: "workspace", fileURLs: true}
	if host.Mounts.IsSet() {
		r.mounts = host.Mounts.V
	}
	if ws.Mounts.IsSet() {
		r.mountsFromHost = mountRank(ws.Mounts.V) > mountRank(r.mounts)
		if !r.mountsFromHost {
			r.mounts = ws.Mounts.V
		}
	}
	for _, p := range []schema.Policy{*host, ws} {
		r.denyPlaintext = r.denyPlaintext || p.PlaintextSecrets.V == "deny"
		r.fileURLs = r.fileURLs && (!p.FileURLs.IsSet() || p.FileURLs.V)
		if p.Registries != nil {
			r.registries = append(r.registries, registryRule{p.Registries, p.Pos})
		}
	}
	r.fileURLsAsked = r.fileURLs && (host.FileURLs.V || ws.FileURLs.V)
	r.relabel = ws.Relabel.V && (!host.Relabel.IsSet() || host.Relabel.V) || host.Relabel.V && !ws.Relabel.IsSet()
	return r
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
