// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"reconcile/reconcile/plan"
)

func TestJSONSchemaOfEveryKind(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			text, err := JSONSchema(kind)
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal(text, &doc); err != nil {
				t.Fatal(err)
			}
			if got := doc["$schema"]; got != "https://json-schema.org/draft/2020-12/schema" {
				t.Errorf("$schema is %v", got)
			}
			if got := doc["title"]; got != string(kind) {
				t.Errorf("title is %v", got)
			}
			if d, _ := doc["description"].(string); !strings.HasPrefix(d, string(kind)+" ") {
				t.Errorf("description is %q", d)
			}
			if doc["additionalProperties"] != false {
				t.Error("unknown fields are allowed")
			}
			eachSchema(doc, func(m map[string]any) {
				if c, ok := m["const"].(map[string]any); ok {
					t.Errorf("an object is a constant: %v", c)
				}
				if d, _ := m["description"].(string); strings.Contains(d, "\n") {
					t.Errorf("a description has the comment's line breaks: %q", d)
				}
			})
			again, err := buildJSONSchema(kind)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(text, again.text) {
				t.Error("made twice, the bytes differ")
			}
		})
	}
	if _, err := JSONSchema("Nothing"); err == nil {
		t.Error("an unknown kind has a schema")
	}
}

// What editors and the explainer get out of the schemas beyond a verdict.
func TestJSONSchemaForEditors(t *testing.T) {
	tests := []struct {
		kind    Kind
		pointer string // of the schema, and what it must be
		want    string
	}{
		{KindManifest, "properties/profiles/additionalProperties", `{"$ref":"#/$defs/ProfileSource"}`},
		{KindManifest, "$defs/Scalar/type", `["string","number","boolean"]`},
		{KindAgent, "properties/status", `{"type":"object"}`},
		{KindAgent, "properties/apiVersion", `{"enum":["kubetask.io/v1alpha1","kubeopencode.io/v1alpha1"],"type":"string"}`},
		{KindAgent, "$defs/Count/minimum", `0`},
		{KindAgent, "$defs/Count/type", `"integer"`},
	}
	for _, tt := range tests {
		t.Run(string(tt.kind)+" "+tt.pointer, func(t *testing.T) {
			text, err := JSONSchema(tt.kind)
			if err != nil {
				t.Fatal(err)
			}
			var at any
			if err := json.Unmarshal(text, &at); err != nil {
				t.Fatal(err)
			}
			for _, key := range strings.Split(tt.pointer, "/") {
				m, _ := at.(map[string]any)
				at = m[key]
			}
			got, err := json.Marshal(at)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTidySchema(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"default", `{"anyOf":[{"type":"integer","minimum":1},{"const":3}]}`, `{"type":"integer","minimum":1,"default":3}`},
		{"default first", `{"description":"d","anyOf":[{"const":"a"},{"type":"string"}]}`, `{"description":"d","type":"string","default":"a"}`},
		{"a constant of another type is no default", `{"anyOf":[{"type":"boolean"},{"const":0}]}`, `{"anyOf":[{"type":"boolean"},{"const":0}]}`},
		{"a fraction is no integer", `{"anyOf":[{"type":"integer"},{"const":0.5}]}`, `{"anyOf":[{"type":"integer"},{"const":0.5}]}`},
		{"constants", `{"anyOf":[{"const":"a"},{"const":"b"}]}`, `{"type":"string","enum":["a","b"]}`},
		{"constants among others", `{"anyOf":[{"const":0},{"type":"boolean"},{"const":1}]}`, `{"anyOf":[{"type":"boolean"},{"enum":[0,1]}]}`},
		{"types", `{"anyOf":[{"type":"null"},{"type":"string"}]}`, `{"type":["null","string"]}`},
		{"types among others", `{"anyOf":[{"$ref":"#/x"},{"type":"null"},{"type":"string"}]}`, `{"anyOf":[{"type":["null","string"]},{"$ref":"#/x"}]}`},
		{"open struct", `{"const":{}}`, `{"type":"object"}`},
		{"integer range", `{"allOf":[{"type":"number"},{"type":"integer","minimum":0}]}`, `{"type":"integer","minimum":0}`},
		{"a property called anyOf", `{"properties":{"anyOf":{"const":{}},"const":{"type":"string"}}}`, `{"properties":{"anyOf":{"type":"object"},"const":{"type":"string"}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(decodeJSON(t, tt.want), tidySchema(decodeJSON(t, tt.in))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func decodeJSON(t *testing.T, text string) any {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPlanSchemaLists holds the closed lists of the plan's schema to the
// constants that they publish.
func TestPlanSchemaLists(t *testing.T) {
	root := decodeJSON(t, string(PlanJSONSchema())).(map[string]any)
	defs := root["$defs"].(map[string]any)
	described := func(def string) []string {
		var out []string
		for _, branch := range defs[def].(map[string]any)["oneOf"].([]any) {
			out = append(out, branch.(map[string]any)["const"].(string))
		}
		return out
	}
	enum := func(holder any, path ...string) []string {
		for _, p := range path {
			holder = holder.(map[string]any)[p]
		}
		var out []string
		for _, v := range holder.([]any) {
			out = append(out, v.(string))
		}
		return out
	}
	tests := []struct {
		typ string
		got []string
	}{
		{"Code", described("code")},
		{"GrantKind", described("grantKind")},
		{"Kind", enum(defs, "kind", "enum")},
		{"Op", enum(defs, "step", "properties", "op", "enum")},
		{"Action", enum(defs, "change", "properties", "actions", "items", "enum")},
	}
	for _, tt := range tests {
		t.Run(tt.typ, func(t *testing.T) {
			want := constantsOf(t, "../reconcile/plan", tt.typ)
			slices.Sort(tt.got)
			if diff := cmp.Diff(want, tt.got); diff != "" {
				t.Errorf("constants of plan.%s and the schema differ (-want +got)\n%s", tt.typ, diff)
			}
		})
	}
}

// constantsOf returns the values of a package's string constants of one type,
// sorted.
func constantsOf(t *testing.T, dir, typ string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typ {
				return true
			}
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					s, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, s)
				}
			}
			return true
		})
	}
	if len(out) == 0 {
		t.Fatalf("%s has no constants of type %s", dir, typ)
	}
	slices.Sort(out)
	return out
}

// TestPlanSchemaDescribesPlans validates a plan that has something in every
// list, with every object closed: the schema must describe each field.
func TestPlanSchemaDescribesPlans(t *testing.T) {
	id := plan.ID{Kind: plan.Manifest, Name: "web"}
	why := plan.Reason{Code: plan.CodeSpec, Text: "the spec differs", Origin: "web/manifest.json:3:4"}
	change := plan.Change{
		ID: id, Name: "acme-web", Actions: []plan.Action{plan.ActionReplace}, Reasons: []plan.Reason{why},
		Before: json.RawMessage(`{"image":"a"}`), After: json.RawMessage(`{"image":"b"}`), ReplacePaths: []string{"container.image"},
	}
	full := plan.Plan{
		Workspace: "acme", Revision: "0123+dirty",
		Changes: []plan.Change{change, {ID: plan.ID{Kind: plan.Task, Namespace: "ops", Name: "t"}, Actions: []plan.Action{plan.ActionDelete}, Reasons: []plan.Reason{why}}},
		Drift:   []plan.Change{change}, Held: []plan.Change{change},
		Refused: []plan.Reason{{Code: plan.CodeOtherRoot}}, Incomplete: []plan.Reason{{Code: plan.CodePartial, Origin: "-"}},
		Steps: []plan.Step{
			{ID: "prepare:manifest/web", Op: plan.OpPrepare, Target: id},
			{ID: "create:manifest/web", Op: plan.OpCreate, Target: id, After: []string{"prepare:manifest/web"}},
		},
	}
	open := compilePlanSchema(t, false)
	closed := compilePlanSchema(t, true)
	for name, p := range map[string]plan.Plan{"empty": {}, "full": full} {
		text, err := p.JSON(plan.ModeLive, []plan.Diagnostic{{Severity: "error", Summary: "s", File: "f", Line: 1, Column: 2}})
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := closed.Validate(value); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		value.(map[string]any)["added_by_1_1"] = true
		if err := open.Validate(value); err != nil {
			t.Errorf("%s: a field of a later minor version is refused: %v", name, err)
		}
		value.(map[string]any)["format_version"] = "2.0"
		if open.Validate(value) == nil {
			t.Errorf("%s: another major version is accepted", name)
		}
	}
}

func compilePlanSchema(t *testing.T, closed bool) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(PlanJSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	eachSchema(doc, func(m map[string]any) {
		if _, object := m["properties"]; object && closed {
			m["additionalProperties"] = false
		}
	})
	c := jsonschema.NewCompiler()
	if err := c.AddResource("plan.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("plan.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
