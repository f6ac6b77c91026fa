// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The keys of the Data of a [RecordHook].
const (
	hookContainer = "container"
	hookDigest    = "digest"
	hookRevision  = "revision"
)

// hookPoll is how soon somebody looks again at a hook that runs on the host.
const hookPoll = 2 * time.Second

// exec is a run of a hook in a container.
type exec struct {
	hook   Hook
	reason Reason
}

// hostRun is a run of a hook on the host.
type hostRun struct {
	hook     Hook
	reason   Reason
	approved bool
}

// busyHold returns the hold on what a step or a hook is under way for, or nil.
func (v *view) busyHold(id ID, origin string) *hold {
	if v.busy[id] {
		return &hold{reasons: []Reason{{CodeBusy, busyText, origin}}}
	}
	if v.hostHooks[id].State == HookRunning {
		r := Reason{CodeBusy, "its hook runs on this host", origin}
		return &hold{reasons: []Reason{r}, until: v.opts.Now.Add(hookPoll)}
	}
	return nil
}

// wishHooks decides which hooks are run.
func (v *view) wishHooks(d *decision) {
	alive := !d.stops() && d.current != nil && (d.start || d.restart || d.current.State == StateRunning && len(d.halted) == 0)
	for _, h := range d.res.Hooks {
		switch {
		case h.Host():
			if d.create != "" || d.start || alive {
				v.wishHost(d, h)
			}
		case d.res.Want != WantRunning || !(alive || d.create != "" && d.start):
		case d.create == "" && !d.restart && v.unhealthy(d): // nothing can be run in it
		case d.create == "" && d.current.Keep: // the restart after it must not be
		case h.Name == HookPostinstall, h.Name == HookUpdate:
			v.wishExec(d, h)
		}
	}
}

// wishHost has a hook run on the host, unless that has been done.
func (v *view) wishHost(d *decision, h Hook) {
	fact, ran := v.hostHooks[d.id]
	same := d.res.sameRun(h, fact)
	text := fmt.Sprintf("its %s hook has not run yet", h.Name)
	switch {
	case ran && !same && strings.HasPrefix(fact.Digest, h.Digest):
		text = fmt.Sprintf("its %s hook has not run in these files", h.Name)
	case ran && !same:
		text = fmt.Sprintf("its %s hook changed", h.Name)
	case ran && fact.State == HookDone:
		return
	case ran && fact.State == HookFailed:
		text = fmt.Sprintf("its %s hook failed before", h.Name)
	}
	d.host = &hostRun{hook: h, reason: Reason{CodeHook, text, h.origin(d)}, approved: v.hookApproved(d.id, h)}
	if d.create == "" {
		d.reasons = append(d.reasons, d.host.reason)
	}
	if len(d.actions) == 0 {
		d.action(ActionUpdate)
	}
}

// runDigest is what a run of h, a hook on the host, is known by. In a copy of the
// agent's folder it is another run for other files: what it left is in the copy.
func (r *Resource) runDigest(h Hook) string {
	for _, m := range r.Spec.mounts() {
		if h.InCopy && m.Type == MountCopy {
			return h.Digest + "+" + m.TreeHash
		}
	}
	return h.Digest
}

// sameRun reports whether fact is of a run such as one of h would be. A run that is
// assumed has no time: where one of the two is in a copy of a commit and the other
// in the folder itself, their files say nothing about the hook.
func (r *Resource) sameRun(h Hook, fact HostHook) bool {
	digest := r.runDigest(h)
	ran, _, inCopy := strings.Cut(fact.Digest, "+")
	if fact.At.IsZero() && inCopy != (digest != h.Digest) {
		return ran == h.Digest
	}
	return fact.Digest == digest
}

func (h Hook) origin(d *decision) string {
	if h.Origin == "" {
		return d.origin
	}
	return h.Origin
}

// wishExec has a hook run in the container when that is due.
func (v *view) wishExec(d *decision, h Hook) {
	rec, has := v.keyed[keyedRecord{recordKey{d.id, RecordHook}, string(h.Name)}]
	var reason Reason
	if h.Name == HookPostinstall {
		reason = d.postinstallDue(h, rec, has)
	} else {
		reason = v.updateDue(d, h, rec, has)
	}
	if reason.Code == "" {
		if h.Name == HookUpdate {
			d.compareLater(h, rec, has)
		}
		return
	}
	d.execs = append(d.execs, exec{h, reason})
	if d.create == "" {
		d.reasons = append(d.reasons, reason)
	}
	if len(d.actions) == 0 {
		d.action(ActionUpdate)
	}
}

