// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	cuejsonschema "cuelang.org/go/encoding/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonSchema is the JSON Schema of one kind. It is immutable and safe for
// concurrent use.
type jsonSchema struct {
	text     []byte
	raw      any // text decoded
	compiled *jsonschema.Schema
}

// jsonSchemas builds the schema of each kind once, when it is first asked for.
var jsonSchemas = func() map[Kind]func() (jsonSchema, error) {
	byKind := map[Kind]func() (jsonSchema, error){}
	for _, k := range []Kind{
		KindManifest, KindWorkspace, KindContext, KindTask, KindAgent, KindCronTask,
		KindConfigMap, KindSecret, KindTaskAgent, KindDaemonAgent,
	} {
		byKind[k] = sync.OnceValues(func() (jsonSchema, error) { return buildJSONSchema(k) })
	}
	return byKind
}()

// JSONSchema returns the JSON Schema (draft 2020-12) of what may be written in
// a file of the kind, for editors. It is generated from the CUE definitions and
// gives the same verdict on shapes; what needs a parser (ports, images, paths,
// durations, enable entries) is text to it. The bytes are indented, end in a
// newline and are the same on every call.
func JSONSchema(kind Kind) ([]byte, error) {
	s, err := lookupJSONSchema(kind)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(s.text), nil
}

// compiledJSONSchema returns the compiled schema of a kind and the decoded
// document it was compiled from, in which a validation error's SchemaURL
// fragment is a JSON pointer. Both are shared and must not be changed.
func compiledJSONSchema(kind Kind) (*jsonschema.Schema, any, error) {
	s, err := lookupJSONSchema(kind)
	return s.compiled, s.raw, err
}

func lookupJSONSchema(kind Kind) (jsonSchema, error) {
	build, ok := jsonSchemas[kind]
	if !ok {
		return jsonSchema{}, fmt.Errorf("no schema for kind %q", kind)
	}
	return build()
}

func buildJSONSchema(kind Kind) (jsonSchema, error) {
	doc, err := generateJSONSchema(kind)
	if err != nil {
		return jsonSchema{}, fmt.Errorf("generate JSON Schema of %s: %w", kind, err)
	}
	s := jsonSchema{text: encodeJSONSchema(doc)}
	if s.raw, err = jsonschema.UnmarshalJSON(bytes.NewReader(s.text)); err != nil {
		return jsonSchema{}, fmt.Errorf("read JSON Schema of %s: %w", kind, err)
	}
	c := jsonschema.NewCompiler()
	id := jsonSchemaID(kind)
	if err := c.AddResource(id, s.raw); err != nil {
		return jsonSchema{}, fmt.Errorf("add JSON Schema of %s: %w", kind, err)
	}
	if s.compiled, err = c.Compile(id); err != nil {
		return jsonSchema{}, fmt.Errorf("compile JSON Schema of %s: %w", kind, err)
	}
	return s, nil
}

func jsonSchemaID(kind Kind) string {
	return "urn:reconcile:schema:" + strings.ToLower(string(kind))
}

func generateJSONSchema(kind Kind) (map[string]any, error) {
	defs, err := loadDefinitions()
	if err != nil {
		return nil, err
	}
	source := defs.sourceName(kind)
	expr, err := cuejsonschema.Generate(defs.value.LookupPath(cue.ParsePath(source)), nil)
	if err != nil {
		return nil, err
	}
	text, err := defs.context.BuildExpr(expr).MarshalJSON()
	if err != nil {
		return nil, err
	}
	var root map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		return nil, err
	}
	root = tidySchema(root).(map[string]any)
	renameDescriptions(root)
	root["$id"] = jsonSchemaID(kind)
	root["title"] = string(kind)
	return root, nil
}

// encodeJSONSchema writes a schema with the keywords that say what it is
// first, the definitions last, and everything else by name.
func encodeJSONSchema(v any) []byte {
	var b bytes.Buffer
	writeSchema(&b, v, "", true)
	b.WriteByte('\n')
	return b.Bytes()
}

// writeSchema writes one value; keywords says whether the keys of a map are
// those of a schema rather than names that the formats chose.
func writeSchema(b *bytes.Buffer, v any, indent string, keywords bool) {
	inner := indent + "  "
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString("{}")
			return
		}
		keys := slices.Sorted(maps.Keys(v))
		if keywords {
			slices.SortStableFunc(keys, func(a, b string) int { return keywordRank(a) - keywordRank(b) })
		}
		open := "{\n"
		for _, k := range keys {
			b.WriteString(open + inner)
			writeScalar(b, k)
			b.WriteString(": ")
			writeSchema(b, v[k], inner, !keywords || !holdsNamed(k))
			open = ",\n"
		}
		b.WriteString("\n" + indent + "}")
	case []any:
		between, end := ", ", "]"
		b.WriteString("[")
		if slices.ContainsFunc(v, isMap) {
			b.WriteString("\n" + inner)
			between, end = ",\n"+inner, "\n"+indent+"]"
		}
		for i, item := range v {
			if i > 0 {
				b.WriteString(between)
			}
			writeSchema(b, item, inner, true)
		}
		b.WriteString(end)
	default:
		writeScalar(b, v)
	}
}

func isMap(v any) bool {
	_, ok := v.(map[string]any)
	return ok
}

// holdsNamed reports whether a keyword's value maps names to schemas.
func holdsNamed(keyword string) bool {
	return keyword == "properties" || keyword == "patternProperties" || keyword == "$defs"
}

func keywordRank(k string) int {
	order := []string{"$schema", "$id", "title", "description", "$ref", "type", "default", "const", "enum", "required"}
	switch i := slices.Index(order, k); {
	case i >= 0:
		return i
	case k == "$defs":
		return len(order) + 1
	default:
		return len(order)
	}
}

// writeScalar writes a string, number, boolean or null. These always encode.
func writeScalar(b *bytes.Buffer, v any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	b.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}
