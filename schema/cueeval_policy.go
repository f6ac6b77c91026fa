// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"
)

// applyPolicy unifies objects with the policy's definitions named after their
// kinds. A definition only constrains what it mentions: it is not closed.
func (e *evaluator) applyPolicy(file string, objects []PolicyObject) {
	i := slices.IndexFunc(e.packages(path.Dir(file)), func(p cuePackage) bool { return slices.Contains(p.files, file) })
	if i < 0 {
		e.ds = append(e.ds, Diagnostic{Severity: Error, Summary: summaryCUE, Pos: Pos{File: file, Line: 1, Col: 1}, Detail: "the policy cannot be read"})
		return
	}
	p := e.packages(path.Dir(file))[i]
	v, ok := e.build(p)
	if !ok {
		return
	}
	if err := v.Validate(cue.Definitions(true)); err != nil {
		e.report(p, err)
		return
	}
	e.warnPolicyNames(file)
	for _, o := range objects {
		def := v.LookupPath(cue.ParsePath("#" + string(o.Kind)))
		if !def.Exists() {
			continue
		}
		e.policyObject(file, def, o)
	}
}

func (e *evaluator) policyObject(file string, def cue.Value, o PolicyObject) {
	both := def.UnifyAccept(e.ctx.BuildExpr(o.Node.expr()), e.ctx.CompileString("{...}"))
	err := both.Validate(cue.Concrete(true))
	if err == nil {
		return
	}
	for _, group := range byPath(errors.Errors(err)) {
		n, at := o.Node.closest(group[0].Path())
		if wanted := cuePath(withoutDefinition(group[0].Path())); wanted != "" {
			at = wanted
		}
		detail := errorMessage(group[0])
		switch wanted, incomplete := strings.CutPrefix(detail, "incomplete value "); {
		case incomplete:
			detail = "must be given: " + wanted
		case o.Kind == KindSecret:
			detail = "the value is not allowed" // and is not for anybody to read
		case strings.Contains(detail, "empty disjunction"):
			detail = "the value is none of those allowed"
		}
		if at != "" {
			detail = at + ": " + detail
		}
		var places []Pos
		for _, one := range group {
			places = append(places, errorPlaces(one)...)
		}
		e.ds = append(e.ds, Diagnostic{
			Severity: Error, Summary: summaryPolicy, Policy: true, Pos: n.Pos,
			Detail: detail + e.policyText(file, places),
		})
	}
}

func withoutDefinition(selectors []string) []string {
	return slices.DeleteFunc(slices.Clone(selectors), func(s string) bool { return strings.HasPrefix(s, "#") })
}

// policyText quotes the lines of the policy that refuse, those of policy.cue
// itself first.
func (e *evaluator) policyText(file string, places []Pos) string {
	slices.SortStableFunc(places, func(a, b Pos) int {
		switch {
		case a.File == file && b.File != file:
			return -1
		case a.File != file && b.File == file:
			return 1
		}
		return 0
	})
	text := ""
	for i, pos := range places {
		if slices.ContainsFunc(places[:i], func(q Pos) bool { return q.File == pos.File && q.Line == pos.Line }) {
			continue
		}
		text += fmt.Sprintf("\nrequired by %s: %s", pos, e.line(pos))
	}
	return text
}

// line is the text of a source line, without its indentation.
func (e *evaluator) line(pos Pos) string {
	lines := bytes.Split(e.files[pos.File], []byte("\n"))
	if pos.Line < 1 || pos.Line > len(lines) {
		return ""
	}
	return string(bytes.TrimSpace(lines[pos.Line-1]))
}

// warnPolicyNames reports definitions whose name is nearly that of a kind: a
// misspelt one constrains nothing.
func (e *evaluator) warnPolicyNames(file string) {
	kinds := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		kinds = append(kinds, "#"+string(k))
	}
	for _, d := range declaredFields(e.parsed[file]) {
		if !strings.HasPrefix(d, "#") || slices.Contains(kinds, d) {
			continue
		}
		for _, k := range kinds {
			if EditDistance(strings.ToLower(d), strings.ToLower(k), 3) > 2 {
				continue
			}
			e.ds = append(e.ds, Diagnostic{
				Severity: Warning, Summary: summaryPolicyName, Pos: e.declaration(file, d),
				Detail: fmt.Sprintf("%s is not the name of a kind, so it constrains nothing by itself", d),
				Hint:   fmt.Sprintf("did you mean %q?", k),
			})
			break
		}
	}
}

// declaration is the place of a top-level field in a file.
func (e *evaluator) declaration(file, name string) Pos {
	for _, d := range e.parsed[file].Decls {
		if label, ok := labelOf(d); ok && label == name {
			if pos, ok := userPos(d.Pos()); ok {
				return pos
			}
		}
	}
	return Pos{File: file, Line: 1, Col: 1}
}
