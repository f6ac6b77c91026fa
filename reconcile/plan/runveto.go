// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
)

// vetoRun returns why a run that is due cannot be started now, or nil. While
// objects show that records were lost no run is started: it may have been before.
func (v *view) vetoRun(d *decision, l *launch, all decisions) *hold {
	fault := func(code Code, text string) *hold {
		return &hold{reasons: []Reason{{code, text, d.origin}}}
	}
	if v.anyLost {
		h := fault(CodeRecordsLost, "it may have run already: records were lost")
		h.policy = true
		return h
	}
	if len(v.unseen) > 0 {
		return fault(CodeUnknown, "it may exist already: "+v.unseen[0].Text)
	}
	if v.lacksFolders(&decision{res: d.res, start: true}) {
		return fault(CodeUnsupported, noFoldersText)
	}
	if h := v.missingInputs(d); h != nil {
		h.reasons = slices.DeleteFunc(h.reasons, func(r Reason) bool { return r.Code == CodeImageMissing })
		if len(h.reasons) > 0 {
			return h
		}
	}
	if _, taken := v.foreign[bearingOf(d.id, d.create)]; taken && d.create != "" {
		return fault(CodeForeign, fmt.Sprintf("the name %s belongs to an object that is not ours", d.create))
	}
	return v.needsHeld(d, all)
}

// imageText says why no image can be had for a run, in which case it has failed.
func (v *view) imageText(d *decision, l *launch) (string, bool) {
	if d.create == "" {
		return "", false
	}
	for _, in := range d.res.Spec.Inputs() {
		if f := v.observed.Inputs[in]; in.Kind == InputImage && f.State == FactMissing {
			if f.Detail == "" {
				return "image " + in.Name + " does not exist", true
			}
			return "image " + in.Name + ": " + f.Detail, true
		}
	}
	if v.imageFailed(d) && !v.rerunSince(d) {
		return v.backoff[d.id].Detail, true
	}
	return "", false
}

// imageFailed reports whether the last try of what is asked for now has shown that
// there is no image for it, which is for no other try to change.
func (v *view) imageFailed(d *decision) bool {
	b, ok := v.backoff[d.id]
	return ok && b.Image && b.Digest == d.digest
}

// rerunSince reports whether a run has been recorded as failed for what is known
// of its image: the one that is due is another try.
func (v *view) rerunSince(d *decision) bool {
	b := v.backoff[d.id]
	if wish, asked := v.wished(d.id, WishRerun); asked && wish.At.After(b.At) && !b.At.IsZero() {
		return true
	}
	return slices.ContainsFunc(v.runs[d.id], func(r run) bool {
		return r.record != nil && r.state.Reason == FailedImage && !r.record.At.Before(b.At)
	})
}

// outcome says how a run ended, as the end of "it …".
func (s RunState) outcome() string {
	switch {
	case s.Phase == RunCompleted:
		return "completed"
	case s.Reason == FailedExit:
		return fmt.Sprintf("failed: exit %d", s.Code)
	}
	return "failed: " + s.Reason
}
