// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// expectation says what would have been accepted.
func (e *explainer) expectation(v *jsonschema.ValidationError) string {
	switch k := v.ErrorKind.(type) {
	case *kind.Enum:
		return fmt.Sprintf("%s is not one of %s", showValue(k.Got), showValues(k.Want))
	case *kind.Const:
		return fmt.Sprintf("%s is not %s", showValue(k.Got), showValue(k.Want))
	case *kind.Pattern:
		if strings.HasSuffix(v.SchemaURL, "/EnvText") {
			name, _, _ := strings.Cut(k.Got, "=") // the value may be a secret
			return fmt.Sprintf("%s cannot name an environment variable", quoteKey(name))
		}
		if text := e.description(v.SchemaURL); text != "" {
			return fmt.Sprintf("%s is not %s", quoteKey(k.Got), afterIs(text))
		}
		return fmt.Sprintf("%s does not match %s", quoteKey(k.Got), k.Want)
	case *kind.Maximum:
		if text := e.description(v.SchemaURL); text != "" {
			return "must be " + afterIs(text)
		}
		return "must be at most " + k.Want.RatString()
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "must be more than " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "must be less than " + k.Want.RatString()
	}
	return v.ErrorKind.LocalizedString(message.NewPrinter(language.English))
}

// at is the schema at a URL's fragment, a JSON pointer.
func (e *explainer) at(schemaURL string) map[string]any {
	_, fragment, _ := strings.Cut(schemaURL, "#")
	fragment, _ = url.PathUnescape(fragment)
	cur := e.schema
	for token := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		if token == "" {
			continue
		}
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch c := cur.(type) {
		case map[string]any:
			cur = c[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i >= len(c) {
				return nil
			}
			cur = c[i]
		}
	}
	m, _ := cur.(map[string]any)
	return m
}

// properties lists the fields of a map's schema that have a meaning here.
func (e *explainer) properties(schemaURL string) []string {
	props, _ := e.at(schemaURL)["properties"].(map[string]any)
	var names []string
	for name, s := range props {
		if noEffectField(name) && acceptsAnything(s) {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func acceptsAnything(schema any) bool {
	m, ok := schema.(map[string]any)
	if !ok {
		return schema == true
	}
	_, described := m["description"]
	return len(m) == 0 || described && len(m) == 1
}

// description is the text of a schema, or of what it refers to.
func (e *explainer) description(schemaURL string) string {
	m := e.at(schemaURL)
	text, _ := m["description"].(string)
	if ref, _ := m["$ref"].(string); text == "" && ref != "" {
		text, _ = e.at(ref)["description"].(string)
		text = afterIs(text)
	}
	text, _, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, ". ")
	return strings.TrimSuffix(text, ".")
}

// afterIs is "a DNS label: …" of "Name is a DNS label: …".
func afterIs(text string) string {
	if _, rest, ok := strings.Cut(text, " is "); ok {
		return strings.TrimSuffix(rest, ".")
	}
	return strings.TrimSuffix(text, ".")
}

// wanted lists JSON Schema types in words.
func wanted(types []string) string {
	var words []string
	for _, t := range types {
		word := map[string]string{
			"string": "text", "number": "a number", "integer": "a whole number", "boolean": "a boolean",
			"array": "a list", "object": "a map", "null": "null",
		}[t]
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
	return strings.Join(words, "")
}

func showValue(v any) string {
	if s, ok := v.(string); ok {
		return quoteKey(s)
	}
	return fmt.Sprint(v)
}

func showValues(vs []any) string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = fmt.Sprint(v)
	}
	return strings.Join(out, ", ")
}
