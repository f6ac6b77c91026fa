// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"reconcile/reconcile/plan"
)

// file is a file, or a folder, that a container is made with.
type file struct {
	path   string // in the container
	name   string // what a person calls it: below the working folder the path there
	digest string // of the content; "" for a folder
	tree   string // hash of a folder
	mode   uint64
}

// fileChange is a file that is not the same on both sides; nil = not there.
type fileChange struct{ before, after *file }

func (f fileChange) one() *file { return cmp.Or(f.after, f.before) }

// maxCompared is how large a file may be to be compared line by line, in bytes.
const maxCompared = 1 << 20

// takeFiles takes the files out of a spec tree, by their path. A mount of which
// they say all goes with them, unless the other side has it too.
func takeFiles(tree, other any) map[string]*file {
	out := map[string]*file{}
	spec, _ := tree.(map[string]any)
	mounts, _ := spec["mounts"].([]any)
	var rest []any
	for _, v := range mounts {
		m, _ := v.(map[string]any)
		list, _ := m["files"].([]any)
		target, _ := m["target"].(string)
		for _, e := range list {
			f := fileOf(target, m["readOnly"] != true, e)
			out[f.path] = f
		}
		delete(m, "files")
		if len(list) == 0 || hasMount(other, target) {
			rest = append(rest, v)
		}
	}
	switch {
	case len(out) == 0:
	case len(rest) == 0:
		delete(spec, "mounts")
	default:
		spec["mounts"] = rest
	}
	return out
}

func hasMount(tree any, target string) bool {
	spec, _ := tree.(map[string]any)
	mounts, _ := spec["mounts"].([]any)
	return slices.ContainsFunc(mounts, func(v any) bool { return plan.MemberName(v) == target })
}

// fileOf reads an element of a mount's files; own: the mount is the folder in which
// the container works.
func fileOf(target string, own bool, v any) *file {
	m, _ := v.(map[string]any)
	below, _ := m["path"].(string)
	f := &file{path: path.Join(target, below), mode: 0o644}
	f.name = f.path
	if own && below != "" && !strings.HasPrefix(strings.TrimLeft(below, " "), "::") { // a command of CI runners
		f.name = below
	}
	f.digest, _ = m["digest"].(string)
	f.tree, _ = m["treeHash"].(string)
	if n, ok := m["mode"].(json.Number); ok {
		if mode, err := strconv.ParseUint(n.String(), 10, 32); err == nil && mode != 0 {
			f.mode = mode
		}
	}
	return f
}

// splitFiles takes the files out of both trees, which then read as people write
// them, and returns those that differ, by path.
func splitFiles(before, after any) []fileChange {
	octalModes(before)
	octalModes(after)
	b := takeFiles(before, after)
	a := takeFiles(after, before)
	all := maps.Clone(b)
	maps.Copy(all, a)
	var out []fileChange
	for _, p := range slices.Sorted(maps.Keys(all)) {
		c := fileChange{b[p], a[p]}
		if c.before != nil && c.after != nil && *c.before == *c.after {
			continue
		}
		out = append(out, c)
	}
	return out
}

// octalModes has the modes of secret files read as people write them.
func octalModes(tree any) {
	spec, _ := tree.(map[string]any)
	files, _ := spec["secretFiles"].([]any)
	for _, v := range files {
		m, _ := v.(map[string]any)
		if n, ok := m["mode"].(json.Number); ok {
			if mode, err := strconv.ParseUint(n.String(), 10, 32); err == nil {
				m["mode"] = json.Number(fmt.Sprintf("%04o", mode))
			}
		}
	}
}

// fileField is the change of a file as one of the fields of a change.
func (r Report) fileField(f fileChange) field {
	return field{path: f.one().name, note: ": " + r.fileWords(f)}
}

// fileWords says in which way a file differs.
func (r Report) fileWords(f fileChange) string {
	switch b, a := f.before, f.after; {
	case b == nil:
		return "new" + r.sizeWords(a)
	case a == nil:
		return "removed" + r.sizeWords(b)
	case (b.tree == "") != (a.tree == ""):
		return "a folder " + map[bool]string{true: "becomes a file", false: "stands for the file"}[a.tree == ""]
	case a.tree != b.tree:
		return "files of the folder differ, " + shortHash(b.tree) + " → " + shortHash(a.tree)
	case a.digest == b.digest:
		return modeWords(b, a)
	case a.mode != b.mode:
		return r.contentWords(b, a) + ", " + modeWords(b, a)
	default:
		return r.contentWords(b, a)
	}
}

