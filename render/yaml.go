// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// yamlLines writes a spec as lines of YAML: keys sorted, text of several lines
// as such, so that a difference of two specs is one of a few lines. No line has
// a character that a terminal acts on.
func yamlLines(tree any) []string {
	var y yamlWriter
	switch v := tree.(type) {
	case nil:
		return nil
	case map[string]any:
		y.fields("", "", v)
	default:
		y.add("", plainValue(v))
	}
	return y.lines
}

type yamlWriter struct{ lines []string }

func (y *yamlWriter) add(indent, text string) { y.lines = append(y.lines, indent+text) }

// fields writes an object; first stands before its first key.
func (y *yamlWriter) fields(indent, first string, m map[string]any) {
	for _, k := range keysOf(m) {
		y.value(indent+first, plain(k)+":", m[k])
		if first != "" {
			indent, first = indent+"  ", ""
		}
	}
}

// keysOf are the keys of an object in the order in which a person reads them:
// what it is called, then the rest.
func keysOf(m map[string]any) []string {
	keys := slices.Sorted(maps.Keys(m))
	if i := slices.Index(keys, "name"); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "name")
	}
	return keys
}

// value writes a value behind its key, or behind the dash of a list.
func (y *yamlWriter) value(before, key string, v any) {
	indent := strings.Repeat(" ", len(before))
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			break
		}
		y.add(before, key)
		y.fields(indent+"  ", "", v)
		return
	case []any:
		if len(v) == 0 {
			break
		}
		y.add(before, key)
		for _, e := range v {
			y.element(indent, e)
		}
		return
	case string:
		if block(v) {
			y.block(before, key, v)
			return
		}
	}
	y.add(before, key+" "+plainValue(v))
}

func (y *yamlWriter) block(before, key, text string) {
	indent := strings.Repeat(" ", len(before)+2)
	body, ended := strings.CutSuffix(text, "\n")
	if ended {
		y.add(before, key+" |")
	} else {
		y.add(before, key+" |-")
	}
	for line := range strings.SplitSeq(body, "\n") {
		y.lines = append(y.lines, strings.TrimRight(indent+line, " "))
	}
}

func (y *yamlWriter) element(indent string, e any) {
	if m, ok := e.(map[string]any); ok && len(m) > 0 {
		y.fields(indent, "- ", m)
		return
	}
	y.value(indent, "-", e)
}

func plainValue(v any) string {
	switch v := v.(type) {
	case string:
		return plain(v)
	case map[string]any:
		return "{}"
	case []any:
		return "[]"
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

// block reports whether a text is shown line by line: it has several, none has a
// character that does something or would be a command to a CI runner, and the
// form keeps its spaces and line breaks.
func block(s string) bool {
	body := strings.TrimSuffix(s, "\n")
	if !strings.Contains(body, "\n") || strings.HasSuffix(body, "\n") || strings.ContainsAny(body[:1], " \n") {
		return false
	}
	for line := range strings.SplitSeq(body, "\n") {
		if EscapeLines(line) != line || strings.HasSuffix(line, " ") {
			return false
		}
	}
	return true
}
