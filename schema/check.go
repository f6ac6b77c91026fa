// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
)

// check asks CUE whether a unified document is one of its kind; base is that
// of a manifest with profiles, whose values a profile may hide. The diagnostics
// are CUE's own words, for the case that nobody explains better.
func (d *definitions) check(kind Kind, unified, base *Node) Diagnostics {
	ds := d.checkAs("#"+string(kind), unified)
	if base != nil {
		ds = append(ds, d.checkAs("#Base", base)...)
	}
	return ds
}

func (d *definitions) checkAs(definition string, unified *Node) Diagnostics {
	def := d.value.LookupPath(cue.ParsePath(definition))
	v := def.Unify(d.context.BuildExpr(unified.expr()))
	err := v.Validate(cue.Concrete(true))
	if err == nil {
		return nil
	}
	var ds Diagnostics
	for _, e := range errors.Errors(err) {
		n, path := unified.closest(e.Path())
		format, args := e.Msg()
		detail := fmt.Sprintf(format, args...)
		if strings.Contains(detail, "empty disjunction") {
			detail = "the value has none of the accepted forms"
		}
		if path != "" {
			detail = path + ": " + detail
		}
		ds = append(ds, Diagnostic{Severity: Error, Summary: summaryInvalid, Detail: detail, Pos: n.Pos})
	}
	return ds
}

// closest follows a CUE path, which may start with the definition's name, as
// far as it exists.
func (n *Node) closest(selectors []string) (*Node, string) {
	path := ""
	for _, s := range selectors {
		if strings.HasPrefix(s, "#") {
			continue
		}
		if unquoted, err := strconv.Unquote(s); err == nil {
			s = unquoted
		}
		next, step := n.field(s), pathKey(s)
		if i, err := strconv.Atoi(s); err == nil && n.Kind == NodeList && i < len(n.Items) {
			next, step = n.Items[i], "["+s+"]"
		}
		if next == nil {
			break
		}
		n, path = next, joinPath(path, step)
	}
	return n, path
}

// fieldNames are the names of all fields in the definitions.
func fieldNames(f *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Walk(f, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok {
			if name, _, err := ast.LabelName(field.Label); err == nil && !strings.HasPrefix(name, "#") {
				names[name] = true
			}
		}
		return true
	}, nil)
	return names
}
