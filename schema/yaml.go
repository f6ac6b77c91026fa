// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// ParseYAML reads the documents of a YAML file. Documents before a syntax
// error are returned with it; a document that breaks a limit is left out.
// Aliases are expanded and merge keys resolved: a map's own key wins over a
// merged one, an earlier merged map over a later one.
func ParseYAML(name string, src []byte) ([]*Node, Diagnostics) {
	docs, ds := parseYAML(name, src)
	nodes := make([]*Node, len(docs))
	for i, d := range docs {
		nodes[i] = d.node
	}
	return nodes, ds
}

func parseYAML(name string, src []byte) ([]parsed, Diagnostics) {
	t, ok := newText(name, src)
	if !ok {
		return nil, t.ds
	}
	if n := countMarks(src); n > maxMarks {
		t.fail(t.at(0), summaryComplex, fmt.Sprintf("the file holds more than %d lines and values", maxMarks), "split it into several files")
		return nil, t.ds
	}
	t.yamlLines()
	loader, err := yaml.NewLoader(bytes.NewReader(src), yaml.WithPlugin(yamlLimits{}))
	if err != nil {
		t.fail(t.at(0), summarySyntax, err.Error(), "")
		return nil, t.ds
	}
	var docs []parsed
	for {
		var n yaml.Node
		if err := loadYAML(loader, &n); err != nil {
			if !errors.Is(err, io.EOF) {
				t.yamlError(err)
			}
			return docs, t.ds
		}
		c := yamlReader{text: t}
		before := len(t.ds)
		if doc := c.node(&n); doc != nil && !c.over {
			docs = append(docs, parsed{doc, len(t.ds) > before})
		}
	}
}

// loadYAML turns a panic of the parser into an error: its input is anybody's.
func loadYAML(l *yaml.Loader, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML parser gave up: %v", r)
		}
	}()
	return l.Load(n)
}

// countMarks bounds the number of values in a file from above, before memory
// is spent on them.
func countMarks(src []byte) int {
	n := 0
	for i, b := range src {
		switch b {
		case ',', '[', '{', '\n':
			n++
		case '-', ':', '?':
			if i+1 == len(src) || src[i+1] == ' ' || src[i+1] == '\t' {
				n++
			}
		}
	}
	return n
}

type yamlLimits struct{}

func (yamlLimits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errTooDeep
	}
	return nil
}

// CheckAlias allows everything: the reader counts expanded nodes itself.
func (yamlLimits) CheckAlias(int, int) error { return nil }

var errTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)

func (t *text) yamlError(err error) {
	pos, msg := t.at(0), err.Error()
	var le *yaml.LoadError
	if errors.As(err, &le) {
		pos, msg = t.pos(le.Mark.Line, le.Mark.Column), le.Message
		if le.ContextMsg != "" && le.ContextMark.Line > 0 {
			msg = fmt.Sprintf("%s that starts on line %d: %s", le.ContextMsg, le.ContextMark.Line, msg)
		}
	}
	if strings.Contains(msg, errTooDeep.Error()) {
		t.fail(pos, summaryComplex, errTooDeep.Error(), "")
		return
	}
	hint := ""
	switch {
	case strings.Contains(msg, "cannot start any token") && t.byteAt(pos) == '\t':
		hint = "indent with spaces; YAML forbids tabs there"
	case strings.Contains(msg, "mapping values are not allowed"):
		hint = "quote values that contain \": \", and check the indentation"
	}
	t.fail(pos, summarySyntax, "YAML: "+msg, hint)
}

func (t *text) byteAt(p Pos) byte {
	if p.Line < 1 || p.Line > len(t.lines) {
		return 0
	}
	if i := t.lines[p.Line-1] + p.Col - 1; i < len(t.src) {
		return t.src[i]
	}
	return 0
}

// yamlReader turns one document into nodes.
type yamlReader struct {
	*text
	nodes, depth int
	over         bool // a limit is broken: stop
}

func (c *yamlReader) at(n *yaml.Node) Pos { return c.pos(n.Line, n.Column) }

