// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"reconcile/reconcile/plan"
)

// planEvent is the first line of the jsonl view.
type planEvent struct {
	Type          string `json:"type"` // plan
	FormatVersion string `json:"format_version"`
	Workspace     string `json:"workspace"`
	Revision      string `json:"revision"`
	Mode          string `json:"mode"`
	Against       string `json:"against"`
	Complete      bool   `json:"complete"`
}

// JSONLines writes the report as one event a line: what [PlanEvents] writes, and
// a summary.
func JSONLines(w io.Writer, r Report, o Options) error {
	if err := PlanEvents(w, r, o); err != nil {
		return err
	}
	return Line(w, struct {
		Type string `json:"type"`
		plan.Summary
	}{"summary", r.Plan.Summary()})
}

// PlanEvents writes what is known before anything is done: the plan, its
// diagnostics, changes, drift and what is held, an event each. Their keys are
// those of the json view beside a type.
func PlanEvents(w io.Writer, r Report, _ Options) error {
	b, err := r.filledPlan().JSON(r.Mode, Diagnostics(r.Diagnostics))
	if err != nil {
		return err
	}
	var doc struct {
		Diagnostics, Changes, Drift, Held, Authority []json.RawMessage
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return fmt.Errorf("read the plan's JSON form: %w", err)
	}
	if err := Line(w, planEvent{
		"plan", plan.FormatVersion, r.Plan.Workspace, r.Plan.Revision, r.Mode, r.Against, r.Plan.Complete,
	}); err != nil {
		return err
	}
	for _, part := range []struct {
		kind   string
		events []json.RawMessage
	}{
		{"diagnostic", doc.Diagnostics},
		{"authority", doc.Authority},
		{"change", doc.Changes},
		{"drift", doc.Drift},
		{"held", doc.Held},
	} {
		for _, e := range part.events {
			if err := typed(w, part.kind, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// typed writes an object as an event of a type.
func typed(w io.Writer, kind string, object json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, object); err != nil {
		return err
	}
	line := strings.Replace(b.String(), "{", `{"type":"`+kind+`",`, 1)
	_, err := io.WriteString(w, EscapeJSON(line)+"\n")
	return err
}
