// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"fmt"
	"regexp"
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

// report turns CUE's errors into diagnostics at places in users' files, one
// for each value.
func (e *evaluator) report(p cuePackage, err error) {
	for _, group := range byPath(errors.Errors(err)) {
		one := group[0]
		d := Diagnostic{Severity: Error, Summary: summaryCUE, Pos: Pos{File: p.files[0], Line: 1, Col: 1}}
		message, selectors := errorMessage(one), one.Path()
		var places []Pos
		for _, other := range group {
			places = append(places, errorPlaces(other)...)
		}
		switch {
		case len(group) > 1:
			message, d.Hint = branches(group)
		case message == "field not allowed":
			selectors, d.Hint = e.unknownField(p, selectors)
			if pos, ok := e.placeOfPath(p, selectors); ok {
				places = []Pos{pos}
			}
		case isIncomplete(message):
			d.Summary = summaryIncomplete
		}
		if len(places) > 0 {
			d.Pos = e.nearestPlace(selectors, places)
		} else if pos, ok := e.placeOfPath(p, selectors); ok {
			d.Pos = pos
		}
		d.Detail = message + e.seeAlso(d.Pos, places)
		if path := cuePath(selectors); path != "" {
			d.Detail = path + ": " + d.Detail
		}
		e.ds = append(e.ds, d)
	}
}

// byPath groups errors about one value: a disjunction has one for each of its
// branches. Errors without a path stay apart.
func byPath(errs []errors.Error) [][]errors.Error {
	var groups [][]errors.Error
	for _, one := range errs {
		i := slices.IndexFunc(groups, func(g []errors.Error) bool {
			return len(one.Path()) > 0 && slices.Equal(g[0].Path(), one.Path())
		})
		if i < 0 {
			groups = append(groups, []errors.Error{one})
			continue
		}
		groups[i] = append(groups[i], one)
	}
	return groups
}

// errorMessage is what an error says, with its reason and without its path.
func errorMessage(err errors.Error) string {
	format, args := err.Msg()
	message := fmt.Sprintf(format, args...)
	if reason := errors.Unwrap(err); reason != nil {
		message += ": " + reason.Error()
	}
	return message
}

var cueConflict = regexp.MustCompile(`^conflicting values (.+) and (.+)$`)

// branches is one message for all that is wrong with one value: the list of
// the values that it may have, if that is what CUE's messages come to.
func branches(group []errors.Error) (message, hint string) {
	var messages, wanted []string
	got := ""
	plain := true
	for _, one := range group {
		m := errorMessage(one)
		if strings.Contains(m, "empty disjunction") || slices.Contains(messages, m) {
			continue
		}
		messages = append(messages, m)
		values := cueConflict.FindStringSubmatch(m)
		if values == nil || strings.Contains(m, "mismatched types") || got != "" && got != values[2] {
			plain = false
			continue
		}
		wanted, got = append(wanted, values[1]), values[2]
	}
	switch {
	case len(messages) == 0:
		return "the value has none of the accepted forms", ""
	case !plain || len(wanted) < 2:
		return strings.Join(messages, "\nor: "), ""
	}
	names := make([]string, len(wanted))
	for i, w := range wanted {
		names[i] = unquoted(w)
	}
	slices.Sort(wanted)
	return fmt.Sprintf("%s is not one of %s", got, strings.Join(wanted, ", ")), didYouMean(unquoted(got), names)
}

// nearestPlace is the first place inside the declaration of the object itself,
// rather than of what it is made from.
func (e *evaluator) nearestPlace(selectors []string, places []Pos) Pos {
	if len(selectors) == 0 {
		return places[0]
	}
	for _, pos := range places {
		f := e.parsed[pos.File]
		if f == nil {
			continue
		}
		for _, d := range f.Decls {
			name, ok := labelOf(d)
			if !ok || name != unquoted(selectors[0]) {
				continue
			}
			from, to := d.Pos().Position(), d.End().Position()
			if from.Line <= pos.Line && pos.Line <= to.Line {
				return pos
			}
		}
	}
	return places[0]
}

// seeAlso names the other places where a value was written. Mentions of a
// definition by name are left out: they say nothing about the value.
func (e *evaluator) seeAlso(at Pos, places []Pos) string {
	text := ""
	named := []Pos{at}
	for _, pos := range places {
		known := slices.ContainsFunc(named, func(q Pos) bool { return q.File == pos.File && q.Line == pos.Line })
		if known || e.isReference(pos) {
			continue
		}
		named = append(named, pos)
		text += "\nsee also " + pos.String()
	}
	return text
}

var (
	cueName    = regexp.MustCompile(`^[#_A-Za-z][#$\w]*`)
	cueBuiltin = regexp.MustCompile(`^(string|bytes|bool|int|u?int(8|16|32|64|128)|uint|float|float32|float64|number|null|true|false|len|close|and|or)$`)
)

// isReference reports whether the source at a place is a name that stands for
// something else.
func (e *evaluator) isReference(pos Pos) bool {
	lines := bytes.Split(e.files[pos.File], []byte("\n"))
	if pos.Line < 1 || pos.Line > len(lines) || pos.Col < 1 || pos.Col > len(lines[pos.Line-1]) {
		return false
	}
	name := cueName.Find(lines[pos.Line-1][pos.Col-1:])
	return name != nil && !cueBuiltin.Match(name)
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

// allowedFields reports whether a closed part of a struct has room for a field
// or no part is closed; if not, names are the fields that there is room for.
// The unified struct itself cannot tell: it allows what it holds.
func allowedFields(v cue.Value, name string) (names []string, allowed bool) {
	parts := []cue.Value{v}
	anyClosed := false
	for depth := 0; len(parts) > 0 && depth < 64; depth++ {
		part := parts[0]
		parts = parts[1:]
		if op, operands := part.Expr(); op == cue.AndOp {
			parts = append(parts, operands...)
			continue
		}
		if !part.IsClosed() {
			continue
		}
		anyClosed = true
		if part.Allows(cue.Str(name)) {
			return nil, true
		}
		iter, err := part.Fields(cue.Optional(true))
		if err != nil {
			continue
		}
		for iter.Next() {
			names = append(names, iter.Selector().Unquoted())
		}
	}
	return names, !anyClosed
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
