// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// tidySchema mends what the generator of CUE says less well than JSON Schema
// can, from the leaves up. It keeps the set of accepted documents, except
// where the generator's is wrong: it writes {...} as "const": {}.
func tidySchema(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for k, sub := range m {
		switch {
		case holdsNamed(k):
			named := sub.(map[string]any)
			for name, s := range named {
				named[name] = tidySchema(s)
			}
		case k == "anyOf" || k == "allOf" || k == "oneOf":
			list := sub.([]any)
			for i, s := range list {
				list[i] = tidySchema(s)
			}
		case k == "items" || k == "additionalProperties" || k == "not" || k == "contains" || k == "propertyNames":
			m[k] = tidySchema(sub)
		}
	}
	if d, ok := m["description"].(string); ok {
		m["description"] = unwrap(d)
	}
	if c, ok := m["const"].(map[string]any); ok && len(c) == 0 {
		delete(m, "const")
		m["type"] = "object"
	}
	mergeIntegerRange(m)
	mergeConsts(m)
	liftDefault(m)
	mergeTypes(m)
	typeEnum(m)
	return m
}

// mergeIntegerRange turns `allOf: [{type: number}, {type: integer, …}]`, which
// is how `int & >=0` arrives, into its second half.
func mergeIntegerRange(m map[string]any) {
	all, _ := m["allOf"].([]any)
	if len(all) != 2 {
		return
	}
	first, _ := all[0].(map[string]any)
	second, _ := all[1].(map[string]any)
	if len(first) != 1 || first["type"] != "number" || second["type"] != "integer" {
		return
	}
	for k := range second {
		if _, taken := m[k]; taken {
			return
		}
	}
	delete(m, "allOf")
	maps.Copy(m, second)
}

// liftDefault turns `anyOf: [{type: T, …}, {const: d}]`, which is how
// `T | *d` arrives, into the type with a default.
func liftDefault(m map[string]any) {
	anyOf, _ := m["anyOf"].([]any)
	if len(anyOf) != 2 {
		return
	}
	for i, branch := range anyOf {
		b, _ := branch.(map[string]any)
		value, isConst := onlyConst(b)
		other, _ := anyOf[1-i].(map[string]any)
		if !isConst || !typeAccepts(other["type"], value) {
			continue
		}
		for k := range other {
			if _, taken := m[k]; taken {
				return
			}
		}
		delete(m, "anyOf")
		maps.Copy(m, other)
		m["default"] = value
		return
	}
}

func typeAccepts(typ, value any) bool {
	switch value := value.(type) {
	case string:
		return typ == "string"
	case bool:
		return typ == "boolean"
	case json.Number:
		return typ == "number" || typ == "integer" && !strings.ContainsAny(value.String(), ".eE")
	}
	return false
}

// mergeConsts turns the constants among the branches of an anyOf into one enum.
func mergeConsts(m map[string]any) {
	anyOf, _ := m["anyOf"].([]any)
	var consts, rest []any
	for _, branch := range anyOf {
		b, _ := branch.(map[string]any)
		if c, ok := onlyConst(b); ok {
			consts = append(consts, c)
			continue
		}
		rest = append(rest, branch)
	}
	if len(consts) < 2 {
		return
	}
	enum := typeEnum(map[string]any{"enum": consts})
	if len(rest) == 0 {
		delete(m, "anyOf")
		maps.Copy(m, enum)
		return
	}
	m["anyOf"] = append(rest, enum)
}

// onlyConst is the value of a schema that says nothing but a constant, with or
// without its type.
func onlyConst(m map[string]any) (value any, ok bool) {
	value, ok = m["const"]
	_, typed := m["type"]
	return value, ok && (len(m) == 1 || len(m) == 2 && typed)
}

// mergeTypes turns the branches of an anyOf that say nothing but a type into
// one with a list of types, so that a message can name them all.
func mergeTypes(m map[string]any) {
	anyOf, _ := m["anyOf"].([]any)
	var types, rest []any
	for _, branch := range anyOf {
		b, _ := branch.(map[string]any)
		if t, ok := b["type"].(string); ok && len(b) == 1 {
			types = append(types, t)
			continue
		}
		rest = append(rest, branch)
	}
	if len(types) < 2 {
		return
	}
	if len(rest) == 0 {
		delete(m, "anyOf")
		m["type"] = types
		return
	}
	m["anyOf"] = append([]any{map[string]any{"type": types}}, rest...)
}

// typeEnum adds the type to an enum or const of strings: editors complete
// these better, and a number gets the message of a wrong type.
func typeEnum(m map[string]any) map[string]any {
	if _, typed := m["type"]; typed {
		return m
	}
	values, _ := m["enum"].([]any)
	if c, ok := m["const"]; ok {
		values = []any{c}
	}
	for _, v := range values {
		if _, ok := v.(string); !ok {
			return m
		}
	}
	if len(values) > 0 {
		m["type"] = "string"
	}
	return m
}

// renameDescriptions drops the suffix that tells the written form of a
// definition from the unified one: readers of the schema only meet the former.
func renameDescriptions(root map[string]any) {
	eachSchema(root, func(m map[string]any) {
		d, ok := m["description"].(string)
		if !ok {
			return
		}
		first, rest, _ := strings.Cut(d, " ")
		m["description"] = strings.TrimSuffix(first, "Source") + " " + rest
		if rest == "" {
			m["description"] = d
		}
	})
}

// eachSchema calls f for every schema below v. Property names never look like
// a schema to f, since their values are visited, not the map that holds them.
func eachSchema(v any, f func(map[string]any)) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	f(m)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch sub := m[k].(type) {
		case map[string]any:
			if holdsNamed(k) {
				for _, s := range sub {
					eachSchema(s, f)
				}
				continue
			}
			if k != "const" && k != "default" {
				eachSchema(sub, f)
			}
		case []any:
			for _, s := range sub {
				eachSchema(s, f)
			}
		}
	}
}

// unwrap joins the lines of a comment into paragraphs.
func unwrap(text string) string {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(paragraphs, "\n\n")
}
