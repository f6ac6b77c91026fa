// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
)

// objects collects the objects of one package.
func (e *evaluator) objects(p cuePackage) {
	v, ok := e.build(p)
	if !ok {
		return
	}
	if err := v.Validate(); err != nil {
		e.report(p, err)
	}
	fields := e.topFields(p, v)
	for _, file := range p.files {
		if kind := wholeFileKind(file); kind != "" {
			fields = e.wholeFile(p, v, file, kind, fields)
		}
	}
	if hasField(fields, "apiVersion") && hasField(fields, "kind") {
		e.wholePackage(p, v, fields)
		return
	}
	for _, f := range fields {
		if isObject(f.value) {
			e.object(p, f)
			continue
		}
		e.warnNested(f)
	}
}

// topField is one regular top-level field of a package.
type topField struct {
	name  string
	value cue.Value
	files []string // that declare it in so many words; none when it is computed
}

func hasField(fields []topField, name string) bool {
	return slices.ContainsFunc(fields, func(f topField) bool { return f.name == name })
}

func (e *evaluator) topFields(p cuePackage, v cue.Value) []topField {
	iter, err := v.Fields()
	if err != nil {
		return nil // already reported by Validate
	}
	declared := map[string][]string{}
	for _, file := range p.files {
		for _, name := range declaredFields(e.parsed[file]) {
			declared[name] = append(declared[name], file)
		}
	}
	var out []topField
	for iter.Next() {
		name := iter.Selector().Unquoted()
		out = append(out, topField{name: name, value: iter.Value(), files: declared[name]})
	}
	return out
}

// declaredFields are the names of a file's top-level fields, each once.
func declaredFields(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		if name, ok := labelOf(d); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func labelOf(d ast.Decl) (name string, ok bool) {
	field, isField := d.(*ast.Field)
	if !isField {
		return "", false
	}
	name, _, err := ast.LabelName(field.Label)
	return name, err == nil
}

// wholeFile returns manifest.cue or workspace.cue as one document and the
// fields that belong to other files of its package.
func (e *evaluator) wholeFile(p cuePackage, v cue.Value, file string, kind Kind, fields []topField) (rest []topField) {
	var mine []topField
	for _, f := range fields {
		if len(f.files) > 0 && !slices.Contains(f.files, file) {
			rest = append(rest, f)
			continue
		}
		mine = append(mine, f)
	}
	if kind == KindWorkspace {
		if only, others, ok := workspaceField(mine); ok {
			if node, good := e.concrete(p, only.value); good {
				e.found = append(e.found, EvalObject{Dir: p.dir, File: file, Field: only.name, Kind: kind, Node: node})
			}
			return append(others, rest...)
		}
	}
	e.document(p, v, file, kind, mine)
	return rest
}

// workspaceField finds the one top-level field that is a Workspace in a file
// that is none itself.
func workspaceField(fields []topField) (only topField, others []topField, ok bool) {
	for _, f := range fields {
		switch f.name {
		case "apiVersion", "kind", "metadata", "spec":
			return topField{}, nil, false
		}
		if kind, err := f.value.LookupPath(cue.ParsePath("kind")).String(); err == nil && kind == string(KindWorkspace) && !ok {
			only, ok = f, true
			continue
		}
		others = append(others, f)
	}
	return only, others, ok
}

// wholePackage returns a package whose top level is an object.
func (e *evaluator) wholePackage(p cuePackage, v cue.Value, fields []topField) {
	file := p.files[0]
	for _, f := range fields {
		if f.name == "apiVersion" && len(f.files) > 0 {
			file = f.files[0]
		}
	}
	e.document(p, v, file, "", fields)
}

// document returns fields as one map.
func (e *evaluator) document(p cuePackage, v cue.Value, file string, kind Kind, fields []topField) {
	node := &Node{Kind: NodeMap, Pos: Pos{File: file, Line: 1, Col: 1}}
	good := true
	for _, f := range fields {
		value, ok := e.concrete(p, f.value)
		if !ok {
			good = false
			continue
		}
		key := e.placer(p).key(f.value, value.Pos)
		if node.Fields == nil {
			node.Pos = key
		}
		node.Fields = append(node.Fields, Field{Key: f.name, Pos: key, Value: value})
	}
	if good && v.Err() == nil {
		e.found = append(e.found, EvalObject{Dir: p.dir, File: file, Kind: kind, Node: node})
	}
}

// isObject reports whether a value looks like one of a Kubernetes-style API.
func isObject(v cue.Value) bool {
	_, errVersion := v.LookupPath(cue.ParsePath("apiVersion")).String()
	_, errKind := v.LookupPath(cue.ParsePath("kind")).String()
	return errVersion == nil && errKind == nil
}

func (e *evaluator) object(p cuePackage, f topField) {
	node, ok := e.concrete(p, f.value)
	if !ok {
		return
	}
	file := node.Pos.File
	if len(f.files) > 0 {
		file = f.files[0]
	}
	e.found = append(e.found, EvalObject{Dir: p.dir, File: file, Field: f.name, Node: node})
}

// warnNested reports objects one level too deep, which would otherwise be
// left out without a word.
func (e *evaluator) warnNested(f topField) {
	if f.value.IncompleteKind() != cue.StructKind {
		return
	}
	iter, err := f.value.Fields()
	if err != nil {
		return
	}
	for iter.Next() {
		if !isObject(iter.Value()) {
			continue
		}
		name := iter.Selector().String()
		e.ds = append(e.ds, Diagnostic{
			Severity: Warning, Summary: summaryNested,
			Pos:    placer{}.value(iter.Value(), Pos{}),
			Detail: fmt.Sprintf("%s.%s is an object inside another field; only top-level fields are objects, so it is ignored", f.name, name),
			Hint:   "move it to the top level of the file, or give the outer field a hidden name such as _" + f.name,
		})
	}
}
