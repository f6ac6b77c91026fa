// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"slices"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// report collects problems. Errors are fatal, that is they stop the whole pass,
// unless they block one object.
type report struct {
	problems []problem
}

type problem struct {
	schema.Diagnostic
	fatal bool
}

func (r *report) add(ds ...schema.Diagnostic) {
	for _, d := range ds {
		r.problems = append(r.problems, problem{d, d.Severity == schema.Error})
	}
}

func (r *report) diagnostics() schema.Diagnostics {
	ds := make(schema.Diagnostics, len(r.problems))
	for i, p := range r.problems {
		ds[i] = p.Diagnostic
	}
	return ds.Sort()
}

func (r *report) fatal() bool {
	return slices.ContainsFunc(r.problems, func(p problem) bool { return p.fatal })
}

func (r *report) fail(pos schema.Pos, summary, hint, format string, args ...any) {
	r.add(schema.Diagnostic{Severity: schema.Error, Summary: summary, Pos: pos, Detail: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *report) warn(pos schema.Pos, summary, hint, format string, args ...any) {
	r.add(schema.Diagnostic{Severity: schema.Warning, Summary: summary, Pos: pos, Detail: fmt.Sprintf(format, args...), Hint: hint})
}

// block reports an error that concerns one object only and returns the reason
// to block it with.
func (r *report) block(pos schema.Pos, code plan.Code, summary, hint, format string, args ...any) plan.Reason {
	detail := fmt.Sprintf(format, args...)
	r.spare(schema.Diagnostic{
		Severity: schema.Error, Summary: summary, Pos: pos, Detail: detail, Hint: hint,
		Policy: code == plan.CodePolicy,
	})
	text := summary
	if detail != "" {
		text += ": " + detail
	}
	return plan.Reason{Code: code, Text: text, Origin: pos.String()}
}

// spare reports an error that is not fatal.
func (r *report) spare(d schema.Diagnostic) { r.problems = append(r.problems, problem{d, false}) }

// downgraded returns ds with errors turned into warnings.
func downgraded(ds schema.Diagnostics) schema.Diagnostics {
	ds = slices.Clone(ds)
	for i := range ds {
		ds[i].Severity = schema.Warning
		ds[i].Policy = false
	}
	return ds
}
