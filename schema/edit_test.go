// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func setVar(name, value string) Edit {
	return Edit{Op: EditSet, Path: []string{"spec", "vars", name}, Value: EditText(value)}
}

func setSecret(name, secret string) Edit {
	return Edit{Op: EditSet, Path: []string{"spec", "vars", name}, Value: EditRef("secret", secret)}
}

func unsetVar(name string) Edit { return Edit{Op: EditUnset, Path: []string{"spec", "vars", name}} }

func addEnable(entry string) Edit {
	return Edit{Op: EditAppend, Path: []string{"spec", "enable"}, Value: EditText(entry)}
}

func dropEnable(i int) Edit { return Edit{Op: EditDrop, Path: []string{"spec", "enable"}, Item: i} }

func TestEditFile(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		edit      Edit
		want      string
	}{
		{
			"append to a list",
			"kind: Workspace # w\nspec:\n  enable:\n    # first\n    - a   # of a\n\n  # vars\n  vars: {}\n", addEnable("b as c"),
			"kind: Workspace # w\nspec:\n  enable:\n    # first\n    - a   # of a\n    - b as c\n\n  # vars\n  vars: {}\n",
		},
		{
			"append to a list without indentation",
			"spec:\n  enable:\n  - a\n  - 'b'\n  vars:\n    A: x\n", addEnable("c"),
			"spec:\n  enable:\n  - a\n  - 'b'\n  - c\n  vars:\n    A: x\n",
		},
		{
			"append behind an item of several lines",
			"spec:\n  enable:\n  - a\n    as b # that\n  - >-\n    c\n    as d\n\n  # x\n", addEnable("e"),
			"spec:\n  enable:\n  - a\n    as b # that\n  - >-\n    c\n    as d\n  - e\n\n  # x\n",
		},
		{
			"append at the end of a file without a line break",
			"spec:\n  enable:\n    - a", addEnable("b"),
			"spec:\n  enable:\n    - a\n    - b",
		},
		{
			"append in brackets",
			"spec: {enable: [ a, 'b' ], vars: {A: x}} # s\n", addEnable("c"),
			"spec: {enable: [ a, 'b', c ], vars: {A: x}} # s\n",
		},
		{
			"append in brackets without blanks",
			"spec: {enable: [a,b]}\n", addEnable("c as d"),
			"spec: {enable: [a,b,c as d]}\n",
		},
		{
			"append in brackets that end with a comma",
			"spec:\n  enable: [a, b, ]\n", addEnable("c"),
			"spec:\n  enable: [a, b, c, ]\n",
		},
		{
			"append in brackets of several lines",
			"spec:\n  enable: [\n    a, # of a\n    b  # of b\n  ]\n", addEnable("c"),
			"spec:\n  enable: [\n    a, # of a\n    b,  # of b\n    c\n  ]\n",
		},
		{
			"append in brackets of several lines with a comma at the end",
			"spec:\n  enable: [\n    a,\n    b, # of b\n  ]\n", addEnable("c"),
			"spec:\n  enable: [\n    a,\n    b, # of b\n    c,\n  ]\n",
		},
		{
			"append in brackets whose end is on the last line",
			"spec:\n  enable: [a,\n           b]\n", addEnable("c"),
			"spec:\n  enable: [a,\n           b,\n           c]\n",
		},
		{"append to []", "spec:\n  enable: []  # none\n", addEnable("a"), "spec:\n  enable: [a]  # none\n"},
		{"append to nothing", "spec:\n  enable:   # none\n  vars: {}\n", addEnable("a"), "spec:\n  enable:   # none\n    - a\n  vars: {}\n"},
		{"append to null", "spec:\n  enable: null\n", addEnable("a"), "spec:\n  enable: [a]\n"},
		{"append to a list that is missing", "spec:\n  vars:\n    A: x # y\n# end\n", addEnable("a"), "spec:\n  vars:\n    A: x # y\n  enable:\n    - a\n# end\n"},
		{
			"behind the comments of what is before",
			"spec:\n  vars:\n    A: x\n    # of vars\n\n    # too\n  # of spec\n", addEnable("a"),
			"spec:\n  vars:\n    A: x\n    # of vars\n\n    # too\n  enable:\n    - a\n  # of spec\n",
		},
		{"append without a spec", "kind: Workspace\n", addEnable("a"), "kind: Workspace\nspec:\n  enable:\n    - a\n"},
		{"indented by four", "metadata:\n    name: x\nspec:\n    profile: p\n", addEnable("a"), "metadata:\n    name: x\nspec:\n    profile: p\n    enable:\n        - a\n"},
		{"spec in braces", "spec: {profile: p}\n", addEnable("a"), "spec: {profile: p, enable: [a]}\n"},
		{"empty spec in braces", "spec: {}\n", setVar("A", "x"), "spec: {vars: {A: x}}\n"},
		{"empty spec", "spec:\n", setVar("A", "x"), "spec:\n  vars:\n    A: x\n"},
		{"line endings of Windows", "spec:\r\n  enable:\r\n    - a\r\n  vars:\r\n    A: x\r\n", addEnable("b"), "spec:\r\n  enable:\r\n    - a\r\n    - b\r\n  vars:\r\n    A: x\r\n"},
		{"byte order mark", "\ufeffspec:\n  enable:\n    - a\n", addEnable("b"), "\ufeffspec:\n  enable:\n    - a\n    - b\n"},
		{"byte order mark and braces", "\ufeff{spec: {enable: [a]}}\n", addEnable("b"), "\ufeff{spec: {enable: [a, b]}}\n"},
		{"wide characters", "spec: {profile: żółw, enable: [ą, ć]} # ę\n", addEnable("b"), "spec: {profile: żółw, enable: [ą, ć, b]} # ę\n"},
		{"document markers", "# c\n---\nspec:\n  enable:\n    - a\n...\n", addEnable("b"), "# c\n---\nspec:\n  enable:\n    - a\n    - b\n...\n"},

		{
			"drop an item", "spec:\n  enable:\n    - a # of a\n    # of b\n    - b\n    - c\n", dropEnable(1),
			"spec:\n  enable:\n    - a # of a\n    # of b\n    - c\n",
		},
		{"drop the only item", "spec:\n  enable: # e\n    # of a\n    - a\n  vars: {}\n", dropEnable(0), "spec:\n  enable: [] # e\n    # of a\n  vars: {}\n"},
		{"drop the last line", "spec:\n  enable:\n    - a\n    - b", dropEnable(1), "spec:\n  enable:\n    - a"},
		{"drop the last line of Windows", "spec:\r\n  enable:\r\n    - a\r\n    - b", dropEnable(1), "spec:\r\n  enable:\r\n    - a"},
		{"drop an item of several lines", "spec:\n  enable:\n    - a\n      as b\n    - c\n", dropEnable(0), "spec:\n  enable:\n    - c\n"},
		{"drop the first in brackets", "spec: {enable: [a, b, c]}\n", dropEnable(0), "spec: {enable: [b, c]}\n"},
		{"drop the last in brackets", "spec: {enable: [a, b, c]}\n", dropEnable(2), "spec: {enable: [a, b]}\n"},
		{"drop the only one in brackets", "spec: {enable: [a]}\n", dropEnable(0), "spec: {enable: []}\n"},
		{"drop the only one before a comma", "spec: {enable: [a,]}\n", dropEnable(0), "spec: {enable: []}\n"},
		{"drop a line in brackets", "spec:\n  enable: [\n    a, # of a\n    b  # of b\n  ]\n", dropEnable(0), "spec:\n  enable: [\n    b  # of b\n  ]\n"},
		{"drop the last line in brackets", "spec:\n  enable: [\n    a, # of a\n    b  # of b\n  ]\n", dropEnable(1), "spec:\n  enable: [\n    a # of a\n  ]\n"},

		{"set what is new", "spec:\n  vars:\n    A: x\n\n    # of B\n    B: y\n\n  profile: p\n", setVar("C", "z"), "spec:\n  vars:\n    A: x\n\n    # of B\n    B: y\n    C: z\n\n  profile: p\n"},
		{"set what is there", "spec:\n  vars:\n    A:   x   # of A\n    B: y\n", setVar("A", "long text"), "spec:\n  vars:\n    A:   long text   # of A\n    B: y\n"},
		{"quotes stay", "spec:\n  vars:\n    A: \"x\"\n", setVar("A", "say \"hi\"\\"), "spec:\n  vars:\n    A: \"say \\\"hi\\\"\\\\\"\n"},
		{"single quotes stay", "spec:\n  vars:\n    A: 'x'\n", setVar("A", "it's"), "spec:\n  vars:\n    A: 'it''s'\n"},
		{"quotes in quotes", "spec:\n  vars: {A: 'it''s', B: \"\\\"\"} # it's\n", setVar("A", "x"), "spec:\n  vars: {A: 'x', B: \"\\\"\"} # it's\n"},
		{"quotes where they are needed", "spec:\n  vars:\n    A: x\n", setVar("A", "12"), "spec:\n  vars:\n    A: \"12\"\n"},
		{"lines", "spec:\n  vars:\n    A: x\n", setVar("A", "a\nb\t\u0085\U0001f600"), "spec:\n  vars:\n    A: \"a\\nb\\t\\u0085\U0001f600\"\n"},
		{"no norway", "spec:\n  vars:\n    A: x\n", setVar("NO", "no"), "spec:\n  vars:\n    A: x\n    \"NO\": \"no\"\n"},
		{"set an empty one", "spec:\n  vars:\n    A:  # of A\n    B: y\n", setVar("A", "x"), "spec:\n  vars:\n    A: x  # of A\n    B: y\n"},
		{"set to nothing", "spec:\n  vars:\n    A: x\n", setVar("A", ""), "spec:\n  vars:\n    A: \"\"\n"},
		{"text to secret", "spec:\n  vars:\n    A: x # of A\n", setSecret("A", "db-a"), "spec:\n  vars:\n    A: {secret: db-a} # of A\n"},
		{"secret in lines to text", "spec:\n  vars:\n    A:\n      secret: x # of x\n    B: y\n", setVar("A", "z"), "spec:\n  vars:\n    A: z # of x\n    B: y\n"},
		{"lines to text", "spec:\n  vars:\n    A: |\n      one\n      # two\n\n    B: y\n", setVar("A", "z"), "spec:\n  vars:\n    A: z\n\n    B: y\n"},
		{"text in quotes over lines", "spec:\n  vars:\n    A: \"one\n      two\" # x\n    B: y\n", setVar("A", "z"), "spec:\n  vars:\n    A: \"z\" # x\n    B: y\n"},
		{"unset", "spec:\n  vars:\n    A: |\n      one\n      # two\n    # of B\n    B: y\n", unsetVar("A"), "spec:\n  vars:\n    # of B\n    B: y\n"},
		{"unset the only one", "spec:\n  vars: # v\n    A: x\n", unsetVar("A"), "spec:\n  vars: {} # v\n"},
		{"unset in braces", "spec: {vars: {A: x, B: {secret: b}}}\n", unsetVar("B"), "spec: {vars: {A: x}}\n"},
		{"set in braces", "spec: {vars: {A: x, B: {secret: b}}}\n", setVar("B", "a, b"), "spec: {vars: {A: x, B: \"a, b\"}}\n"},
		{"beside what is merged", "x: &c {A: 1}\nspec:\n  vars:\n    <<: *c\n    B: y\n", setVar("A", "z"), "x: &c {A: 1}\nspec:\n  vars:\n    <<: *c\n    B: y\n    A: z\n"},
		{"an own copy of what an alias gives", "x: &c y\nspec:\n  vars:\n    A: x\n    B: *c\n", unsetVar("B"), "x: &c y\nspec:\n  vars:\n    A: x\n"},
		{"quoted keys", "\"spec\":\n  'vars':\n    \"A\" : x\n", setVar("A", "z"), "\"spec\":\n  'vars':\n    \"A\" : z\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := EditFile("workspace.yaml", []byte(tt.src), tt.edit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			again, err := EditFile("workspace.yaml", got, Edit{Op: EditUnset, Path: []string{"spec", "vars", "NOT_THERE"}})
			if err != nil || string(again) != string(got) {
				t.Errorf("nothing to do: got %q, %v", again, err)
			}
		})
	}
}

