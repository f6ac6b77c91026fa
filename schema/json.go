// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ParseJSON reads the one value of a JSON file, strictly: no comments, no
// trailing commas, nothing after the value. A byte order mark is skipped.
// The node is nil when the file cannot be parsed.
func ParseJSON(name string, src []byte) (*Node, Diagnostics) {
	t, ok := newText(name, src)
	if !ok {
		return nil, t.ds
	}
	p := &jsonReader{text: t}
	if strings.HasPrefix(string(src[:min(len(src), 3)]), "\ufeff") {
		p.i = 3
	}
	p.space()
	n := p.value()
	p.space()
	if !p.over && p.i < len(p.src) {
		p.stop(p.i, "unexpected %s after the end of the value", p.next())
	}
	if p.over {
		return nil, t.ds
	}
	return n, t.ds
}

// jsonReader is a recursive descent parser over one file.
type jsonReader struct {
	*text
	i            int
	nodes, depth int
	over         bool // a syntax error or a broken limit: stop
}

func (p *jsonReader) stop(offset int, format string, args ...any) {
	if p.over {
		return
	}
	p.over = true
	hint := ""
	switch p.peek() {
	case '/', '#':
		hint = "JSON has no comments; remove them, or write the file as YAML"
	case '\'':
		hint = "JSON text is written with double quotes"
	}
	p.fail(p.text.at(offset), summarySyntax, "JSON: "+fmt.Sprintf(format, args...), hint)
}

func (p *jsonReader) peek() byte {
	if p.i < len(p.src) {
		return p.src[p.i]
	}
	return 0
}

// next describes what stands at the current offset.
func (p *jsonReader) next() string {
	if p.i >= len(p.src) {
		return "end of file"
	}
	r, _ := utf8.DecodeRune(p.src[p.i:])
	return strconv.QuoteRune(r)
}

