// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// WordReady is the word of a TaskAgent that takes requests. One that is not yet, or
// not any more, has one of the words of instances.
const WordReady Word = "Ready"

// ActualReady is the Actual of a TaskAgent of which a revision is ready.
const ActualReady = "ready"

// RevisionStatus is one revision of a TaskAgent. Field names are part of the JSON
// output.
type RevisionStatus struct {
	Name   string    `json:"name"` // as in word-count-00003
	Number int       `json:"number"`
	Ready  time.Time `json:"ready"` // since when
	// Serving: executions are made from it now.
	Serving     bool   `json:"serving"`
	Digest      string `json:"digest"`                 // of the spec it was made from
	Image       string `json:"image,omitempty"`        // reference
	ImageDigest string `json:"image_digest,omitempty"` // that the reference is bound to; of a local image its ID
}

// noteAgents takes in what is recorded of TaskAgents.
func (s *summary) noteAgents(d plan.Desired, o plan.Observed) {
	s.agents, s.revisions = map[string]plan.Agent{}, map[string][]plan.Revision{}
	for _, a := range plan.Agents(d, o.Records) {
		s.agents[a.ID.String()] = a
	}
	for _, r := range o.Records.Records {
		if rev, ok := r.Revision(); ok {
			key := rev.ID.String()
			s.revisions[key] = append(s.revisions[key], rev)
		}
	}
}

// agent sums up a TaskAgent that should be.
func (s *summary) agent(st *Status, r plan.Resource, held bool) {
	key := r.ID.String()
	a := s.agents[key]
	delete(s.agents, key)
	s.served(st, a)
	if st.Actual == Absent {
		st.State = s.word(*st, held)
	}
}

// orphanAgents sums up the TaskAgents that take requests though nothing asks for
// them.
func (s *summary) orphanAgents() []Status {
	var out []Status
	for key, a := range s.agents {
		if a.Revision.Number == 0 {
			continue
		}
		st := Status{ID: a.ID, Kind: a.ID.Kind, Name: a.Name, Desired: Absent, Orphan: true, Reasons: s.reasons(key)}
		s.served(&st, a)
		held, isHeld := s.held[key]
		st.InSync = isHeld && held.Benign
		out = append(out, st)
	}
	return out
}

// served says by what a TaskAgent is served, and lists its revisions, the newest
// first.
func (s *summary) served(st *Status, a plan.Agent) {
	st.Actual = Absent
	now := a.Revision
	if now.Number > 0 {
		st.Actual, st.State, st.Serving, st.Digest = ActualReady, WordReady, now.Name(), now.Digest
		st.Image, st.ImageID = now.Image()
		st.Settings = a.Data()
		if a.Stopped {
			st.State = WordStopped
		}
	}
	for _, rev := range s.revisions[a.ID.String()] {
		ref, bound := rev.Image()
		st.Revisions = append(st.Revisions, RevisionStatus{
			Name: rev.Name(), Number: rev.Number, Ready: rev.Ready, Serving: rev.Number == now.Number,
			Digest: rev.Digest, Image: ref, ImageDigest: bound,
		})
	}
	slices.SortFunc(st.Revisions, func(a, b RevisionStatus) int { return b.Number - a.Number })
}
