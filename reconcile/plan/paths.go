// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

// replacePaths returns what about the desired resource forces the replacement
// of old: the fields of the spec that differ, the image and the secrets that
// moved.
func (v *view) replacePaths(r *Resource, old rival) []string {
	var paths []string
	for _, f := range old.faults {
		switch f.Code {
		case CodeSpec:
			paths = append(paths, v.specPaths(r, old.object)...)
		case CodeImage:
			paths = append(paths, "image")
		}
	}
	for _, in := range r.Spec.Inputs() {
		bound, fact := old.object.Inputs[in.String()], v.observed.Inputs[in]
		if in.Kind == InputSecret && bound != "" && fact.State == FactKnown && fact.Value != bound {
			paths = append(paths, "secret."+secretName(in))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// specPaths returns the fields in which the spec of r differs from the one
// that o was made from, or nil where that is no longer known.
func (v *view) specPaths(r *Resource, o Object) []string {
	before, after := SpecTrees(v.observed.Specs[o.Digest], r.Spec.canonicalJSON())
	if before == nil {
		return nil
	}
	return diffPaths(before, after)
}

// SpecTrees returns two specs, as in [Change], as trees of maps, lists, numbers
// and texts (see [SpecTree]), without what differs between them and does not
// count: where copies of files come from.
func SpecTrees(before, after json.RawMessage) (b, a any) {
	b, a = SpecTree(before), SpecTree(after)
	if b != nil && a != nil {
		dropOrigins(b)
		dropOrigins(a)
	}
	return b, a
}

func dropOrigins(tree any) {
	spec, _ := tree.(map[string]any)
	mounts, _ := spec["mounts"].([]any)
	for _, m := range mounts {
		if mount, ok := m.(map[string]any); ok && mount["treeHash"] != nil {
			delete(mount, "from")
		}
	}
}

// SpecTree returns what is inside the one field of a spec, so that paths begin
// at what a person wrote: env.LOG_LEVEL rather than container.env.LOG_LEVEL; nil =
// the spec is unknown.
func SpecTree(raw json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree map[string]any
	if len(raw) == 0 || dec.Decode(&tree) != nil || tree == nil {
		return nil
	}
	for _, inner := range tree {
		if len(tree) == 1 {
			return inner
		}
	}
	return tree
}

// diffPaths returns the dotted paths of the leaves that differ, sorted. A list
// of named things is walked by name; any other list is one leaf.
func diffPaths(a, b any) []string {
	var paths []string
	walkDiff("", a, b, &paths)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func walkDiff(path string, a, b any, out *[]string) {
	am, aok := Members(a)
	bm, bok := Members(b)
	if isVariable(a) && isVariable(b) {
		aok = false
	}
	if !aok || !bok || len(am) == 0 && len(bm) == 0 {
		if !reflect.DeepEqual(a, b) {
			*out = append(*out, path)
		}
		return
	}
	keys := maps.Clone(am)
	maps.Copy(keys, bm)
	for k := range keys {
		sub := k
		if path != "" {
			sub = path + "." + k
		}
		if v, ok := am[k]; !ok {
			leaves(sub, bm[k], out)
		} else if w, ok := bm[k]; !ok {
			leaves(sub, v, out)
		} else {
			walkDiff(sub, v, w, out)
		}
	}
}

// leaves names what is only on one side: each member of a collection, but a
// named thing as a whole.
func leaves(path string, v any, out *[]string) {
	list, ok := v.([]any)
	members, named := Members(v)
	if !ok || !named || len(list) == 0 {
		*out = append(*out, path)
		return
	}
	for k := range members {
		*out = append(*out, path+"."+k)
	}
}

// Members returns the members of v, a part of a [SpecTree], by name: those of an
// object, or those of a list whose members all have a name of their own.
func Members(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, false
	case map[string]any:
		return v, true
	case []any:
		members := make(map[string]any, len(v))
		for _, e := range v {
			name := MemberName(e)
			if _, twice := members[name]; twice || name == "" {
				return nil, false
			}
			members[name] = e
		}
		return members, true
	}
	return nil, false
}

// isVariable reports whether v is an environment variable, which is one leaf:
// its name says all.
func isVariable(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m["name"] != nil
}

// MemberName is what a person calls a member of a list: a variable by its
// name, a mount by its target, a port by its number; "" = it has no name.
func MemberName(e any) string {
	m, ok := e.(map[string]any)
	if !ok {
		return ""
	}
	for _, key := range []string{"name", "target"} {
		if s, ok := m[key].(string); ok {
			return s
		}
	}
	n, ok := m["container"].(json.Number)
	if !ok {
		return ""
	}
	name := n.String()
	if p, ok := m["protocol"].(string); ok {
		name += "/" + p
	}
	return name
}
