// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// parseSchema reads an inputSchema in either form: a JSON Schema of an object,
// or the short form, a map from argument to its type or to an object with
// type, description, enum, min, max, optional and the like. None allows
// everything.
func parseSchema(raw json.RawMessage) (*jsonschema.Schema, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return &jsonschema.Schema{Type: "object"}, nil
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, errors.New("not an object")
	}
	if !isJSONSchema(m) {
		long, err := longObject(m)
		if err != nil {
			return nil, err
		}
		m = long
	}
	m["type"] = "object"
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

func isJSONSchema(m map[string]any) bool {
	if m["type"] == "object" {
		return true
	}
	_, props := m["properties"].(map[string]any)
	_, draft := m["$schema"].(string)
	_, ref := m["$ref"].(string)
	return props || draft || ref
}

// longObject turns the short form of an object's fields into a JSON Schema.
func longObject(fields map[string]any) (map[string]any, error) {
	props := map[string]any{}
	required := []any{}
	for name, spec := range fields {
		long, optional, err := longField(spec)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		props[name] = long
		if !optional {
			required = append(required, name)
		}
	}
	slices.SortFunc(required, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return map[string]any{"type": "object", "properties": props, "required": required}, nil
}

// kept are the keys that mean the same in both forms.
var kept = []string{"description", "enum", "minLength", "maxLength", "minItems", "maxItems", "default", "pattern", "additionalProperties"}

func longField(spec any) (long map[string]any, optional bool, err error) {
	if name, ok := spec.(string); ok {
		spec = map[string]any{"type": name}
	}
	short, ok := spec.(map[string]any)
	if !ok {
		return nil, false, errors.New("neither a type nor an object")
	}
	long = map[string]any{}
	for _, k := range kept {
		if v, ok := short[k]; ok {
			long[k] = v
		}
	}
	typ, _ := short["type"].(string)
	if typ == "" {
		typ = "string"
	}
	typ = strings.ToLower(typ)
	switch typ {
	case "string", "boolean", "any":
	case "number", "integer":
		rename(long, "minimum", short, "min", "minimum")
		rename(long, "maximum", short, "max", "maximum")
	case "array":
		if items, ok := short["items"]; ok {
			if long["items"], _, err = longField(items); err != nil {
				return nil, false, fmt.Errorf("items: %w", err)
			}
		}
	case "object":
		if props, ok := short["properties"].(map[string]any); ok {
			object, err := longObject(props)
			if err != nil {
				return nil, false, err
			}
			long["properties"], long["required"] = object["properties"], object["required"]
		}
	default:
		return nil, false, fmt.Errorf("unknown type %q", typ)
	}
	if typ != "any" {
		long["type"] = typ
	}
	if short["nullable"] == true && typ != "any" {
		long["type"] = []any{typ, "null"}
	}
	if short["isArray"] == true && typ != "array" {
		long = map[string]any{"type": "array", "items": long}
	}
	return long, short["optional"] == true, nil
}

func rename(to map[string]any, key string, from map[string]any, names ...string) {
	for _, n := range names {
		if v, ok := from[n]; ok {
			to[key] = v
		}
	}
}
