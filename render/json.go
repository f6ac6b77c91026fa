// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"io"
	"strings"
)

// JSON writes the report in the published form of a plan (`reconcile schema
// plan`).
func JSON(w io.Writer, r Report, _ Options) error {
	b, err := r.filledPlan().JSON(r.Mode, Diagnostics(r.Diagnostics))
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, EscapeJSON(string(b)))
	return err
}

// Line writes v as one line of JSON.
func Line(w io.Writer, v any) error {
	var doc strings.Builder
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, EscapeJSON(doc.String()))
	return err
}