func (d *decision) postinstallDue(h Hook, rec Record, has bool) Reason {
	switch {
	case d.create != "" || !has || rec.Data[hookContainer] != d.current.Handle:
		return Reason{CodeHook, fmt.Sprintf("its %s hook has not run in this container", h.Name), h.origin(d)}
	case rec.Data[hookDigest] != h.Digest:
		return Reason{CodeHook, fmt.Sprintf("its %s hook changed since it ran", h.Name), h.origin(d)}
	}
	return Reason{}
}

// updateDue: what is made for the first time is up to date.
func (v *view) updateDue(d *decision, h Hook, rec Record, has bool) Reason {
	if wish, asked := v.wished(d.id, WishUpdate); asked && (has || d.create == "") && wish.At.After(rec.At) {
		return Reason{CodeWish, "reconcile update asked for it", h.origin(d)}
	}
	was := rec.Data[hookRevision]
	if has && was != "" && h.Revision != "" && was != h.Revision {
		return Reason{CodeHook, fmt.Sprintf("its repo was at %s and is at %s", shortCommit(was), shortCommit(h.Revision)), h.origin(d)}
	}
	return Reason{}
}

func shortCommit(s string) string { return s[:min(12, len(s))] }

// compareLater has the commit recorded that later ones are compared with.
func (d *decision) compareLater(h Hook, rec Record, has bool) {
	if has && (rec.Data[hookRevision] != "" || h.Revision == "") {
		return
	}
	d.records = append(d.records, Record{
		ID: d.id, Kind: RecordHook, Key: string(h.Name), At: rec.At,
		Data: map[string]string{hookContainer: rec.Data[hookContainer], hookDigest: h.Digest, hookRevision: h.Revision},
	})
}

// ranRecord is the record of a run; when it was and where is known only then.
func ranRecord(id ID, h Hook) Record {
	return Record{ID: id, Kind: RecordHook, Key: string(h.Name), Data: map[string]string{hookDigest: h.Digest, hookRevision: h.Revision}}
}

// hookPower is that of a hook to run on the host.
func hookPower(h Hook) power {
	return power{
		kind: GrantHostHook, subject: h.Digest, path: "hooks." + string(h.Name),
		text: fmt.Sprintf("runs its %s hook on the host: %s", h.Name, strings.Join(h.Commands, "; ")),
	}
}

// hookApproved reports whether somebody has approved the hook: in the lock file,
// or on this host when an instance could have written that.
func (v *view) hookApproved(id ID, h Hook) bool {
	if !v.approvedHere && h.Digest != "" && v.approvals.Hooks[id] == h.Digest {
		return true
	}
	return includedIn(hookPower(h), v.approved(id))
}

// hookApprovedBefore reports whether another hook of id was approved.
func (v *view) hookApprovedBefore(id ID) bool {
	if !v.approvedHere && v.approvals.Hooks[id] != "" {
		return true
	}
	return slices.ContainsFunc(v.approved(id), func(p power) bool { return p.kind == GrantHostHook })
}

func (v *view) hostHookGrants(r *Resource) []Grant {
	var gs []Grant
	for _, h := range r.Hooks {
		if h.Host() {
			gs = append(gs, v.hookGrant(r, h))
		}
	}
	return gs
}

func (v *view) hookGrant(r *Resource, h Hook) Grant {
	p := hookPower(h)
	origin := h.Origin
	if origin == "" {
		origin = r.place(p)
	}
	return Grant{
		ID: r.ID, Kind: p.kind, Text: p.text, Key: p.key(v.approvals.Folder), Origin: origin,
		Approved: v.hookApproved(r.ID, h),
	}
}

// authorizeHost says that a hook runs on the host, and holds d back when that
// has to be approved and is not.
func (v *view) authorizeHost(d *decision) {
	if d.host == nil {
		return
	}
	h := d.host.hook
	d.grants = sortGrants(append(d.grants, v.hookGrant(d.res, h)))
	if d.host.approved || !h.Locked && !v.approvals.Required && !v.opts.RequireApproval {
		return
	}
	text := fmt.Sprintf("its %s hook is not approved", h.Name)
	if v.hookApprovedBefore(d.id) {
		text = fmt.Sprintf("its %s hook changed since it was approved", h.Name)
	}
	d.hold = &hold{policy: true, reasons: []Reason{{CodeHostHook, text + approveText(d.id), h.origin(d)}}}
}

func approveText(id ID) string { return " (reconcile approve " + id.String() + ")" }

func (v *view) hookChange(d *decision) *HookChange {
	if d.host == nil {
		return nil
	}
	return &HookChange{Hook: d.host.hook, Approved: d.host.approved, Before: v.approvals.Texts[d.id]}
}
