// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"
)

// Summaries of the problems in users' CUE.
const (
	summaryCUE        = "invalid CUE"
	summaryIncomplete = "incomplete CUE value"
	summaryImport     = "unknown import"
	summaryNested     = "object below the top level"
	summaryPolicy     = "refused by policy.cue"
	summaryPolicyName = "definition for no kind"
)

// reportSyntax reports every syntax error of a file.
func (e *evaluator) reportSyntax(file string, err error) {
	for _, one := range errors.Errors(err) {
		pos := Pos{File: file, Line: 1, Col: 1}
		if p, ok := userPos(one.Position()); ok {
			pos = p
		}
		format, args := one.Msg()
		e.ds = append(e.ds, Diagnostic{Severity: Error, Summary: summarySyntax, Pos: pos, Detail: fmt.Sprintf(format, args...)})
	}
}

// importable reports the imports of a package that cannot be had, all of them
// at once.
func (e *evaluator) importable(p cuePackage) bool {
	own, _, _ := strings.Cut(e.fsys.modulePath(moduleRoot(e.fsys, p.dir)), "@")
	good := true
	for _, file := range p.files {
		for spec := range e.parsed[file].ImportSpecs() {
			quoted := spec.Path.Value
			name, err := strconv.Unquote(quoted)
			if err == nil && e.available(name, own) {
				continue
			}
			good = false
			pos, _ := userPos(spec.Path.Pos())
			e.ds = append(e.ds, Diagnostic{
				Severity: Error, Summary: summaryImport, Pos: pos,
				Detail: fmt.Sprintf("there is no package %s here; modules are not fetched", quoted),
				Hint:   fmt.Sprintf("packages of the workspace's own module, %q and CUE's standard library can be imported", SchemaModule),
			})
		}
	}
	return good
}

// available reports whether the loader will find a package, or will say why
// not better than we can.
func (e *evaluator) available(name, own string) bool {
	bare, _, _ := strings.Cut(name, ":")
	module, _, _ := strings.Cut(bare, "@")
	switch first, _, _ := strings.Cut(module, "/"); {
	case module == SchemaModule || module == own || strings.HasPrefix(bare, own+"/"):
		return true
	case strings.Contains(first, "."):
		return false
	}
	return e.ctx.CompileString(fmt.Sprintf("import p %q\n_p: p", bare)).Err() == nil
}

// report turns CUE's errors into diagnostics at places in users' files.
func (e *evaluator) report(p cuePackage, err error) {
	for _, one := range errors.Errors(err) {
		d := Diagnostic{Severity: Error, Summary: summaryCUE, Pos: Pos{File: p.files[0], Line: 1, Col: 1}}
		format, args := one.Msg()
		message, selectors := fmt.Sprintf(format, args...), one.Path()
		places := errorPlaces(one)
		switch {
		case errors.Unwrap(one) != nil:
			message += ": " + errors.Unwrap(one).Error()
		case message == "field not allowed":
			selectors, d.Hint = e.unknownField(p, selectors)
			if pos, ok := e.placeOfPath(p, selectors); ok {
				places = []Pos{pos}
			}
		case isIncomplete(message):
			d.Summary = summaryIncomplete
		}
		if len(places) > 0 {
			d.Pos = places[0]
		} else if pos, ok := e.placeOfPath(p, selectors); ok {
			d.Pos = pos
		}
		d.Detail = message
		if path := cuePath(selectors); path != "" {
			d.Detail = path + ": " + message
		}
		for _, other := range places[min(1, len(places)):] {
			d.Detail += "\nsee also " + other.String()
		}
		e.ds = append(e.ds, d)
	}
}

// unknownField is the path of the outermost field that its struct does not
// allow (CUE names a leaf below it), and what may have been meant.
func (e *evaluator) unknownField(p cuePackage, selectors []string) (path []string, hint string) {
	v := e.built[p.files[0]]
	for i, s := range selectors {
		names, allowed := allowedFields(v, unquoted(s))
		if !allowed {
			return selectors[:i+1], didYouMean(unquoted(s), names)
		}
		v = child(v, s)
	}
	return selectors, ""
}

// allowedFields reports whether every part of a struct has room for a field;
// if not, names are those that the refusing part has. The unified struct
// itself cannot tell: it allows what it holds.
func allowedFields(v cue.Value, name string) (names []string, allowed bool) {
	parts := []cue.Value{v}
	for depth := 0; len(parts) > 0 && depth < 64; depth++ {
		part := parts[0]
		parts = parts[1:]
		if op, operands := part.Expr(); op == cue.AndOp {
			parts = append(parts, operands...)
			continue
		}
		if !part.IsClosed() || part.Allows(cue.Str(name)) {
			continue
		}
		iter, err := part.Fields(cue.Optional(true))
		if err != nil {
			return nil, false
		}
		for iter.Next() {
			names = append(names, iter.Selector().Unquoted())
		}
		return names, false
	}
	return nil, true
}

func unquoted(selector string) string {
	if s, err := strconv.Unquote(selector); err == nil {
		return s
	}
	return selector
}

// child follows one selector of an error's path.
func child(v cue.Value, selector string) cue.Value {
	if i, err := strconv.Atoi(selector); err == nil && v.IncompleteKind() == cue.ListKind {
		return v.LookupPath(cue.MakePath(cue.Index(i)))
	}
	return v.LookupPath(cue.ParsePath(selector))
}

// isIncomplete recognises CUE's messages about values that are not concrete,
// for which it has no exported code.
func isIncomplete(message string) bool {
	return strings.HasPrefix(message, "incomplete value") || strings.Contains(message, "field is required but not present") ||
		strings.HasPrefix(message, "non-concrete value")
}

// errorPlaces are the places in users' files that an error names, in order,
// each line once.
func errorPlaces(err errors.Error) []Pos {
	var out []Pos
	add := func(p token.Pos) {
		pos, ok := userPos(p)
		if !ok || slices.ContainsFunc(out, func(q Pos) bool { return q.File == pos.File && q.Line == pos.Line }) {
			return
		}
		out = append(out, pos)
	}
	add(err.Position())
	for _, p := range err.InputPositions() {
		add(p)
	}
	return out
}

// placeOfPath is the place of the deepest part of a path that a user wrote.
func (e *evaluator) placeOfPath(p cuePackage, selectors []string) (Pos, bool) {
	v := e.built[p.files[0]]
	place, found := Pos{}, false
	for _, s := range selectors {
		if !v.Exists() {
			break
		}
		v = child(v, s)
		if pos := e.placer(p).key(v, Pos{}); v.Exists() && pos.File != "" {
			place, found = pos, true
		}
	}
	return place, found
}

// cuePath joins the selectors of an error: spec.env[0].name.
func cuePath(selectors []string) string {
	path := ""
	for _, s := range selectors {
		if s != "" && strings.Trim(s, "0123456789") == "" {
			path += "[" + s + "]"
			continue
		}
		path = joinPath(path, s)
	}
	return path
}
