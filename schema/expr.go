// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// expr is the value as a CUE expression. It carries no positions: problems are
// located by their path.
func (n *Node) expr() ast.Expr {
	switch n.Kind {
	case NodeMap:
		s := &ast.StructLit{Elts: make([]ast.Decl, 0, len(n.Fields))}
		for _, f := range n.Fields {
			label := &ast.BasicLit{Kind: token.STRING, Value: literal.String.Quote(f.Key)}
			s.Elts = append(s.Elts, &ast.Field{Label: label, Value: f.Value.expr()})
		}
		return s
	case NodeList:
		l := &ast.ListLit{Elts: make([]ast.Expr, 0, len(n.Items))}
		for _, x := range n.Items {
			l.Elts = append(l.Elts, x.expr())
		}
		return l
	case NodeString:
		return &ast.BasicLit{Kind: token.STRING, Value: literal.String.Quote(n.Text)}
	case NodeBool:
		if n.Text == "true" {
			return &ast.BasicLit{Kind: token.TRUE, Value: "true"}
		}
		return &ast.BasicLit{Kind: token.FALSE, Value: "false"}
	case NodeInt, NodeFloat:
		return n.numberExpr()
	}
	return &ast.BasicLit{Kind: token.NULL, Value: "null"}
}

// numberExpr writes a float without a fraction as an integer, which it is for
// JSON Schema as well.
func (n *Node) numberExpr() ast.Expr {
	lit := &ast.BasicLit{Kind: token.INT, Value: n.Text}
	if n.Kind == NodeFloat {
		if v, whole := n.wholeNumber(); whole {
			lit.Value = strconv.FormatInt(v, 10)
		} else {
			f, _ := strconv.ParseFloat(n.Text, 64) // checked when the node was read
			lit.Kind, lit.Value = token.FLOAT, strconv.FormatFloat(f, 'e', -1, 64)
		}
	}
	digits, negative := strings.CutPrefix(lit.Value, "-")
	if !negative {
		return lit
	}
	lit.Value = digits
	return &ast.UnaryExpr{Op: token.SUB, X: lit}
}
