// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// placer finds where in the users' files a value was written. Places in our
// own definitions are never returned.
type placer struct {
	dir string // files in this folder are preferred to imported ones
}

func (e *evaluator) placer(p cuePackage) placer { return placer{dir: p.dir} }

// value is the place that gave v its value, or the fallback when no user
// wrote it.
func (p placer) value(v cue.Value, fallback Pos) Pos {
	return p.best(v, fallback, func(n ast.Node) token.Pos {
		if f, ok := n.(*ast.Field); ok && f.Value != nil {
			return f.Value.Pos()
		}
		return n.Pos()
	})
}

// key is the place of the field's label.
func (p placer) key(v cue.Value, fallback Pos) Pos {
	return p.best(v, fallback, func(n ast.Node) token.Pos { return n.Pos() })
}

// best chooses among the places that were unified into v: a concrete value
// beats a constraint, and the package itself beats what it imports.
func (p placer) best(v cue.Value, fallback Pos, at func(ast.Node) token.Pos) Pos {
	best, rank := fallback, 0
	var visit func(v cue.Value, depth int)
	visit = func(v cue.Value, depth int) {
		if op, parts := v.Expr(); op == cue.AndOp && depth < 8 {
			for _, part := range parts {
				visit(part, depth+1)
			}
			return
		}
		source := v.Source()
		if source == nil {
			return
		}
		pos, ok := userPos(at(source))
		if !ok {
			return
		}
		r := 1
		if v.IsConcrete() {
			r += 2
		}
		if p.dir != "" && dirOf(pos.File) == p.dir {
			r++
		}
		if r > rank {
			best, rank = pos, r
		}
	}
	visit(v, 0)
	return best
}

func dirOf(file string) string {
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		return file[:i]
	}
	return "."
}

// userPos converts a position in a user's file.
func userPos(p token.Pos) (Pos, bool) {
	if !p.IsValid() {
		return Pos{}, false
	}
	at := p.Position()
	file := strings.TrimPrefix(at.Filename, "/")
	if file == "" || strings.HasPrefix(file, schemaFolder+"/") {
		return Pos{}, false
	}
	return Pos{File: file, Line: at.Line, Col: at.Column}, true
}

// concrete converts a value. ok is false when it is not concrete or has
// errors; they are then reported.
func (e *evaluator) concrete(p cuePackage, v cue.Value) (node *Node, ok bool) {
	if err := v.Validate(cue.Concrete(true)); err != nil {
		e.report(p, err)
		return nil, false
	}
	node, err := e.placer(p).node(v, Pos{File: p.files[0], Line: 1, Col: 1})
	if err != nil {
		e.report(p, err)
		return nil, false
	}
	return node, true
}

// node converts a concrete value; outer is the place of what holds it.
func (p placer) node(v cue.Value, outer Pos) (*Node, error) {
	v, _ = v.Default()
	n := &Node{Pos: p.value(v, outer)}
	switch v.Kind() {
	case cue.StructKind:
		n.Kind = NodeMap
		return n, p.fields(n, v)
	case cue.ListKind:
		n.Kind = NodeList
		return n, p.items(n, v)
	case cue.StringKind:
		text, err := v.String()
		n.Kind, n.Text = NodeString, text
		return n, err
	case cue.BytesKind:
		return n, p.bytes(n, v)
	case cue.NullKind:
		n.Kind, n.Text = NodeNull, "null"
		return n, nil
	case cue.BoolKind:
		n.Kind = NodeBool
	case cue.IntKind:
		n.Kind = NodeInt
	default:
		n.Kind = NodeFloat
	}
	text, err := v.MarshalJSON()
	n.Text = string(text)
	return n, err
}

func (p placer) fields(n *Node, v cue.Value) error {
	iter, err := v.Fields()
	if err != nil {
		return err
	}
	for iter.Next() {
		value, err := p.node(iter.Value(), n.Pos)
		if err != nil {
			return err
		}
		n.Fields = append(n.Fields, Field{
			Key: iter.Selector().Unquoted(), Pos: p.key(iter.Value(), value.Pos), Value: value,
		})
	}
	return nil
}

func (p placer) items(n *Node, v cue.Value) error {
	iter, err := v.List()
	if err != nil {
		return err
	}
	for iter.Next() {
		item, err := p.node(iter.Value(), n.Pos)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	return nil
}

// bytes become text in base64, as in CUE's own JSON.
func (p placer) bytes(n *Node, v cue.Value) error {
	text, err := v.MarshalJSON()
	if err != nil {
		return err
	}
	n.Kind = NodeString
	return json.Unmarshal(text, &n.Text)
}
