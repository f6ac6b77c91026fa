// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// reader collects the problems of one document while its values are read.
type reader struct {
	written *Node   // as in the file; paths in messages are those of this form
	layers  *layers // of a manifest with profiles
	ds      Diagnostics
}

func (r *reader) report(sev Severity, pos Pos, summary, detail, hint string) {
	if path, ok := r.written.pathTo(pos); ok && path != "" {
		detail = path + ": " + detail
	}
	r.ds = append(r.ds, Diagnostic{Severity: sev, Summary: summary, Detail: detail, Hint: hint, Pos: pos})
}

func (r *reader) fail(pos Pos, summary, detail, hint string) {
	r.report(Error, pos, summary, detail, hint)
}

func (r *reader) warn(pos Pos, summary, detail, hint string) {
	r.report(Warning, pos, summary, detail, hint)
}

// cursor reads one value of a document. A cursor on an absent value is valid
// and reads as unset; a value of another type is a problem and reads as unset.
type cursor struct {
	*reader
	n *Node // nil: absent
}

// entry is one field of a map.
type entry struct {
	key Str
	cursor
}

func (c cursor) at(key string) cursor {
	if c.n == nil || c.n.Kind != NodeMap {
		return cursor{c.reader, nil}
	}
	return cursor{c.reader, c.n.field(key)}
}

func (c cursor) set() bool { return c.n != nil }

// is reports whether the value is there with one of the given types.
func (c cursor) is(want string, kinds ...NodeKind) bool {
	if c.n == nil {
		return false
	}
	for _, k := range kinds {
		if c.n.Kind == k {
			return true
		}
	}
	c.wrongType(want)
	return false
}

func (c cursor) wrongType(want string) {
	c.fail(c.n.Pos, summaryWrongType, fmt.Sprintf("expected %s, got %s", want, c.n.describe()), "")
}

// invalid reports the value as unacceptable.
func (c cursor) invalid(detail, hint string) { c.fail(c.n.Pos, summaryInvalid, detail, hint) }

// text reads any text. NUL is refused: no environment, path or argument can
// hold it.
func (c cursor) text() Str {
	if !c.is("text", NodeString) {
		return Str{}
	}
	if strings.ContainsRune(c.n.Text, 0) {
		c.fail(c.n.Pos, summaryControl, "the text contains a NUL character", "")
		return Str{}
	}
	return Str{V: c.n.Text, Pos: c.n.Pos}
}

// word reads text that must not contain control characters.
func (c cursor) word() Str {
	s := c.text()
	if strings.IndexFunc(s.V, isControl) >= 0 {
		c.fail(s.Pos, summaryControl, fmt.Sprintf("%s contains a control character", quoteKey(s.V)), "")
		return Str{}
	}
	return s
}

// filled reads a word that must not be empty.
func (c cursor) filled() Str {
	s := c.word()
	if s.IsSet() && strings.TrimSpace(s.V) == "" {
		c.invalid("must not be empty", "")
		return Str{}
	}
	return s
}

func (c cursor) boolean() Bool {
	if !c.is("a boolean", NodeBool) {
		return Bool{}
	}
	return Bool{V: c.n.Text == "true", Pos: c.n.Pos}
}

func (c cursor) integer() Int {
	if !c.is("a whole number", NodeInt, NodeFloat) {
		return Int{}
	}
	v, ok := c.n.wholeNumber()
	if !ok {
		c.invalid(fmt.Sprintf("%s is not a whole number of at most 64 bits", quoteKey(c.n.Text)), "")
		return Int{}
	}
	return Int{V: v, Pos: c.n.Pos}
}

// count reads a whole number that is not negative. CUE reports negative ones.
func (c cursor) count() Int {
	v := c.integer()
	if v.V < 0 {
		c.invalid("must not be negative", "")
		return Int{}
	}
	return v
}

func (c cursor) number() Float {
	if !c.is("a number", NodeInt, NodeFloat) {
		return Float{}
	}
	v, err := strconv.ParseFloat(c.n.Text, 64)
	if err != nil {
		c.invalid(fmt.Sprintf("%s is out of range", quoteKey(c.n.Text)), "")
		return Float{}
	}
	return Float{V: v, Pos: c.n.Pos}
}

// wholeNumber is the value of an integer, or of a float without a fraction.
func (n *Node) wholeNumber() (int64, bool) {
	switch n.Kind {
	case NodeInt:
		v, err := strconv.ParseInt(n.Text, 10, 64)
		return v, err == nil
	case NodeFloat:
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(n.Text, 64)
	if err != nil || f > 1<<53 || f < -1<<53 || f != float64(int64(f)) {
		return 0, false
	}
	return int64(f), true
}

func (c cursor) items() []cursor {
	if !c.is("a list", NodeList) {
		return nil
	}
	out := make([]cursor, len(c.n.Items))
	for i, x := range c.n.Items {
		out[i] = cursor{c.reader, x}
	}
	return out
}

func (c cursor) entries() []entry {
	if !c.is("a map", NodeMap) {
		return nil
	}
	out := make([]entry, len(c.n.Fields))
	for i, f := range c.n.Fields {
		out[i] = entry{Str{V: f.Key, Pos: f.Pos}, cursor{c.reader, f.Value}}
	}
	return out
}

// texts reads a list of texts; values that are not text are left out.
func (c cursor) texts() []Str {
	var out []Str
	for _, x := range c.items() {
		if s := x.text(); s.IsSet() {
			out = append(out, s)
		}
	}
	return out
}

// argv reads a list of texts without their places.
func (c cursor) argv() []string {
	var out []string
	for _, s := range c.texts() {
		out = append(out, s.V)
	}
	return out
}

// textMap reads a map of texts.
func (c cursor) textMap() map[string]string {
	var out map[string]string
	for _, e := range c.entries() {
		s := e.text()
		if !s.IsSet() {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[e.key.V] = s.V
	}
	return out
}

// meta reads the metadata block.
func (c cursor) meta() Meta {
	m := Meta{
		Name:        c.at("name").word(),
		Namespace:   c.at("namespace").word(),
		Labels:      c.at("labels").textMap(),
		Annotations: c.at("annotations").textMap(),
	}
	if m.Namespace.V == "" {
		m.Namespace.V = "default"
	}
	return m
}
