// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// ExitStale: what a saved plan was made from has moved; nothing was done.
const ExitStale = 4

// SavedKind is what a saved plan says that it is.
const SavedKind = "saved-plan"

// Saved is a plan that is kept to be carried out later, exactly, and what it
// was made from. See [Save] and [Saved.Narrow].
type Saved struct {
	Workspace string       `json:"workspace"`
	Root      string       `json:"root"`
	Revision  string       `json:"revision"`
	Lock      string       `json:"lock"` // digest of workspace.lock; "" = there was none
	Options   SavedOptions `json:"options"`
	// Desired are digests of everything desired, by ID, and under "" of what is
	// said of the whole.
	Desired map[string]string `json:"desired"`
	// Specs are those of the resources that the plan touches, Objects and Facts
	// what was known of them.
	Specs   map[ID]json.RawMessage `json:"specs"`
	Objects []objectJSON           `json:"objects"`
	Facts   map[Input]factJSON     `json:"facts"`
	// HostHooks are those of the resources that the plan touches.
	HostHooks map[ID]HostHook `json:"host_hooks,omitempty"`
	Steps     []savedStep     `json:"steps"`
}

// SavedOptions are the options of [New], but for the time.
type SavedOptions struct {
	AllowMassDelete   bool `json:"allow_mass_delete"`
	AcceptLostRecords bool `json:"accept_lost_records"`
	Adopt             bool `json:"adopt"`
	RequireApproval   bool `json:"require_approval"`
	Supervise         bool `json:"supervise"`
}

// At returns the options for a plan that is made at a time.
func (o SavedOptions) At(now time.Time) Options {
	return Options{
		Now: now, AllowMassDelete: o.AllowMassDelete, AcceptLostRecords: o.AcceptLostRecords,
		Adopt: o.Adopt, RequireApproval: o.RequireApproval, Supervise: o.Supervise,
	}
}

// savedStep is a Step, without its ID of the form that [stepID] gives it.
type savedStep struct {
	ID      string            `json:"id"`
	Op      Op                `json:"op"`
	Target  ID                `json:"target"`
	Object  string            `json:"object,omitempty"`
	Until   Until             `json:"until,omitempty"`
	Name    string            `json:"name,omitempty"`
	Digest  string            `json:"digest,omitempty"`
	Bound   map[string]string `json:"bound,omitempty"`
	Ports   []Port            `json:"ports,omitempty"`
	Record  *Record           `json:"record,omitempty"`
	Run     string            `json:"run,omitempty"`
	RunName string            `json:"run_name,omitempty"`
	Hook    *Hook             `json:"hook,omitempty"`
	After   []string          `json:"after,omitempty"`
	Reason  Reason            `json:"reason"`
}

// Save returns p, which [New] made of d, o and opts, to be kept. lock is the
// digest of the lock file.
func Save(d Desired, o Observed, opts Options, p Plan, lock string) Saved {
	s := Saved{
		Workspace: d.Workspace, Root: d.Root, Revision: d.Revision, Lock: lock,
		Options: SavedOptions{opts.AllowMassDelete, opts.AcceptLostRecords, opts.Adopt, opts.RequireApproval, opts.Supervise},
		Desired: desiredDigests(d), Specs: map[ID]json.RawMessage{}, Facts: map[Input]factJSON{},
		Objects: []objectJSON{}, Steps: []savedStep{}, HostHooks: map[ID]HostHook{},
	}
	touched := map[ID]bool{}
	for _, st := range p.Steps {
		touched[st.Target.Canonical()] = true
		s.Steps = append(s.Steps, savedStep(st))
	}
	for _, r := range d.Resources {
		id := r.ID.Canonical()
		if !touched[id] {
			continue
		}
		s.Specs[id] = r.Spec.canonicalJSON()
		for _, in := range r.Spec.Inputs() {
			s.Facts[in] = factJSON(o.Inputs[in])
		}
	}
	for id, h := range hostHookForms(o.HostHooks) {
		if touched[id] {
			s.HostHooks[id] = h
		}
	}
	for _, obj := range o.Objects {
		if touched[obj.ID.Canonical()] {
			s.Objects = append(s.Objects, objectForm(obj))
		}
	}
	return s
}

