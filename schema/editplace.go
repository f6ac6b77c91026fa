// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// place is a value of a file with the bytes that it takes up.
type place struct {
	kind  NodeKind
	alias bool // of YAML: what it stands for is elsewhere
	flow  bool // a map or list in brackets
	style yaml.Style

	start, end int // of its text, without comments around it; equal for nothing at all
	col        int // of the keys or dashes of a map or list without brackets, from 0

	entries []entryPlace // of a map
	items   []itemPlace  // of a list
}

type entryPlace struct {
	name       string
	start, end int // of the key
	after      int // behind the colon
	value      place
}

type itemPlace struct {
	dash  int // where its dash is; -1 = it has none, or it is elsewhere
	value place
}

// begin and finish are the bytes of the i-th entry or item, with its key or
// dash.
func (p place) begin(i int) int {
	if p.kind == NodeMap {
		return p.entries[i].start
	}
	if d := p.items[i].dash; d >= 0 {
		return d
	}
	return p.items[i].value.start
}

func (p place) finish(i int) int {
	if p.kind == NodeMap {
		return max(p.entries[i].end, p.entries[i].value.end)
	}
	return p.items[i].value.end
}

func (p place) len() int { return len(p.entries) + len(p.items) }

func (p place) find(name string) int {
	for i, e := range p.entries {
		if e.name == name {
			return i
		}
	}
	return -1
}

// finder finds the bytes of values.
type finder struct {
	t *text
	scanner
}

// placeYAML returns the place of the one document of a file.
func placeYAML(t *text) (place, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(t.src), yaml.WithPlugin(yamlLimits{}))
	if err != nil {
		return place{}, err
	}
	t.yamlLines()
	var doc yaml.Node
	if err := loadYAML(loader, &doc); err != nil {
		return place{}, err
	}
	p := &finder{t, scanner{t.src}}
	n := &doc
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	return p.yaml(n, -1, false), nil
}

// place is where the parser of YAML has found n.
func (p *finder) place(n *yaml.Node) int {
	col := n.Column
	if n.Line == 1 && bytes.HasPrefix(p.src, []byte(byteOrderMark)) {
		col++ // which the parser does not count
	}
	return p.offset(p.t.pos(n.Line, col))
}

func (p *finder) offset(pos Pos) int {
	return min(p.t.lines[pos.Line-1]+pos.Col-1, len(p.src))
}

// yaml finds a value below a map or list whose keys or dashes are in the column
// limit; inFlow: that is in brackets.
func (p *finder) yaml(n *yaml.Node, limit int, inFlow bool) place {
	start := p.place(n)
	out := place{start: start, style: n.Style, flow: n.Style&yaml.FlowStyle != 0}
	body := p.properties(start)
	switch n.Kind {
	case yaml.AliasNode:
		out.alias, out.end = true, p.word(start)
	case yaml.MappingNode:
		out.kind = NodeMap
		p.yamlMap(&out, n, body)
	case yaml.SequenceNode:
		out.kind = NodeList
		p.yamlList(&out, n, body)
	default:
		out.kind = NodeString
		if n.ShortTag() == "!!null" {
			out.kind = NodeNull
		}
		out.end = p.scalar(n.Style, body, limit, inFlow)
	}
	return out
}

func (p *finder) yamlMap(out *place, n *yaml.Node, body int) {
	out.col = p.column(out.start)
	out.end = body
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		e := entryPlace{name: k.Value, start: p.place(k)}
		if i == 0 && !out.flow {
			out.col = p.column(e.start)
		}
		e.end = p.key(k, e.start)
		e.after = e.end
		if c := p.space(e.end); c < len(p.src) && p.src[c] == ':' {
			e.after = c + 1
		}
		if isNothing(v) {
			e.value = place{kind: NodeNull, start: e.after, end: e.after}
		} else {
			e.value = p.yaml(v, out.col, out.flow)
		}
		out.entries = append(out.entries, e)
		out.end = max(e.after, e.value.end)
	}
	if out.flow && p.peek(body) == '{' {
		out.end = p.closing(max(out.end, body+1), '}')
	}
}

// isNothing reports whether a value is nothing at all rather than a null.
func isNothing(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 && n.Anchor == "" && n.ShortTag() == "!!null"
}

func (p *finder) yamlList(out *place, n *yaml.Node, body int) {
	out.col, out.end = p.column(body), body
	for _, x := range n.Content {
		item := itemPlace{dash: -1, value: p.yaml(x, out.col, out.flow)}
		if !out.flow {
			item.dash = p.dashBefore(item.value.start)
		}
		if isNothing(x) {
			item.value = place{kind: NodeNull, start: item.value.start, end: item.value.start}
		}
		out.items = append(out.items, item)
		out.end = max(out.end, item.value.end)
	}
	if out.flow {
		out.end = p.closing(max(out.end, body+1), ']')
	}
}

// key returns the end of a key.
func (p *finder) key(k *yaml.Node, start int) int {
	switch body := p.properties(start); {
	case k.Kind == yaml.AliasNode:
		return p.word(body)
	case k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return p.quoted(body)
	default:
		return min(body+len(k.Value), len(p.src))
	}
}

func (p *finder) scalar(style yaml.Style, body, limit int, inFlow bool) int {
	switch {
	case style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return p.quoted(body)
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return p.block(body, limit)
	case inFlow:
		return p.plainFlow(body)
	}
	return p.plain(body, limit)
}

// placeJSON returns the place of the value of a file that was read as n.
func placeJSON(t *text, n *Node) place {
	return (&finder{t, scanner{t.src}}).json(n)
}

func (p *finder) json(n *Node) place {
	start := p.offset(n.Pos)
	out := place{kind: n.Kind, start: start, end: start, style: yaml.DoubleQuotedStyle}
	switch n.Kind {
	case NodeMap:
		out.flow, out.end = true, start+1
		for _, f := range n.Fields {
			e := entryPlace{name: f.Key, start: p.offset(f.Pos), value: p.json(f.Value)}
			e.end = p.quoted(e.start)
			e.after = e.end + strings.IndexByte(string(p.src[e.end:]), ':') + 1
			out.entries = append(out.entries, e)
			out.end = e.value.end
		}
		out.end = p.closing(out.end, '}')
	case NodeList:
		out.flow, out.end = true, start+1
		for _, x := range n.Items {
			out.items = append(out.items, itemPlace{-1, p.json(x)})
			out.end = out.items[len(out.items)-1].value.end
		}
		out.end = p.closing(out.end, ']')
	case NodeString:
		out.end = p.quoted(start)
	default:
		out.end = p.plainFlow(start)
	}
	return out
}
