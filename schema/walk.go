// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Nodes are shared between the forms of a document and never changed in place.

// field is the value of a map's entry, nil when there is none.
func (n *Node) field(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return n.Fields[i].Value
		}
	}
	return nil
}

// isString reports whether n is text.
func (n *Node) isString() bool { return n != nil && n.Kind == NodeString }

// isScalar reports whether n is text, a number or a boolean.
func (n *Node) isScalar() bool {
	return n != nil && (n.Kind == NodeString || n.Kind == NodeInt || n.Kind == NodeFloat || n.Kind == NodeBool)
}

// textAt is a text node at the place of another.
func textAt(pos Pos, s string) *Node { return &Node{Kind: NodeString, Pos: pos, Text: s} }

func boolAt(pos Pos, v bool) *Node {
	return &Node{Kind: NodeBool, Pos: pos, Text: strconv.FormatBool(v)}
}

// withoutSchema leaves out "$schema", by which a JSON file tells an editor what
// to check it with.
func (n *Node) withoutSchema() *Node {
	if v := n.field("$schema"); v == nil || v.Kind != NodeString {
		return n
	}
	out := *n
	out.Fields = slices.DeleteFunc(slices.Clone(n.Fields), func(f Field) bool { return f.Key == "$schema" })
	return &out
}

// withField is a copy of a map with one entry set, in its old place or last.
func (n *Node) withField(f Field) *Node {
	out := *n
	out.Fields = slices.Clone(n.Fields)
	for i := range out.Fields {
		if out.Fields[i].Key == f.Key {
			out.Fields[i] = f
			return &out
		}
	}
	out.Fields = append(out.Fields, f)
	return &out
}

// mapValues is a copy of a map with every value replaced; a nil value removes
// the entry. Other nodes are returned as they are.
func (n *Node) mapValues(f func(Field) *Node) *Node {
	if n == nil || n.Kind != NodeMap {
		return n
	}
	out := &Node{Kind: NodeMap, Pos: n.Pos, Fields: make([]Field, 0, len(n.Fields))}
	for _, e := range n.Fields {
		if v := f(e); v != nil {
			out.Fields = append(out.Fields, Field{Key: e.Key, Pos: e.Pos, Value: v})
		}
	}
	return out
}

// mergeNodes lays over upon base: maps merge key by key, anything else of over
// replaces what base has.
func mergeNodes(base, over *Node) *Node {
	if base == nil || base.Kind != NodeMap || over.Kind != NodeMap {
		return over
	}
	index := make(map[string]int, len(base.Fields))
	out := &Node{Kind: NodeMap, Pos: base.Pos, Fields: slices.Clone(base.Fields)}
	for i, f := range base.Fields {
		index[f.Key] = i
	}
	for _, f := range over.Fields {
		i, both := index[f.Key]
		if !both {
			out.Fields = append(out.Fields, f)
			continue
		}
		out.Fields[i] = Field{Key: f.Key, Pos: f.Pos, Value: mergeNodes(out.Fields[i].Value, f.Value)}
	}
	return out
}

// appendIdentity appends kinds, texts and keys, without positions, so that
// different values have different bytes.
func (n *Node) appendIdentity(b []byte) []byte {
	size := func(tag byte, k int) {
		b = append(strconv.AppendInt(append(b, tag), int64(k), 10), ':')
	}
	switch n.Kind {
	case NodeMap:
		size('{', len(n.Fields))
		for i := range n.Fields {
			size('k', len(n.Fields[i].Key))
			b = append(b, n.Fields[i].Key...)
			b = n.Fields[i].Value.appendIdentity(b)
		}
	case NodeList:
		size('[', len(n.Items))
		for _, x := range n.Items {
			b = x.appendIdentity(b)
		}
	default:
		size(n.Kind[0], len(n.Text))
		b = append(b, n.Text...)
	}
	return b
}

// appendJSON appends n as JSON, numbers verbatim.
func (n *Node) appendJSON(b []byte) []byte {
	switch n.Kind {
	case NodeMap:
		b = append(b, '{')
		for i, f := range n.Fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, f.Key), ':')
			b = f.Value.appendJSON(b)
		}
		return append(b, '}')
	case NodeList:
		b = append(b, '[')
		for i, x := range n.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = x.appendJSON(b)
		}
		return append(b, ']')
	case NodeString:
		return appendJSONString(b, n.Text)
	}
	return append(b, n.Text...)
}

func appendJSONString(b []byte, s string) []byte {
	out := bytes.NewBuffer(b)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // text always has a JSON form
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// describe names a node's type for messages.
func (n *Node) describe() string {
	switch n.Kind {
	case NodeString:
		return "text"
	case NodeFloat:
		if _, whole := n.wholeNumber(); !whole {
			return "a number with a fraction"
		}
		return "a number"
	case NodeInt:
		return "a number"
	case NodeBool:
		return "a boolean"
	case NodeList:
		return "a list"
	case NodeMap:
		return "a map"
	}
	return "null"
}

// pathTo is the path of the first value at pos below n, such as
// spec.env[2].name; ok is false when there is none.
func (n *Node) pathTo(pos Pos) (path string, ok bool) {
	if n.Pos == pos {
		return "", true
	}
	for _, f := range n.Fields {
		if p, found := f.Value.pathTo(pos); found {
			return joinPath(pathKey(f.Key), p), true
		}
		if f.Pos == pos {
			return pathKey(f.Key), true
		}
	}
	for i, x := range n.Items {
		if p, found := x.pathTo(pos); found {
			return joinPath(fmt.Sprintf("[%d]", i), p), true
		}
	}
	return "", false
}

func joinPath(a, b string) string {
	if a == "" || b == "" || strings.HasPrefix(b, "[") {
		return a + b
	}
	return a + "." + b
}

// pathKey is a key as it stands in a path: quoted unless it is a plain word.
func pathKey(key string) string {
	plain := key != "" && strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && r != '/' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
	if plain {
		return key
	}
	return quoteKey(key)
}
