// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"reconcile/reconcile/plan"
)

// members returns the members of an object, or those of a list that has some and
// whose members all have a name of their own.
func members(v any) (map[string]any, bool) {
	m, named := plan.Members(v)
	_, isList := v.([]any)
	return m, named && (len(m) > 0 || !isList)
}

// variable returns the text for an environment variable: what it is set to, or
// the secret that it is.
func variable(v any) (text string, ok bool) {
	m, isMap := v.(map[string]any)
	if !isMap || m["name"] == nil {
		return "", false
	}
	if ref, ok := m["secret"].(string); ok {
		return SecretText(ref), true
	}
	value, _ := m["value"].(string)
	return quote(value), true
}

// SecretText names a secret by its reference, for people.
func SecretText(ref string) string {
	kind, name, ok := strings.Cut(ref, ":")
	switch {
	case ok && kind == "secret":
		return "secret " + name
	case ok && kind == "env":
		return "variable " + name + " of the operator"
	case ok && kind == "key":
		return "secret " + name
	case ok && kind == "keys":
		return "each key of secret " + name
	case ok && kind == "doc":
		return "secret " + name + " of the workspace"
	}
	return "secret " + ref
}

// text is a value in one line: a word as it is written, everything else as JSON.
func text(v any) string {
	if s, ok := variable(v); ok {
		return s
	}
	switch v := v.(type) {
	case nil:
		return "(none)"
	case string:
		return quote(v)
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+": "+text(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			parts = append(parts, text(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// quote is a text within double quotes, as JSON has it.
func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil { // there is no text without a JSON form
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// plain is a text as YAML has it: bare where nothing in it means something
// else, with the characters that a terminal acts on in their ASCII form.
func plain(s string) string {
	if s == "" || wordOfYAML(s) || strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_-./@+=:", r))
	}) || strings.ContainsAny(s[:1], "-@:=.+") || numeral(s) || strings.HasSuffix(s, ":") {
		return EscapeJSON(quote(s))
	}
	return s
}

// numeral reports whether a bare s could be a number, a time or a date.
func numeral(s string) bool {
	if s[0] < '0' || s[0] > '9' {
		return false
	}
	_, asFloat := strconv.ParseFloat(s, 64)
	_, asInt := strconv.ParseInt(s, 0, 64)
	return !errors.Is(asFloat, strconv.ErrSyntax) || !errors.Is(asInt, strconv.ErrSyntax) || strings.ContainsAny(s, ":-_")
}

// wordOfYAML reports whether a bare s would not be text.
func wordOfYAML(s string) bool {
	return slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s))
}