func TestEditJSON(t *testing.T) {
	const wide = "{\n\t\"kind\": \"Workspace\",\n\t\"spec\": {\n\t\t\"enable\": [\n\t\t\t\"a\",\n\t\t\t\"b\"\n\t\t],\n\t\t\"vars\": {\"A\": \"x\"}\n\t}\n}\n"
	for _, tt := range []struct {
		name, src string
		edit      Edit
		want      string
	}{
		{"append a line", wide, addEnable("c"), strings.Replace(wide, "\"b\"\n", "\"b\",\n\t\t\t\"c\"\n", 1)},
		{"drop the last line", wide, dropEnable(1), strings.Replace(wide, "\"a\",\n\t\t\t\"b\"\n", "\"a\"\n", 1)},
		{"drop the first line", wide, dropEnable(0), strings.Replace(wide, "\t\t\t\"a\",\n", "", 1)},
		{"set inline", wide, setVar("A", "<é>\n\""), strings.Replace(wide, `"x"`, `"<é>\n\""`, 1)},
		{"add inline", wide, setSecret("B", "b"), strings.Replace(wide, `"x"`, `"x", "B": {"secret": "b"}`, 1)},
		{"unset", wide, unsetVar("A"), strings.Replace(wide, `"A": "x"`, "", 1)},
		{
			"expose", wide,
			Edit{Op: EditSet, Path: []string{"spec", "expose", "a", "K"}, Value: EditText("$A")},
			strings.Replace(wide, "{\"A\": \"x\"}\n", "{\"A\": \"x\"},\n\t\t\"expose\": {\"a\": {\"K\": \"$A\"}}\n", 1),
		},
		{"compact", `{"spec":{"enable":["a","b"]}}`, addEnable("c"), `{"spec":{"enable":["a","b","c"]}}`},
		{"empty", `{}`, addEnable("c"), `{"spec": {"enable": ["c"]}}`},
		{"null", `{"spec": null}`, addEnable("c"), `{"spec": {"enable": ["c"]}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := EditFile("workspace.json", []byte(tt.src), tt.edit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// What cannot be edited without touching something else is left alone.
func TestEditByHand(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		edit      Edit
		want      string
	}{
		{"alias", "x: &e [a]\nspec:\n  enable: *e\n", addEnable("b"), "workspace.yaml:3:11: it is a YAML alias"},
		{"what an alias stands for", "x: &e [a]\nspec:\n  enable: &f [a]\n  vars: {A: x}\ny: *f\n", addEnable("b"), "would change something else"},
		{"merged", "x: &c {A: y}\nspec:\n  vars:\n    <<: *c\n", unsetVar("A"), "comes from a map that is merged here"},
		{"no list", "spec:\n  enable: a\n", addEnable("b"), "workspace.yaml:2:11: it is no list"},
		{"no map", "spec:\n  vars: [a]\n", setVar("A", "b"), "workspace.yaml:2:9: it is no map"},
		{"two documents", "spec: {}\n---\nspec: {}\n", addEnable("b"), "second document"},
		{"nothing", "# nothing\n", addEnable("b"), "no map in this file"},
		{"broken", "spec: [\n", addEnable("b"), "cannot parse file"},
		{"dash elsewhere", "spec:\n  enable:\n    -\n      a\n", addEnable("b"), "not on the line of its dash"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := EditFile("workspace.yaml", []byte(tt.src), tt.edit)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, %v; want an error with %q", got, err, tt.want)
			}
			if _, byHand := errors.AsType[*ByHandError](err); err != nil && !byHand && tt.name != "broken" {
				t.Errorf("%v is not a ByHandError", err)
			}
		})
	}
}