func modeWords(b, a *file) string { return fmt.Sprintf("mode %04o → %04o", b.mode, a.mode) }

// sizeWords says how much is in a file, after a comma; "" where that is not known.
func (r Report) sizeWords(f *file) string {
	if f.tree != "" {
		return ", a folder, " + shortHash(f.tree)
	}
	content, known := r.content(f)
	switch {
	case !known:
		return ""
	case !isText(content):
		return ", binary, " + Count(len(content), "byte")
	case len(content) > maxCompared:
		return ", " + Count(len(content), "byte")
	}
	return ", " + Count(countLines(content), "line")
}

// contentWords says how the content of a file differs.
func (r Report) contentWords(b, a *file) string {
	before, knownBefore := r.content(b)
	after, knownAfter := r.content(a)
	sizes := fmt.Sprintf("%d → %s", len(before), Count(len(after), "byte"))
	switch {
	case !knownAfter:
		return "changed; what is in it is not known here"
	case !knownBefore:
		return "changed" + r.sizeWords(a) + "; what was in it is no longer known here"
	case !isText(before) || !isText(after):
		return "binary, " + sizes
	case max(len(before), len(after)) > maxCompared:
		return "changed, " + sizes
	}
	return countEdits(before, after).String()
}

// content is what is in a file, as far as that is known.
func (r Report) content(f *file) ([]byte, bool) {
	if f == nil || f.digest == "" || r.Content == nil {
		return nil, false
	}
	return r.Content(f.digest)
}

// isText reports whether a content is shown as lines.
func isText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

// countLines counts what is before each line break, and what is after the last.
func countLines(b []byte) int {
	n := bytes.Count(b, []byte("\n"))
	if len(b) > 0 && b[len(b)-1] != '\n' {
		n++
	}
	return n
}

// edits says how many lines of a text are other ones, are new and are gone.
type edits struct{ changed, added, removed int }

// countEdits compares two texts. Lines that stand in the place of others are
// changed ones.
func countEdits(before, after []byte) edits {
	var e edits
	for _, h := range hunks(string(before), string(after)) {
		both := min(h.removed, h.added)
		e.changed += both
		e.added += h.added - both
		e.removed += h.removed - both
	}
	return e
}

// String is as in "3 lines changed, 1 added".
func (e edits) String() string {
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{{e.changed, "changed"}, {e.added, "added"}, {e.removed, "removed"}} {
		switch {
		case c.n == 0:
		case len(parts) == 0:
			parts = append(parts, Count(c.n, "line")+" "+c.word)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	return strings.Join(parts, ", ")
}

// filledPlan is the plan with the files that differ.
func (r Report) filledPlan() plan.Plan {
	p := r.Plan
	p.Changes = slices.Clone(p.Changes)
	for i, c := range p.Changes {
		p.Changes[i].Files = r.fileForms(c)
	}
	return p
}

// filesIn are the files that a change leaves other than they were.
func (r Report) filesIn(c plan.Change) []fileChange {
	before, after := plan.SpecTrees(c.Before, c.After)
	if after == nil {
		return nil
	}
	return splitFiles(before, after)
}

// fileLines are they, a line each, each behind a line break.
func (r Report) fileLines(c plan.Change) string {
	var b strings.Builder
	for _, f := range r.filesIn(c) {
		b.WriteString("\n" + strings.ReplaceAll(f.one().name, "\n", " ") + ": " + r.fileWords(f))
	}
	return b.String()
}

// fileForms are the files that differ in the form that the JSON views have.
func (r Report) fileForms(c plan.Change) []plan.FileChange {
	var out []plan.FileChange
	for _, f := range r.filesIn(c) {
		form := plan.FileChange{Path: f.one().path, Action: plan.ActionUpdate, Text: r.fileWords(f)}
		switch {
		case f.before == nil:
			form.Action = plan.ActionCreate
		case f.after == nil:
			form.Action = plan.ActionDelete
		}
		out = append(out, form)
	}
	return out
}