// JSON returns s as one line of JSON.
func (s Saved) JSON() ([]byte, error) { return canonicalJSON(s) }

// ParseSaved is the inverse of [Saved.JSON].
func ParseSaved(b []byte) (Saved, error) {
	var s Saved
	if err := decodeStrictly(b, &s); err != nil {
		return Saved{}, fmt.Errorf("read saved plan: %w", err)
	}
	if s.Workspace == "" || s.Root == "" {
		return Saved{}, fmt.Errorf("read saved plan: it does not say of which workspace it is")
	}
	return s, nil
}

// touches are the IDs that the plan has a step for.
func (s Saved) touches() map[ID]bool {
	ids := map[ID]bool{}
	for _, st := range s.Steps {
		ids[st.Target.Canonical()] = true
	}
	return ids
}

// Narrow returns the part of p that s is, p being made of d and o with the same
// options. Where anything has moved that s was made from it returns what, and no
// plan: the revision, the lock file, anything desired, or what was known of the
// objects that s touches. Whatever else p would do is left for another time.
func (s Saved) Narrow(d Desired, o Observed, p Plan, lock string) (Plan, []Moved) {
	m := mover{saved: s, d: d, o: o, p: p, touched: s.touches()}
	m.compare("revision", s.Revision, d.Revision, "")
	m.compare("workspace.lock", shortSum(s.Lock), shortSum(lock), "workspace.lock:1:1")
	m.compareDesired()
	m.compareObjects()
	m.compareHostHooks()
	m.compareFacts()
	m.compareSteps()
	if len(m.moved) > 0 {
		return Plan{}, m.moved
	}
	other := func(id ID) bool { return !m.touched[id.Canonical()] }
	others := func(c Change) bool { return other(c.ID) }
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(st Step) bool { return other(st.Target) })
	p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), others)
	p.Drift = slices.DeleteFunc(slices.Clone(p.Drift), others)
	p.Authority = slices.DeleteFunc(slices.Clone(p.Authority), func(g Grant) bool { return other(g.ID) })
	return p, nil
}

// desiredDigests says all of d that a plan depends on, in digests.
func desiredDigests(d Desired) map[string]string {
	type need struct {
		On    string
		Until Until
		Bound bool
	}
	out := map[string]string{"": sum(map[string]any{
		"partial": d.Partial, "empty": d.Empty, "noFile": d.NoFile, "destroy": d.Destroy, "volumes": d.Volumes,
	})}
	for _, r := range d.Resources {
		needs := []need{}
		for _, n := range canonicalNeeds(r.Needs, "") {
			needs = append(needs, need{n.On.String(), n.Until, n.Bound})
		}
		all := map[string]any{
			"name": r.Name, "spec": r.Spec.Digest(), "needs": needs, "want": r.Want, "replace": r.Replace,
			"restart": r.Restart, "timeout": r.StartTimeout, "keep": r.Keep, "blocked": r.Blocked,
		}
		if len(r.Hooks) > 0 {
			all["hooks"] = r.Hooks
		}
		if r.Run != nil {
			all["run"] = r.Run
		}
		if r.Dispatch != nil {
			all["dispatch"] = r.Dispatch.Data()
		}
		out[r.ID.Canonical().String()] = sum(all)
	}
	return out
}

// sum is the SHA-256 of v as JSON.
func sum(v any) string {
	b, err := canonicalJSON(v)
	if err != nil {
		panic(fmt.Sprintf("what is desired has no JSON form: %v", err)) // its types all have one
	}
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

func shortSum(digest string) string {
	if digest == "" {
		return "none"
	}
	return short(digest)
}
