// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ValueAt returns what stands at one of [Change.ReplacePaths] in Before or
// After, for people: a variable by its value, a secret by its name, anything
// else as compact JSON. It is "" where there is nothing.
func ValueAt(spec json.RawMessage, path string) string {
	v, ok := valueAt(SpecTree(spec), path)
	if !ok {
		return ""
	}
	if m, isMap := v.(map[string]any); isMap && m["name"] != nil {
		if secret, ok := m["secret"]; ok {
			return fmt.Sprint(secret)
		}
		v = m["value"]
		if v == nil {
			v = ""
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// valueAt follows the path; names of members may hold dots themselves.
func valueAt(tree any, path string) (any, bool) {
	members, ok := Members(tree)
	if !ok {
		return nil, false
	}
	if v, ok := members[path]; ok {
		return v, true
	}
	for name, v := range members {
		rest, ok := strings.CutPrefix(path, name+".")
		if !ok {
			continue
		}
		if found, ok := valueAt(v, rest); ok {
			return found, true
		}
	}
	return nil, false
}
