// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	yaml "go.yaml.in/yaml/v4"
)

// nest is a value below keys that are new.
type nest struct {
	keys  []string
	value *Node
	list  bool // the value is the one item of a list
}

// block writes a nest of at least one key or a list as lines, indented by col.
func (e *editor) block(n nest, col int) []string {
	indent := strings.Repeat(" ", col)
	switch {
	case len(n.keys) == 0 && n.list:
		return []string{indent + "- " + e.inline(nest{value: n.value}, 0, false)}
	case len(n.keys) == 0:
		return nil
	}
	rest := nest{n.keys[1:], n.value, n.list}
	head := indent + yamlText(n.keys[0], 0, true) + ":"
	if len(rest.keys) == 0 && !n.list {
		return []string{head + " " + e.inline(rest, 0, false)}
	}
	return append([]string{head}, e.block(rest, col+e.step)...)
}

// inline writes a nest as one value on one line. style is that of the text before.
func (e *editor) inline(n nest, style yaml.Style, inFlow bool) string {
	switch {
	case len(n.keys) > 0:
		return "{" + e.entry(n) + "}"
	case n.list:
		return "[" + e.inline(nest{value: n.value}, 0, true) + "]"
	case n.value.Kind != NodeMap:
		return e.scalarText(n.value.Text, style, inFlow)
	}
	var fields []string
	for _, f := range n.value.Fields {
		fields = append(fields, e.entry(nest{keys: []string{f.Key}, value: f.Value}))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// entry writes the first key of a nest with what is below it, on one line.
func (e *editor) entry(n nest) string {
	return e.scalarText(n.keys[0], 0, true) + ": " + e.inline(nest{n.keys[1:], n.value, n.list}, 0, true)
}

func (e *editor) scalarText(s string, style yaml.Style, inFlow bool) string {
	if e.json {
		return jsonText(s)
	}
	return yamlText(s, style, inFlow)
}

func jsonText(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // of a text
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// yamlText writes a text on one line, in the quotes that it had as far as it can
// be.
func yamlText(s string, style yaml.Style, inFlow bool) string {
	odd := strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	switch {
	case odd || style&yaml.DoubleQuotedStyle != 0:
		return doubleQuoted(s)
	case style&yaml.SingleQuotedStyle != 0:
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	case isPlain(s, inFlow):
		return s
	}
	return doubleQuoted(s)
}

func doubleQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isPlain reports whether a printable text can stand without quotes, and is text
// to readers of older YAML too.
func isPlain(s string, inFlow bool) bool {
	switch strings.ToLower(s) {
	case "", "y", "n", "yes", "no", "on", "off", "=", "<<":
		return false
	}
	doc := "- " + s + "\n"
	if inFlow {
		doc = "[" + s + "]\n"
		if strings.ContainsAny(s, ",[]{}") || strings.HasSuffix(s, ":") {
			return false
		}
	}
	loader, err := yaml.NewLoader(strings.NewReader(doc), yaml.WithPlugin(yamlLimits{}))
	if err != nil {
		return false
	}
	var n yaml.Node
	if err := loadYAML(loader, &n); err != nil || n.Kind != yaml.DocumentNode || len(n.Content) != 1 {
		return false
	}
	list := n.Content[0]
	if list.Kind != yaml.SequenceNode || len(list.Content) != 1 {
		return false
	}
	item := list.Content[0]
	return item.Kind == yaml.ScalarNode && item.ShortTag() == "!!str" && item.Style == 0 && item.Anchor == "" && item.Value == s
}

// YAMLText writes a text as YAML on one line, in quotes where it needs them.
func YAMLText(s string) string { return yamlText(s, 0, false) }
