// SPDX-License-Identifier: Apache-2.0

package schema

// NodeKind is the shape of a [Node].
type NodeKind string

// The shapes. Int and Float nodes keep the number as text, so that large
// numbers survive.
const (
	NodeNull   NodeKind = "null"
	NodeBool   NodeKind = "bool"
	NodeInt    NodeKind = "int"
	NodeFloat  NodeKind = "float"
	NodeString NodeKind = "string"
	NodeList   NodeKind = "list"
	NodeMap    NodeKind = "map"
)

// Node is one value of a document with its place, whatever syntax it was
// written in: the one form between the decoders of YAML, JSON and CUE and
// everything after them. Duplicate keys, merge keys and aliases are already
// resolved. Its JSON form is what the CUE evaluator's process sends back.
type Node struct {
	Kind   NodeKind `json:"k"`
	Pos    Pos      `json:"p"`
	Text   string   `json:"t,omitempty"` // scalars: true, 42, 1.5 or the string itself
	Fields []Field  `json:"f,omitempty"` // maps, in source order, each key once
	Items  []*Node  `json:"i,omitempty"` // lists
}

// Field is one entry of a map node.
type Field struct {
	Key   string `json:"n"`
	Pos   Pos    `json:"p"` // of the key
	Value *Node  `json:"v"`
}
