// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
)

// field is one value that a change changes.
type field struct {
	path     string // dotted, as a person wrote it
	old, new any    // nil = there is none
	note     string // said after the path in place of the values
	forces   bool   // a replacement
	made     bool   // there was nothing before
}

// fieldsOf returns what a change changes, by path.
func (r Report) fieldsOf(c plan.Change) []field {
	before, after := plan.SpecTrees(c.Before, c.After)
	var fs []field
	if before != nil && after != nil {
		for _, f := range splitFiles(before, after) {
			fs = append(fs, r.fileField(f))
		}
		compare("", before, after, &fs)
	}
	slices.SortStableFunc(fs, func(a, b field) int { return strings.Compare(a.path, b.path) })
	for i := range fs {
		fs[i].forces = slices.ContainsFunc(c.ReplacePaths, func(p string) bool { return covers(p, fs[i].path) })
	}
	for _, p := range c.ReplacePaths {
		if ofFiles(p) || slices.ContainsFunc(fs, func(f field) bool { return covers(p, f.path) }) {
			continue
		}
		f := field{path: p, forces: true}
		switch name, isSecret := strings.CutPrefix(p, "secret."); {
		case isSecret:
			f.path, f.note = "secret "+name, " changed"
		case p == "image":
			f.note = ": the tag names another image now"
		default:
			f.note = " differs"
		}
		fs = append(fs, f)
	}
	return fs
}

// ofFiles reports whether a path is of files, which have fields of their own.
func ofFiles(path string) bool {
	return strings.HasPrefix(path, "mounts.") && strings.HasSuffix(path, ".files")
}

// fieldsMade returns everything that a created object is made of.
func (r Report) fieldsMade(c plan.Change) []field {
	after, ok := plan.SpecTree(c.After).(map[string]any)
	if !ok || plan.SpecTree(c.Before) != nil {
		return nil
	}
	files := splitFiles(nil, after)
	var fs []field
	for _, k := range keysOf(after) {
		below, named := members(after[k])
		_, isList := after[k].([]any)
		if !named || !isList {
			if text(after[k]) == "{}" {
				continue
			}
			fs = append(fs, field{path: k, new: after[k], made: true})
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(below)) {
			fs = append(fs, field{path: k + "." + name, new: unnamed(below[name]), made: true})
		}
	}
	for _, f := range files {
		fs = append(fs, r.fileField(f))
	}
	return fs
}

// covers reports whether path is whole or below it.
func covers(whole, path string) bool {
	rest, ok := strings.CutPrefix(path, whole)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// compare appends the leaves in which a and b differ. Objects, and lists of
// named things, are walked by name; other lists by index.
func compare(path string, a, b any, out *[]field) {
	if reflect.DeepEqual(a, b) {
		return
	}
	if _, ok := variable(a); ok {
		*out = append(*out, field{path: path, old: a, new: b})
		return
	}
	am, aok := members(a)
	bm, bok := members(b)
	if aok && bok {
		compareMembers(path, am, bm, out)
		return
	}
	al, aok := a.([]any)
	bl, bok := b.([]any)
	if aok && bok {
		compareLists(path, al, bl, out)
		return
	}
	*out = append(*out, field{path: path, old: a, new: b})
}

func compareMembers(path string, a, b map[string]any, out *[]field) {
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		sub := k
		if path != "" {
			sub = path + "." + k
		}
		v, had := a[k]
		w, has := b[k]
		switch {
		case had && has:
			compare(sub, v, w, out)
		case had:
			only(sub, v, false, out)
		default:
			only(sub, w, true, out)
		}
	}
}

// only appends what is on one side alone: each member of a list of named
// things, and anything else as a whole.
func only(path string, v any, added bool, out *[]field) {
	if list, isList := v.([]any); isList {
		if below, named := members(list); named {
			for _, k := range slices.Sorted(maps.Keys(below)) {
				only(path+"."+k, below[k], added, out)
			}
			return
		}
	}
	f := field{path: path, old: unnamed(v)}
	if added {
		f.old, f.new = nil, f.old
	}
	*out = append(*out, f)
}

// unnamed is v without the name that its path says already.
func unnamed(v any) any {
	m, ok := v.(map[string]any)
	if !ok || m["name"] != nil || plan.MemberName(v) == "" {
		return v
	}
	m = maps.Clone(m)
	delete(m, "target")
	if m["container"] != nil {
		delete(m, "container")
		delete(m, "protocol")
	}
	return m
}

// longList is how many elements of a list are told one by one.
const longList = 10

// compareLists compares by index, after what is the same at both ends.
func compareLists(path string, a, b []any, out *[]field) {
	first := 0
	for first < min(len(a), len(b)) && reflect.DeepEqual(a[first], b[first]) {
		first++
	}
	last := 0
	for last < min(len(a), len(b))-first && reflect.DeepEqual(a[len(a)-1-last], b[len(b)-1-last]) {
		last++
	}
	removed, added := a[first:len(a)-last], b[first:len(b)-last]
	if max(len(removed), len(added)) > longList || len(a) == 0 || len(b) == 0 {
		*out = append(*out, field{path: path, old: listOf(a), new: listOf(b)})
		return
	}
	for i := range max(len(removed), len(added)) {
		f := field{path: fmt.Sprintf("%s[%d]", path, first+i)}
		switch {
		case i >= len(added):
			f.old = removed[i]
		case i >= len(removed):
			f.new = added[i]
		default:
			compare(f.path, removed[i], added[i], out)
			continue
		}
		*out = append(*out, f)
	}
}

// listOf is a list, or nothing when it is empty.
func listOf(l []any) any {
	if len(l) == 0 {
		return nil
	}
	return l
}

// words returns both values for people, no longer than limit characters where
// they differ.
func (f field) words(limit int) (path, old, new string) {
	if mount, ok := strings.CutSuffix(f.path, ".treeHash"); ok {
		return "files of " + strings.TrimPrefix(mount, "mounts."), shortHash(f.old), shortHash(f.new)
	}
	if f.path == "treeHash" { // of an image
		return "files of the agent", shortHash(f.old), shortHash(f.new)
	}
	old, new = text(f.old), text(f.new)
	at := 0
	for at < min(len(old), len(new)) && old[at] == new[at] {
		at++
	}
	return f.path, shorten(old, at, limit), shorten(new, at, limit)
}

// shortHash is what tells two hashes apart on one screen.
func shortHash(v any) string {
	hash, ok := v.(string)
	if !ok {
		return text(v)
	}
	return hash[:min(12, len(hash))]
}

// shorten cuts a long value to limit characters around the byte at, from where
// it differs, and says how long it is.
func shorten(s string, at, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	from := max(0, min(len([]rune(strings.ToValidUTF8(s[:min(at, len(s))], "")))-limit/4, len(runes)-limit))
	to := min(len(runes), from+limit)
	cut := string(runes[from:to])
	if from > 0 {
		cut = "…" + cut
	}
	if to < len(runes) {
		cut += "…"
	}
	return fmt.Sprintf("%s (%s)", cut, Count(len(runes), "character"))
}
