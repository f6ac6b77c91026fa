// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode"

	yaml "go.yaml.in/yaml/v4"
)

// LockChanges are entries of a lock file to set or to remove, by name.
type LockChanges struct {
	Repos    map[string]*LockEntry // nil = remove
	Contexts map[string]*LockEntry
	Images   map[string]string     // full reference → digest; "" = remove
	Hooks    map[string]*HookEntry // nil = remove
	// Approvals are all that is approved, by name; none = remove.
	Approvals map[string][]string
}

// LockEntry is what a lock file says of a ref.
type LockEntry struct {
	URL    string
	Ref    string // "" = the default branch
	Commit string
}

// HookEntry is what a lock file says of a hook on the host.
type HookEntry struct {
	Digest   string
	Commands []string
	Files    map[string]string // digests by name
}

const lockHead = "Written by `reconcile update` and `reconcile approve`. Commit this file: every run uses what it says."

// EditLock returns the lock file old with the changes made; an empty old is no
// file yet. Entries that are not changed keep their comments, new ones are put
// in the order of names, and a file in which nothing changes is returned as it
// is. What is returned is well-formed; old must be.
func EditLock(old []byte, ch LockChanges) ([]byte, error) {
	doc, err := parseLock(old)
	if err != nil {
		return nil, fmt.Errorf("edit lock file: %w", err)
	}
	root := doc.Content[0]
	changed := editRefs(root, "repos", ch.Repos)
	changed = editRefs(root, "contexts", ch.Contexts) || changed
	changed = editDigests(root, "images", ch.Images) || changed
	changed = editHooks(root, ch.Hooks) || changed
	changed = editApprovals(root, ch.Approvals) || changed
	if !changed {
		return old, nil
	}
	root.Style &^= yaml.FlowStyle // one fact a line, which merges
	out, err := yaml.Dump(doc, yaml.WithV4Defaults())
	if err == nil && bytes.ContainsFunc(out, isHidden) { // whoever reviews the file is to see what it says
		out, err = yaml.Dump(doc, yaml.WithV4Defaults(), yaml.WithUnicode(false))
	}
	if err != nil {
		return nil, fmt.Errorf("edit lock file: %w", err)
	}
	if _, ds := DecodeLock(LockFile, out); ds.HasErrors() {
		return nil, fmt.Errorf("edit lock file: it would not be well-formed: %s", ds[0])
	}
	return out, nil
}

// isHidden reports whether r can hide what a text says, as what turns its direction
// does.
func isHidden(r rune) bool {
	return r != '\n' && (!unicode.IsPrint(r) || unicode.Is(unicode.Variation_Selector, r))
}

func parseLock(old []byte) (*yaml.Node, error) {
	if len(bytes.TrimSpace(old)) == 0 {
		root := mapNode()
		root.Content = []*yaml.Node{textNode("apiVersion"), textNode(lockVersion), textNode("kind"), textNode(lockKind)}
		return &yaml.Node{Kind: yaml.DocumentNode, HeadComment: "# " + lockHead, Content: []*yaml.Node{root}}, nil
	}
	if _, ds := DecodeLock(LockFile, old); ds.HasErrors() {
		return nil, errors.New(ds[0].String())
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(old, &doc); err != nil {
		return nil, err
	}
	if hasAlias(&doc) {
		return nil, errors.New("it has YAML aliases; write out what they stand for")
	}
	return &doc, nil
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

func editRefs(root *yaml.Node, section string, entries map[string]*LockEntry) bool {
	changed := false
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		if e == nil {
			changed = removeEntry(root, section, name) || changed
			continue
		}
		at := entryOf(sectionOf(root, section), name, mapNode)
		for _, f := range []struct{ key, value string }{{"url", e.URL}, {"ref", e.Ref}, {"commit", e.Commit}} {
			changed = setField(at, f.key, f.value) || changed
		}
	}
	return changed
}

func editDigests(root *yaml.Node, section string, digests map[string]string) bool {
	changed := false
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		digest := digests[name]
		if digest == "" {
			changed = removeEntry(root, section, name) || changed
			continue
		}
		at := entryOf(sectionOf(root, section), name, noText)
		changed = setText(at, digest) || changed
	}
	return changed
}

// editHooks sets what hooks are; commands and files that stay keep their
// comments.
func editHooks(root *yaml.Node, hooks map[string]*HookEntry) bool {
	const section = "hooks"
	changed := false
	for _, name := range slices.Sorted(maps.Keys(hooks)) {
		h := hooks[name]
		if h == nil {
			changed = removeEntry(root, section, name) || changed
			continue
		}
		at := entryOf(sectionOf(root, section), name, mapNode)
		if at.Kind != yaml.MappingNode { // of the digest alone
			*at = *mapNode()
		}
		changed = h.edit(at) || changed
	}
	return changed
}

