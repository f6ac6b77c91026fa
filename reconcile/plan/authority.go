// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
)

// GrantKind says what sort of power a grant is. The list is closed:
// `reconcile schema plan` publishes it, and a new kind is an addition to the
// format.
type GrantKind string

// The kinds of grants.
const (
	GrantHostPath   GrantKind = "host-path"  // a folder or file of the host
	GrantWorkDir    GrantKind = "work-dir"   // works where others do: global or devel
	GrantPort       GrantKind = "port"       // answers beyond this host
	GrantCapability GrantKind = "capability" // a Linux capability
	GrantPrivilege  GrantKind = "privilege"  // lacks a protection
	GrantSecret     GrantKind = "secret"
	GrantNetwork    GrantKind = "network"
	GrantRegistry   GrantKind = "registry"  // images from where none came from
	GrantLimit      GrantKind = "limit"     // a limit that is higher, or gone
	GrantUser       GrantKind = "user"      // may be root
	GrantHostHook   GrantKind = "host-hook" // a hook of it runs on the host, outside any container
)

// GrantKinds returns every kind, sorted.
func GrantKinds() []GrantKind {
	return []GrantKind{
		GrantCapability, GrantHostHook, GrantHostPath, GrantLimit, GrantNetwork, GrantPort,
		GrantPrivilege, GrantRegistry, GrantSecret, GrantUser, GrantWorkDir,
	}
}

// Grant is something that an agent can do.
type Grant struct {
	ID   ID
	Kind GrantKind
	// Text says it to a person, as the end of "it …"; secrets are in it by name.
	Text   string
	Origin string // file:line:col that asks for it
	// Key is the line of the lock file that approves it: the kind, then what it
	// is about.
	Key string
	// Approved: somebody has approved it, or something that includes it.
	Approved bool
}

// Approvals are what somebody has approved of what agents can do.
type Approvals struct {
	// Required: a change that grants what is not approved is held.
	Required bool
	// Keys are those of the lock file, by ID.
	Keys map[ID][]string
	// Hooks are the digests of the hooks on the host that may run, by ID; Texts what
	// was approved, as in [HookText], as far as the lock file has it.
	Hooks map[ID]string
	Texts map[ID][]string
	// Folder is the workspace's on this host; "" = it has none. Keys name paths in
	// it from there.
	Folder string
	// Files are the absolute paths that the lock file is read by; none when it
	// is part of a commit. Whoever can write one of them could approve.
	Files []string
}

// Authority returns what the changes of p let agents do that they could not
// before, also the changes that are held for want of approval; sorted by ID,
// kind and key. Everything that a new agent can do is new. To be able to do
// less is no grant, and neither is an image from where a container that is there
// already came from.
func Authority(p Plan) []Grant { return p.Authority }

// Standing returns everything that the resources of d can do, whatever they
// could before, in the order of [Authority]: what there is to approve. It
// includes what is a grant only by comparison, such as a limit.
func Standing(d Desired, r Records) []Grant {
	v := newView(d, Observed{Records: r}, Options{})
	var all []Grant
	for _, id := range v.ids {
		if res := v.desired[id]; res != nil {
			all = append(all, sortGrants(slices.Concat(v.hostHookGrants(res), v.grants(res, v.powers(res, everyPower))))...)
		}
	}
	return all
}

// sortGrants sorts the grants of one ID by kind and key.
func sortGrants(gs []Grant) []Grant {
	slices.SortStableFunc(gs, func(a, b Grant) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key)) })
	return gs
}

// Approvers returns the resources of d that can write one of the files that
// approve, sorted.
func Approvers(d Desired) []ID {
	v := newView(d, Observed{}, Options{})
	var ids []ID
	for _, id := range v.ids {
		if res := v.desired[id]; res != nil && v.approver(res) {
			ids = append(ids, id)
		}
	}
	return ids
}
