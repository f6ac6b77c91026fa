// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"reconcile/reconcile/plan"
)

// failuresOf are the failures of a pass of d that ended at a time. They hold nothing
// back: only who is there for the next try waits for it.
func failuresOf(d plan.Desired, o Outcome, at time.Time) []plan.Backoff {
	var out []plan.Backoff
	for _, st := range o.Steps {
		if st.State == StepFailed {
			q := asked(st.Step.Target, d, nil)
			out = append(out, plan.Backoff{ID: st.Step.Target, Digest: q.digest, At: at, Detail: oneLine(st.Err.Error())})
		}
	}
	return out
}

// KeepFailures remembers what failed in a pass of d that ended now, for
// [Archive.Failures]. What was not touched in it failed before, if it did.
func (s *Store) KeepFailures(d plan.Desired, o Outcome) error {
	touched := map[string]bool{}
	for _, st := range o.Steps {
		touched[st.Step.Target.String()] = true
	}
	known := map[string]bool{}
	for _, r := range d.Resources {
		known[r.ID.String()] = true
	}
	before := s.failures()
	kept := slices.DeleteFunc(slices.Clone(before), func(b plan.Backoff) bool { return touched[b.ID.String()] || !known[b.ID.String()] })
	now := append(kept, failuresOf(d, o, time.Now())...)
	switch {
	case len(now) == 0 && len(before) == 0:
		return nil
	case len(now) == 0:
		if err := os.Remove(s.failuresFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget failures: %w", err)
		}
		return nil
	}
	b, err := json.Marshal(now)
	if err == nil {
		err = s.putCache(s.failuresFile(), b)
	}
	if err != nil {
		return fmt.Errorf("keep failures: %w", err)
	}
	return nil
}

// Failures are what failed in the last passes, as far as that is still known, for
// [WithFacts]. It was of what was asked for then.
func (a *Archive) Failures() []plan.Backoff { return a.store.failures() }

func (s *Store) failures() []plan.Backoff {
	b, err := os.ReadFile(s.failuresFile())
	if err != nil {
		return nil
	}
	var out []plan.Backoff
	if json.Unmarshal(b, &out) != nil {
		return nil
	}
	return slices.DeleteFunc(out, func(b plan.Backoff) bool { return b.ID.Name == "" || !b.Until.IsZero() })
}

func (s *Store) failuresFile() string { return filepath.Join(s.cacheDir(), "failures.json") }

// WithLastTries returns p with the failures, of [Archive.Failures], of what it would
// try again among the reasons of its changes. What it does stays the same.
func WithLastTries(p plan.Plan, d plan.Desired, failures []plan.Backoff) plan.Plan {
	p.Changes = slices.Clone(p.Changes)
	for i, c := range p.Changes {
		for _, b := range failures {
			if b.Digest != "" && b.ID.Compare(c.ID) == 0 && b.Digest == asked(c.ID, d, nil).digest {
				why := plan.Reason{Code: plan.CodeBackoff, Text: "it is tried again; the last try failed: " + b.Detail, Origin: c.Reasons[0].Origin}
				p.Changes[i].Reasons = append(slices.Clip(c.Reasons), why)
			}
		}
	}
	return p
}

// lastTry says how the last step of a resource that is not as it should be failed,
// when nothing is held back for it.
func (s *summary) lastTry(r plan.Resource) []plan.Reason {
	digest := r.Spec.Digest()
	for _, b := range slices.Backward(s.backoff[r.ID.String()]) {
		if b.Digest == digest && !s.heldFor(r.ID.String(), plan.CodeBackoff) {
			return []plan.Reason{{Code: plan.CodeBackoff, Text: "the last try failed: " + b.Detail, Origin: r.Origin}}
		}
	}
	return nil
}