func (p *jsonReader) space() {
	for p.i < len(p.src) {
		switch p.src[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *jsonReader) value() *Node {
	if p.over {
		return nil
	}
	start := p.i
	if p.nodes++; p.nodes > maxNodes {
		p.over = true
		p.fail(p.text.at(start), summaryComplex, fmt.Sprintf("the document holds more than %d values", maxNodes), "")
		return nil
	}
	if p.depth++; p.depth > maxDepth {
		p.over = true
		p.fail(p.text.at(start), summaryComplex, errTooDeep.Error(), "")
		return nil
	}
	defer func() { p.depth-- }()
	n := &Node{Pos: p.text.at(start)}
	switch b := p.peek(); {
	case b == '{':
		p.object(n)
	case b == '[':
		p.array(n)
	case b == '"':
		n.Kind, n.Text = NodeString, p.str()
	case b == '-' || b >= '0' && b <= '9':
		return p.numeral(n)
	case b >= 'a' && b <= 'z':
		p.word(n)
	default:
		p.stop(p.i, "expected a value, got %s", p.next())
	}
	if p.over {
		return nil
	}
	return n
}

func (p *jsonReader) object(n *Node) {
	n.Kind = NodeMap
	seen := map[string]Pos{}
	p.i++
	p.space()
	if p.peek() == '}' {
		p.i++
		return
	}
	for !p.over {
		pos := p.text.at(p.i)
		if p.peek() != '"' {
			p.stop(p.i, "expected a field name in double quotes, got %s", p.next())
			return
		}
		key := p.str()
		p.space()
		if p.peek() != ':' {
			p.stop(p.i, "expected ':' after the field name, got %s", p.next())
			return
		}
		p.i++
		p.space()
		v := p.value()
		if p.over {
			return
		}
		p.checkKey(key, pos)
		if first, dup := seen[key]; dup {
			p.duplicate(key, pos, first)
		} else {
			seen[key] = pos
			if v != nil {
				n.Fields = append(n.Fields, Field{Key: key, Pos: pos, Value: v})
			}
		}
		if p.separator('}') {
			return
		}
	}
}

func (p *jsonReader) array(n *Node) {
	n.Kind = NodeList
	n.Items = []*Node{}
	p.i++
	p.space()
	if p.peek() == ']' {
		p.i++
		return
	}
	for !p.over {
		if v := p.value(); v != nil {
			n.Items = append(n.Items, v)
		}
		if p.separator(']') {
			return
		}
	}
}

// separator takes a comma, or the closing bracket and reports true.
func (p *jsonReader) separator(closing byte) bool {
	if p.over {
		return true
	}
	p.space()
	switch p.peek() {
	case closing:
		p.i++
		return true
	case ',':
		p.i++
		p.space()
		if p.peek() == closing {
			p.stop(p.i, "no comma may stand before %q", closing)
		}
		return p.over
	}
	p.stop(p.i, "expected ',' or %q, got %s", closing, p.next())
	return true
}

func (p *jsonReader) word(n *Node) {
	start := p.i
	for p.i < len(p.src) && p.src[p.i] >= 'a' && p.src[p.i] <= 'z' {
		p.i++
	}
	n.Text = string(p.src[start:p.i])
	switch n.Text {
	case "true", "false":
		n.Kind = NodeBool
	case "null":
		n.Kind = NodeNull
	default:
		p.stop(start, "expected a value, got %s", quoteKey(n.Text))
	}
}

func (p *jsonReader) numeral(n *Node) *Node {
	start := p.i
	for p.i < len(p.src) && strings.IndexByte("+-.eE0123456789", p.src[p.i]) >= 0 {
		p.i++
	}
	n.Text = string(p.src[start:p.i])
	switch {
	case isJSONInt(n.Text):
		n.Kind = NodeInt
	case isJSONNumber(n.Text):
		n.Kind = NodeFloat
	default:
		p.stop(start, "%s is not a number", quoteKey(n.Text))
		return nil
	}
	return p.number(n)
}

func (p *jsonReader) str() string {
	start := p.i
	p.i++
	plain := p.i
	for p.i < len(p.src) {
		switch b := p.src[p.i]; {
		case b == '"':
			s := string(p.src[plain:p.i])
			p.i++
			return s
		case b == '\\':
			return p.escaped(start, plain)
		case b < 0x20:
			p.stop(p.i, "text must not contain a raw %s; write it as an escape such as \\n", strconv.QuoteRune(rune(b)))
			return ""
		}
		p.i++
	}
	p.stop(start, "text without a closing quote")
	return ""
}

// escaped continues a string at its first backslash.
func (p *jsonReader) escaped(start, plain int) string {
	var b strings.Builder
	b.Write(p.src[plain:p.i])
	for p.i < len(p.src) {
		c := p.src[p.i]
		switch {
		case c == '"':
			p.i++
			return b.String()
		case c < 0x20:
			p.stop(p.i, "text must not contain a raw %s; write it as an escape such as \\n", strconv.QuoteRune(rune(c)))
			return ""
		case c != '\\':
			b.WriteByte(c)
			p.i++
			continue
		}
		at := p.i
		p.i++
		c = p.peek()
		p.i++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 && c != 0 {
			b.WriteByte("\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			p.i = at
			p.stop(at, "unknown escape in text")
			return ""
		}
		r, ok := p.hex4()
		if ok && utf16.IsSurrogate(r) {
			r, ok = p.lowSurrogate(r)
		}
		if !ok {
			p.i = at
			p.stop(at, "invalid \\u escape in text")
			return ""
		}
		b.WriteRune(r)
	}
	p.i = len(p.src)
	p.stop(start, "text without a closing quote")
	return ""
}

func (p *jsonReader) hex4() (rune, bool) {
	if p.i+4 > len(p.src) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(p.src[p.i:p.i+4]), 16, 32)
	p.i += 4
	return rune(v), err == nil
}

func (p *jsonReader) lowSurrogate(high rune) (rune, bool) {
	if p.i+2 > len(p.src) || p.src[p.i] != '\\' || p.src[p.i+1] != 'u' {
		return 0, false
	}
	p.i += 2
	low, ok := p.hex4()
	r := utf16.DecodeRune(high, low)
	return r, ok && r != utf8.RuneError
}