func (h *HookEntry) edit(at *yaml.Node) bool {
	order, changed := []string{"digest", "commands", "files"}, false
	if digest := fieldOf(at, order, "digest", noText); setText(digest, h.Digest) {
		changed = true
	}
	if setList(fieldOf(at, order, "commands", listNode), h.Commands) {
		changed = true
	}
	if len(h.Files) == 0 {
		return remove(at, "files") || changed
	}
	files := fieldOf(at, order, "files", mapNode)
	for i := 0; i+1 < len(files.Content); i += 2 {
		if name := files.Content[i].Value; h.Files[name] == "" {
			remove(files, name)
			changed, i = true, i-2
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Files)) {
		if setText(entryOf(files, name, noText), h.Files[name]) {
			changed = true
		}
	}
	return changed
}

// editApprovals sets lists, sorted; lines that stay keep their comments.
func editApprovals(root *yaml.Node, approvals map[string][]string) bool {
	const section = "approvals"
	changed := false
	for _, name := range slices.Sorted(maps.Keys(approvals)) {
		keys := slices.Compact(slices.Sorted(slices.Values(approvals[name])))
		if len(keys) == 0 {
			changed = removeEntry(root, section, name) || changed
			continue
		}
		at := entryOf(sectionOf(root, section), name, listNode)
		if setList(at, keys) {
			changed = true
		}
	}
	return changed
}

// setList makes n a list of texts and reports whether it was another.
func setList(n *yaml.Node, keys []string) bool {
	if n.Kind != yaml.SequenceNode {
		*n = *listNode()
	}
	before, same := map[string]*yaml.Node{}, len(n.Content) == len(keys)
	for i, item := range n.Content {
		before[item.Value] = item
		same = same && keys[i] == item.Value
	}
	if same {
		return false
	}
	n.Content = nil
	for _, key := range keys {
		item := before[key]
		if item == nil {
			item = textNode(key)
		}
		delete(before, key) // what is there twice has its comments once
		n.Content = append(n.Content, item)
	}
	return true
}

// sectionOf returns a section of the file, and makes it when it is missing.
func sectionOf(root *yaml.Node, section string) *yaml.Node {
	return fieldOf(root, []string{"apiVersion", "kind", "repos", "contexts", "images", "hooks", "approvals"}, section, mapNode)
}

// fieldOf returns a field of a map whose fields have an order, and makes it, or
// makes it anew when it is empty.
func fieldOf(at *yaml.Node, order []string, key string, fresh func() *yaml.Node) *yaml.Node {
	v := valueOf(at, key)
	if v == nil {
		v = fresh()
		insertOrdered(at, order, key, v)
	}
	if empty := fresh(); v.Kind != empty.Kind {
		*v = *empty
	}
	v.Style &^= yaml.FlowStyle
	return v
}

// entryOf returns an entry of a section, and makes it when it is missing.
func entryOf(section *yaml.Node, name string, fresh func() *yaml.Node) *yaml.Node {
	e := valueOf(section, name)
	if e == nil {
		e = fresh()
		insert(section, name, e, func(key string) bool { return key > name })
	}
	e.Style &^= yaml.FlowStyle
	return e
}

// setField sets a field of an entry, or removes it when value is empty. New
// fields come in the order in which they are set.
func setField(e *yaml.Node, key, value string) bool {
	v := valueOf(e, key)
	switch {
	case value == "" && v == nil:
		return false
	case value == "":
		return remove(e, key)
	case v != nil:
		return setText(v, value)
	}
	insertOrdered(e, []string{"url", "ref", "commit"}, key, textNode(value))
	return true
}

// setText sets a text and reports whether it was another.
func setText(n *yaml.Node, value string) bool {
	if n.Kind == yaml.ScalarNode && n.Value == value {
		return false
	}
	n.Kind, n.Tag, n.Value, n.Style, n.Content, n.Alias = yaml.ScalarNode, "!!str", value, 0, nil, nil
	return true
}

// removeEntry removes an entry, and its section when nothing else is in it.
func removeEntry(root *yaml.Node, section, name string) bool {
	s := valueOf(root, section)
	if s == nil || !remove(s, name) {
		return false
	}
	if len(s.Content) == 0 {
		remove(root, section)
	}
	return true
}

// valueOf returns the value of a key of a map, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// insertOrdered adds an entry to a map whose keys have an order.
func insertOrdered(n *yaml.Node, order []string, key string, value *yaml.Node) {
	insert(n, key, value, func(other string) bool { return slices.Index(order, other) > slices.Index(order, key) })
}

// insert adds an entry to a map, before the first key that comes after it.
func insert(n *yaml.Node, key string, value *yaml.Node, after func(key string) bool) {
	at := len(n.Content)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if after(n.Content[i].Value) {
			at = i
			break
		}
	}
	n.Content = slices.Insert(n.Content, at, textNode(key), value)
}

func remove(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return true
		}
	}
	return false
}

func mapNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

func listNode() *yaml.Node { return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"} }

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func noText() *yaml.Node { return textNode("") }
