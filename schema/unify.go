// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Unifying turns the spellings of a document into the one shape that CUE
// checks and the typed decoders read. What has a wrong shape is left as it is,
// for CUE to refuse; text that should be a number but is not is reported here
// and left out.

// unify returns the unified shape of a document.
func (r *reader) unify(kind Kind, n *Node, profile string) *Node {
	switch kind {
	case KindManifest:
		return r.unifyManifest(n, profile)
	case KindWorkspace:
		return r.unifyWorkspace(n)
	}
	return n
}

// nullMeaning says what null means inside a field.
type nullMeaning int

const (
	nullAbsent  nullMeaning = iota // an entry that is null is absent
	nullEntries                    // entries are the user's, also null ones; inside them null is absent
	nullOpaque                     // everything inside is the user's
)

func nullsIn(field string) nullMeaning {
	switch field {
	case "env", "expose", "vars", "repos", "volumes", "data", "binaryData", "stringData", "encryptedData", "files":
		return nullEntries
	case "labels", "annotations", "scheduleInput", "scheduling", "sops", "status":
		return nullOpaque
	}
	return nullAbsent
}

// dropNulls removes the entries of known fields that are null, which means
// absent. Null under an unknown name stays, and is reported as such.
func dropNulls(n *Node, known map[string]bool) *Node {
	switch n.Kind {
	case NodeMap:
		return n.dropNullFields(known)
	case NodeList:
		var items []*Node
		for i, x := range n.Items {
			y := dropNulls(x, known)
			if y != x && items == nil {
				items = slices.Clone(n.Items)
			}
			if items != nil {
				items[i] = y
			}
		}
		if items != nil {
			return &Node{Kind: NodeList, Pos: n.Pos, Items: items}
		}
	}
	return n
}

func (n *Node) dropNullFields(known map[string]bool) *Node {
	var fields []Field // of the copy, once there is a change
	for i, f := range n.Fields {
		v, keep := f.Value, true
		switch meaning := nullsIn(f.Key); {
		case v.Kind == NodeNull && known[f.Key]:
			keep = false
		case meaning == nullAbsent:
			v = dropNulls(v, known)
		case meaning == nullEntries && v.Kind == NodeMap:
			v = v.dropNullsInside(known)
		case meaning == nullEntries:
			v = dropNulls(v, known)
		}
		if f.Key == "profiles" && keep {
			v = v.dropNullEntries()
		}
		if fields == nil && (!keep || v != f.Value) {
			fields = append(make([]Field, 0, len(n.Fields)), n.Fields[:i]...)
		}
		if fields != nil && keep {
			fields = append(fields, Field{Key: f.Key, Pos: f.Pos, Value: v})
		}
	}
	if fields == nil {
		return n
	}
	return &Node{Kind: NodeMap, Pos: n.Pos, Fields: fields}
}

// dropNullsInside drops nulls in the entries' values, never an entry.
func (n *Node) dropNullsInside(known map[string]bool) *Node {
	changed := false
	out := n.mapValues(func(f Field) *Node {
		v := dropNulls(f.Value, known)
		changed = changed || v != f.Value
		return v
	})
	if !changed {
		return n
	}
	return out
}

// dropNullEntries drops every entry that is null.
func (n *Node) dropNullEntries() *Node {
	if !slices.ContainsFunc(n.Fields, func(f Field) bool { return f.Value.Kind == NodeNull }) {
		return n
	}
	return n.mapValues(func(f Field) *Node {
		if f.Value.Kind == NodeNull {
			return nil
		}
		return f.Value
	})
}

// unifyCommands turns one command into a list; blank ones are left out.
func unifyCommands(n *Node) *Node {
	items := []*Node{n}
	switch n.Kind {
	case NodeList:
		items = n.Items
	case NodeString:
	default:
		return n
	}
	out := &Node{Kind: NodeList, Pos: n.Pos}
	for _, x := range items {
		if x.isString() && strings.TrimSpace(x.Text) == "" {
			continue
		}
		out.Items = append(out.Items, x)
	}
	return out
}

// unifyRepos turns "URL" into {url: "URL"} and {name: N} credentials into N.
func unifyRepos(n *Node) *Node {
	return n.mapValues(func(f Field) *Node {
		if f.Value.isString() {
			return &Node{Kind: NodeMap, Pos: f.Value.Pos, Fields: []Field{{Key: "url", Pos: f.Value.Pos, Value: f.Value}}}
		}
		ref := f.Value.field("secretRef")
		if ref == nil || ref.Kind != NodeMap || len(ref.Fields) != 1 || ref.Fields[0].Key != "name" {
			return f.Value
		}
		return f.Value.withField(Field{Key: "secretRef", Pos: ref.Pos, Value: ref.Fields[0].Value})
	})
}

// refused stands for a map that is of the unified shape but must not be written
// like that: CUE refuses a list in its place.
func refused(pos Pos) *Node { return &Node{Kind: NodeList, Pos: pos} }

// unifyText turns numbers and booleans into their text.
func unifyText(n *Node) *Node {
	if n.isScalar() && n.Kind != NodeString {
		return textAt(n.Pos, n.Text)
	}
	return n
}

// bounds say which numbers are taken.
type bounds struct {
	whole bool
	least float64
	zero  bool // which is below least, too
}

func (b bounds) String() string {
	switch {
	case b.whole:
		return fmt.Sprintf("a whole number of at least %v", b.least)
	case b.zero:
		return fmt.Sprintf("0, or at least %v", b.least)
	}
	return fmt.Sprintf("at least %v", b.least)
}

// unifyNumber turns numeric text into a number; other text is reported and
// becomes nil.
func (r *reader) unifyNumber(n *Node, b bounds) *Node {
	if !n.isString() {
		return n
	}
	s := strings.TrimSpace(n.Text)
	out := &Node{Kind: NodeFloat, Pos: n.Pos, Text: s}
	if isJSONInt(s) {
		out.Kind = NodeInt
	}
	_, isWhole := out.wholeNumber()
	switch {
	case !isJSONNumber(s) || len(s) > maxDigits:
		r.fail(n.Pos, summaryInvalid, fmt.Sprintf("%s is not a number", quoteKey(n.Text)), "")
		return nil
	case b.whole && !isWhole:
		r.fail(n.Pos, summaryInvalid, fmt.Sprintf("%s is not a whole number", quoteKey(n.Text)), "")
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < b.least && (v != 0 || !b.zero) {
		r.fail(n.Pos, summaryInvalid, fmt.Sprintf("%s is out of range: %v", quoteKey(n.Text), b), "")
		return nil
	}
	return out
}

// unifySeconds turns a duration such as "10m" into seconds.
func (r *reader) unifySeconds(n *Node) *Node {
	if !n.isString() {
		return n
	}
	if isJSONNumber(strings.TrimSpace(n.Text)) {
		return r.unifyNumber(n, bounds{least: minSeconds})
	}
	d, err := time.ParseDuration(n.Text)
	if err != nil || d <= 0 {
		r.fail(n.Pos, summaryInvalid, fmt.Sprintf("%s is not a duration above 0", quoteKey(n.Text)), durationHint(n.Text))
		return nil
	}
	return &Node{Kind: NodeFloat, Pos: n.Pos, Text: strconv.FormatFloat(d.Seconds(), 'f', -1, 64)}
}
