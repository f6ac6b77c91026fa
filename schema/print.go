// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
)

// CUE returns the definition of a kind in CUE with everything it refers to, as
// a file of its own: #Kind, which decides and which policy.cue constrains, and
// #KindSource, what may be written, where that differs.
func CUE(kind Kind) ([]byte, error) {
	if !slices.Contains(Kinds(), kind) {
		return nil, fmt.Errorf("no definition of kind %q", kind)
	}
	d, err := loadDefinitions()
	if err != nil {
		return nil, err
	}
	decls := map[string]ast.Decl{}
	for _, decl := range d.file.Decls {
		if name := definedName(decl); name != "" {
			decls[name] = decl
		}
	}
	wanted := map[string]bool{}
	var want func(name string)
	want = func(name string) {
		decl, known := decls[name]
		if !known || wanted[name] {
			return
		}
		wanted[name] = true
		ast.Walk(decl, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && strings.HasPrefix(id.Name, "#") {
				want(id.Name)
			}
			return true
		}, nil)
	}
	want("#" + string(kind))
	want(d.sourceName(kind))

	out := &ast.File{Decls: []ast.Decl{&ast.Package{Name: ast.NewIdent("schema")}}}
	for _, first := range []bool{true, false} { // the kind's own definitions first
		for _, decl := range d.file.Decls {
			name := definedName(decl)
			own := name == "#"+string(kind) || name == d.sourceName(kind)
			if wanted[name] && own == first {
				out.Decls = append(out.Decls, decl)
			}
		}
	}
	text, err := format.Node(out)
	if err != nil {
		return nil, fmt.Errorf("print definition of %s: %w", kind, err)
	}
	return text, nil
}

// definedName is the name of a definition, "" for other declarations.
func definedName(decl ast.Decl) string {
	f, ok := decl.(*ast.Field)
	if !ok {
		return ""
	}
	name, _, err := ast.LabelName(f.Label)
	if err != nil || !strings.HasPrefix(name, "#") {
		return ""
	}
	return name
}