// enter counts a value, or a map to merge, against the limits; leave must
// follow when it reports true.
func (c *yamlReader) enter(n *yaml.Node) bool {
	if c.over {
		return false
	}
	c.nodes++
	c.depth++
	switch {
	case c.nodes > maxNodes:
		c.fail(c.at(n), summaryComplex, fmt.Sprintf("the document holds more than %d values once its aliases are expanded", maxNodes), "")
	case c.depth > maxDepth:
		c.fail(c.at(n), summaryComplex, errTooDeep.Error()+", or an alias that contains itself", "")
	default:
		return true
	}
	c.over = true
	return false
}

func (c *yamlReader) leave() { c.depth-- }

func (c *yamlReader) node(n *yaml.Node) *Node {
	if !c.enter(n) {
		return nil
	}
	defer c.leave()
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return &Node{Kind: NodeNull, Pos: c.at(n), Text: "null"}
		}
		return c.node(n.Content[0])
	case yaml.AliasNode:
		return c.node(n.Alias)
	case yaml.SequenceNode:
		out := &Node{Kind: NodeList, Pos: c.at(n), Items: make([]*Node, 0, len(n.Content))}
		for _, x := range n.Content {
			if item := c.node(x); item != nil {
				out.Items = append(out.Items, item)
			}
		}
		return out
	case yaml.MappingNode:
		out := &Node{Kind: NodeMap, Pos: c.at(n), Fields: make([]Field, 0, len(n.Content)/2)}
		c.fields(out, n, nil)
		return out
	case yaml.ScalarNode:
		return c.scalar(n)
	}
	c.fail(c.at(n), summarySyntax, "YAML: unexpected node", "")
	return nil
}

// fields adds the entries of a map, then those of the maps it merges. Keys in
// taken belong to a map that wins over this one; nil when this is that map.
func (c *yamlReader) fields(out *Node, n *yaml.Node, taken map[string]bool) {
	var own map[string]Pos // only for large maps; small ones are searched
	if len(n.Content) > 2*smallMap {
		own = make(map[string]Pos, len(n.Content)/2)
	}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content) && !c.over; i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		k = keyOf(k)
		pos := c.at(k)
		if k.Kind != yaml.ScalarNode {
			c.fail(pos, summarySyntax, "YAML: a map key must be text", "")
			continue
		}
		if first, dup := c.earlier(own, n.Content[:i], k.Value); dup {
			c.duplicate(k.Value, pos, first)
			continue
		}
		if own != nil {
			own[k.Value] = pos
		}
		if k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		if taken[k.Value] {
			continue
		}
		c.checkKey(k.Value, pos)
		if value := c.node(v); value != nil {
			out.Fields = append(out.Fields, Field{Key: k.Value, Pos: pos, Value: value})
		}
	}
	if len(merges) == 0 {
		return
	}
	if taken == nil {
		taken = map[string]bool{}
	}
	for i := 0; i < len(n.Content); i += 2 {
		taken[keyOf(n.Content[i]).Value] = true
	}
	for _, m := range merges {
		c.merge(out, m, taken)
	}
}

const smallMap = 16

// earlier finds a key among those of a map that came before.
func (c *yamlReader) earlier(own map[string]Pos, before []*yaml.Node, key string) (Pos, bool) {
	if own != nil {
		p, ok := own[key]
		return p, ok
	}
	for i := 0; i < len(before); i += 2 {
		if k := keyOf(before[i]); k.Kind == yaml.ScalarNode && k.Value == key {
			return c.at(k), true
		}
	}
	return Pos{}, false
}

// keyOf is the key itself where it is given by an alias.
func keyOf(k *yaml.Node) *yaml.Node {
	if k.Kind == yaml.AliasNode && k.Alias != nil {
		return k.Alias
	}
	return k
}

