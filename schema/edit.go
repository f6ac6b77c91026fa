// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Edit is one change of a file.
type Edit struct {
	Op EditOp
	// Path are the keys that lead from the top of the file to a value. Maps that
	// are missing on the way are made.
	Path []string
	// Item is which item of the list at Path goes, from 0; for EditDrop.
	Item int
	// Value is a text, or a map of texts; for EditSet and EditAppend.
	Value *Node
}

// EditOp says what an [Edit] does.
type EditOp string

// The operations.
const (
	EditSet    EditOp = "set"    // the value at Path is Value
	EditUnset  EditOp = "unset"  // there is nothing at Path
	EditAppend EditOp = "append" // the list at Path has Value at its end
	EditDrop   EditOp = "drop"   // the list at Path has one item less
)

// EditText is a text to set or to append.
func EditText(s string) *Node { return &Node{Kind: NodeString, Text: s} }

// EditRef is the map {key: name} to set.
func EditRef(key, name string) *Node {
	return &Node{Kind: NodeMap, Fields: []Field{{Key: key, Value: EditText(name)}}}
}

// ByHandError says that a file cannot be edited without touching more of it than
// what is to change.
type ByHandError struct {
	Pos Pos
	Why string
}

func (e *ByHandError) Error() string { return fmt.Sprintf("%s: %s", e.Pos, e.Why) }

// EditFile returns src, the content of the YAML or JSON file name, with the edits
// made one after the other. Every byte outside of what an edit is about stays:
// comments, order, quotes, line endings. What is there already is returned as it
// is. The result is read again and compared with what it should say: a file that
// cannot be edited that way, such as one where the place is in an alias, is a
// [ByHandError].
func EditFile(name string, src []byte, edits ...Edit) ([]byte, error) {
	for _, ed := range edits {
		out, err := editOnce(name, src, ed)
		if err != nil {
			return nil, err
		}
		src = out
	}
	return src, nil
}

func editOnce(name string, src []byte, ed Edit) ([]byte, error) {
	before, err := oneDocument(name, src)
	if err != nil {
		return nil, err
	}
	want, changes := ed.apply(before, ed.Path)
	if !changes {
		return src, nil
	}
	e, err := newEditor(name, src)
	if err != nil {
		return nil, err
	}
	if err := e.edit(ed); err != nil {
		return nil, err
	}
	out := e.result()
	after, err := oneDocument(name, out)
	if err != nil || !want.same(after) {
		return nil, &ByHandError{Pos{name, 1, 1}, "the change to " + strings.Join(ed.Path, ".") + " would change something else as well"}
	}
	return out, nil
}

// oneDocument reads a file that holds one map.
func oneDocument(name string, src []byte) (*Node, error) {
	docs, ds := parse(name, src)
	for _, d := range ds {
		if d.Severity == Error {
			return nil, errors.New(d.String())
		}
	}
	switch {
	case len(docs) > 1:
		return nil, &ByHandError{docs[1].node.Pos, "there is a second document in this file"}
	case len(docs) == 0 || docs[0].node.Kind != NodeMap:
		return nil, &ByHandError{Pos{name, 1, 1}, "there is no map in this file"}
	}
	return docs[0].node, nil
}

// apply returns what n becomes, and whether that is another value. n itself
// stays.
func (ed Edit) apply(n *Node, path []string) (*Node, bool) {
	if len(path) == 0 {
		return ed.applyHere(n)
	}
	if n == nil || n.Kind == NodeNull {
		if ed.Op == EditUnset || ed.Op == EditDrop {
			return n, false
		}
		n = &Node{Kind: NodeMap}
	}
	i := slices.IndexFunc(n.Fields, func(f Field) bool { return f.Key == path[0] })
	var old *Node
	if i >= 0 {
		old = n.Fields[i].Value
	}
	value, changes := ed.apply(old, path[1:])
	if !changes {
		return n, false
	}
	out := *n
	out.Fields = slices.Clone(n.Fields)
	switch {
	case value == nil:
		out.Fields = slices.Delete(out.Fields, i, i+1)
	case i < 0:
		out.Fields = append(out.Fields, Field{Key: path[0], Value: value})
	default:
		out.Fields[i].Value = value
	}
	return &out, true
}

func (ed Edit) applyHere(n *Node) (*Node, bool) {
	switch ed.Op {
	case EditSet:
		return ed.Value, n == nil || !ed.Value.same(n)
	case EditUnset:
		return nil, n != nil
	case EditAppend:
		out := &Node{Kind: NodeList}
		if n != nil {
			out.Items = slices.Clone(n.Items)
		}
		out.Items = append(out.Items, ed.Value)
		return out, true
	}
	if n == nil || ed.Item < 0 || ed.Item >= len(n.Items) {
		return n, false
	}
	out := *n
	out.Items = slices.Delete(slices.Clone(n.Items), ed.Item, ed.Item+1)
	return &out, true
}

// same reports whether two values are equal, wherever they are. The order of a
// map's keys means nothing.
func (n *Node) same(o *Node) bool {
	if n.Kind != o.Kind || n.Text != o.Text || len(n.Fields) != len(o.Fields) || len(n.Items) != len(o.Items) {
		return false
	}
	for _, f := range n.Fields {
		other := o.field(f.Key)
		if other == nil || !f.Value.same(other) {
			return false
		}
	}
	for i, item := range n.Items {
		if !item.same(o.Items[i]) {
			return false
		}
	}
	return true
}