func (c *yamlReader) merge(out *Node, m *yaml.Node, taken map[string]bool) {
	for m.Kind == yaml.AliasNode {
		m = m.Alias
	}
	sources := []*yaml.Node{m}
	if m.Kind == yaml.SequenceNode {
		sources = m.Content
	}
	for _, x := range sources {
		for x.Kind == yaml.AliasNode {
			x = x.Alias
		}
		if x.Kind != yaml.MappingNode {
			c.fail(c.at(x), summarySyntax, "YAML: << merges maps only", "")
			continue
		}
		if !c.enter(x) {
			return
		}
		c.nodes += len(x.Content) / 2 // also keys that another map has already
		c.fields(out, x, taken)
		c.leave()
		for _, f := range out.Fields {
			taken[f.Key] = true
		}
	}
}

func (c *yamlReader) scalar(n *yaml.Node) *Node {
	out := &Node{Pos: c.at(n), Text: n.Value}
	switch n.ShortTag() {
	case "!!str", "!!timestamp", "!!binary":
		out.Kind = NodeString
	case "!!null":
		out.Kind, out.Text = NodeNull, "null"
	case "!!bool":
		var v bool
		if err := n.Decode(&v); err != nil {
			c.fail(out.Pos, summarySyntax, fmt.Sprintf("YAML: %s is not a boolean", quoteKey(n.Value)), "")
			out.Kind = NodeString
			return out
		}
		out.Kind, out.Text = NodeBool, strconv.FormatBool(v)
	case "!!int":
		out.Kind = NodeInt
		if isJSONInt(n.Value) {
			return c.number(out)
		}
		var v any
		if err := n.Decode(&v); err != nil {
			c.fail(out.Pos, summaryInvalid, fmt.Sprintf("%s is not a whole number that can be used", quoteKey(n.Value)), "")
			out.Kind = NodeString
			return out
		}
		out.Text = fmt.Sprint(v)
		if !isJSONInt(out.Text) { // beyond 64 bits, YAML yields a float
			out.Kind = NodeFloat
		}
		return c.number(out)
	case "!!float":
		out.Kind = NodeFloat
		if isJSONNumber(n.Value) {
			return c.number(out)
		}
		var v float64
		if err := n.Decode(&v); err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			c.fail(out.Pos, summaryInvalid, fmt.Sprintf("%s is not a number that can be used", quoteKey(n.Value)), "quote it if text is meant")
			out.Kind = NodeString
			return out
		}
		out.Text = strconv.FormatFloat(v, 'g', -1, 64)
		return c.number(out)
	default:
		c.fail(out.Pos, summarySyntax, fmt.Sprintf("YAML: unknown tag %s", quoteKey(n.Tag)), "")
		out.Kind = NodeString
	}
	return out
}

// number refuses numbers whose exact value would cost too much to keep. The
// node is text then, so that the document stays whole.
func (t *text) number(n *Node) *Node {
	if n.Kind == NodeInt {
		if len(n.Text) > maxDigits {
			t.fail(n.Pos, summaryInvalid, fmt.Sprintf("the number has more than %d digits", maxDigits), "quote it if text is meant")
			n.Kind = NodeString
		}
		return n
	}
	if _, err := strconv.ParseFloat(n.Text, 64); err != nil || len(n.Text) > 400 {
		t.fail(n.Pos, summaryInvalid, fmt.Sprintf("the number %s is out of range", quoteKey(n.Text)), "quote it if text is meant")
		n.Kind = NodeString
	}
	return n
}

// isJSONInt reports whether s is an integer in JSON's spelling.
func isJSONInt(s string) bool {
	d := strings.TrimPrefix(s, "-")
	if d == "" || len(d) > 1 && d[0] == '0' {
		return false
	}
	return strings.Trim(d, "0123456789") == ""
}

// isJSONNumber reports whether s is a number in JSON's spelling.
func isJSONNumber(s string) bool {
	whole, exp, hasExp := strings.Cut(strings.ToLower(s), "e")
	if hasExp {
		exp = strings.TrimPrefix(strings.TrimPrefix(exp, "-"), "+")
		if exp == "" || strings.Trim(exp, "0123456789") != "" {
			return false
		}
	}
	whole, frac, hasFrac := strings.Cut(whole, ".")
	if hasFrac && (frac == "" || strings.Trim(frac, "0123456789") != "") {
		return false
	}
	return isJSONInt(whole)
}
