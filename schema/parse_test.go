// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func asJSON(n *Node) string { return string(n.appendJSON(nil)) }

func TestParseYAML(t *testing.T) {
	tests := []struct {
		name, src string
		want      []string
	}{
		{"documents", "a: 1\n---\nb: 2\n--- \n...\n", []string{`{"a":1}`, `{"b":2}`, `null`}},
		{
			"scalars", "[yes, on, NO, true, ~, null, '', 0777, 0o17, 0x1F, 1e3, .5, 1_000, 2024-01-02, +5, -0.0]",
			[]string{`["yes","on","NO",true,null,null,"",511,15,31,1e3,0.5,1000,"2024-01-02",5,-0.0]`},
		},
		{
			"large numbers keep their digits", "[12345678901234567890, 1.50, 0.1000000000000000055]",
			[]string{`[12345678901234567890,1.50,0.1000000000000000055]`},
		},
		{"keys", "{1: a, yes: b, n: c, ~: d}", []string{`{"1":"a","yes":"b","n":"c","~":"d"}`}},
		{
			"own key wins over merged", "x: &x {a: 1, b: 2}\ny: {a: 9, <<: *x}\nz: {<<: *x, a: 9}\n",
			[]string{`{"x":{"a":1,"b":2},"y":{"a":9,"b":2},"z":{"a":9,"b":2}}`},
		},
		{
			"earlier merged map wins", "x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y], c: 3}\n",
			[]string{`{"x":{"a":1},"y":{"a":2,"b":2},"z":{"c":3,"a":1,"b":2}}`},
		},
		{
			"merged merges", "x: &x {a: 1, b: 1}\ny: &y {<<: *x, b: 2}\nz: {<<: *y}\n",
			[]string{`{"x":{"a":1,"b":1},"y":{"b":2,"a":1},"z":{"b":2,"a":1}}`},
		},
		{"quoted << is a key", `{"<<": {a: 1}}`, []string{`{"<<":{"a":1}}`}},
		{"byte order mark", "\ufeffa: 1\n", []string{`{"a":1}`}},
		{"line ends", "a: 1\r\nb: |\r\n  x\r\n", []string{`{"a":1,"b":"x\n"}`}},
		{"block text", "a: |\n  x\n  y\nb: >-\n  x\n  y\n", []string{`{"a":"x\ny\n","b":"x y"}`}},
		{"nothing", "# comment\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs, ds := ParseYAML("a.yaml", []byte(tt.src))
			if len(ds) > 0 {
				t.Fatal(ds)
			}
			var got []string
			for _, d := range docs {
				got = append(got, asJSON(d))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPositions(t *testing.T) {
	yamlSrc := "größe: x\n\"ö\": [é, b]\nc:\n  - d: 1\n"
	docs, ds := ParseYAML("a.yaml", []byte(yamlSrc))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	d := docs[0]
	jsonDoc, ds := ParseJSON("a.json", []byte("{\"größe\": \"x\",\n \"ö\": [\"é\", \"b\"]}"))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	for _, tt := range []struct {
		name string
		got  Pos
		want string
	}{
		{"first value", d.Fields[0].Value.Pos, "a.yaml:1:10"},
		{"second key", d.Fields[1].Pos, "a.yaml:2:1"},
		{"list", d.Fields[1].Value.Pos, "a.yaml:2:7"},
		{"after two bytes", d.Fields[1].Value.Items[1].Pos, "a.yaml:2:12"},
		{"nested key", d.Fields[2].Value.Items[0].Fields[0].Pos, "a.yaml:4:5"},
		{"nested value", d.Fields[2].Value.Items[0].Fields[0].Value.Pos, "a.yaml:4:8"},
		{"json value", jsonDoc.Fields[0].Value.Pos, "a.json:1:13"},
		{"json key", jsonDoc.Fields[1].Pos, "a.json:2:2"},
		{"json item", jsonDoc.Fields[1].Value.Items[1].Pos, "a.json:2:15"},
	} {
		if got := tt.got.String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseJSON(t *testing.T) {
	for _, src := range []string{
		`{}`, `[]`, ` {"a" : [1, -2.5e+3, true, false, null, "x"] } `, `"a\u00e9\ud83d\ude00\/\n"`, "\t1\r\n", `{"a":{"b":{}}}`, `0`, `-0`, `1E5`,
	} {
		n, ds := ParseJSON("a.json", []byte(src))
		if len(ds) > 0 {
			t.Errorf("%s: %v", src, ds)
			continue
		}
		var got, want any
		if err := json.Unmarshal([]byte(asJSON(n)), &got); err != nil {
			t.Errorf("%s became %s: %v", src, asJSON(n), err)
		}
		if err := json.Unmarshal([]byte(src), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", src, diff)
		}
	}
	for _, src := range []string{
		``, ` `, `{`, `[1,]`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `01`, `1.`, `.5`, `+1`, `NaN`, `"\x"`, `"\ud800"`, `"\ud800\u0041"`, "\"a\nb\"", `nul`, `[1 2]`, `1 2`, `//`, `'a'`,
	} {
		if n, ds := ParseJSON("a.json", []byte(src)); !ds.HasErrors() || n != nil {
			t.Errorf("%s: no error", src)
		}
	}
}

// Hostile input must cost neither time nor memory beyond the file's own size.
func TestHostileYAML(t *testing.T) {
	bomb := "laa: &laa [x, x]\n"
	for i := 1; i < 40; i++ {
		bomb += strings.NewReplacer("N", num(i), "P", num(i-1)).Replace("lN: &lN [*lP, *lP]\n")
	}
	merge := "maa: &maa {aaa: 1}\n"
	for i := 1; i < 40; i++ {
		merge += strings.NewReplacer("N", num(i), "P", num(i-1)).Replace("mN: &mN {<<: [*mP, *mP], aN: *mP}\n")
	}
	emptyMerge := "maa: &maa {}\n"
	for i := 1; i < 40; i++ {
		emptyMerge += strings.NewReplacer("N", num(i), "P", num(i-1)).Replace("mN: &mN {<<: [*mP, *mP]}\n")
	}
	for name, src := range map[string]string{
		"alias bomb":        bomb,
		"merge bomb":        merge,
		"empty merge bomb":  emptyMerge,
		"commas":            "[" + strings.Repeat(",", 2<<20) + "]",
		"open brackets":     strings.Repeat("[", 1<<20),
		"open braces":       strings.Repeat("{a: ", 1<<20),
		"indents":           strings.Repeat("- ", 1<<20),
		"question marks":    strings.Repeat("? ", 1<<20),
		"long line":         "é: " + strings.Repeat("[é, é], ", 50_000),
		"cycle":             "&a {b: *a, c: [*a]}",
		"cycle in a merge":  "a: &a\n  <<: *a\n",
		"cycle of merges":   "a: &a {b: &b {<<: *a}, <<: *b}",
		"undefined alias":   "a: *b",
		"alias as key":      "a: &a x\n*a : y\n*a : z\n",
		"large exponent":    "a: 1e99999999999",
		"many digits":       "a: " + strings.Repeat("9", 1<<20),
		"many documents":    strings.Repeat("---\n", 1<<18),
		"directives":        strings.Repeat("%TAG ! x\n", 1000) + "--- a",
		"binary":            "a: !!binary \"????\"",
		"bool with a tag":   "a: !!bool maybe",
		"int with a tag":    "a: !!int x",
		"float with a tag":  "a: !!float x",
		"null with a tag":   "a: !!null x",
		"map with a tag":    "a: !!str {b: c}",
		"merge with a tag":  "!!merge a: {b: c}",
		"set":               "!!set {a, b}",
		"timestamp":         "a: !!timestamp x",
		"only a tag":        "!x",
		"document end":      "...",
		"two empty streams": "---\n---\n...\n",
	} {
		t.Run(name, func(t *testing.T) {
			DecodeFile("manifest.yaml", []byte(src), Options{Kind: KindManifest})
			DecodeFile("a.yaml", []byte(src), Options{})
		})
	}
	if _, ds := ParseYAML("a.yaml", []byte(bomb)); len(ds) != 1 || ds[0].Summary != summaryComplex {
		t.Errorf("alias bomb: %v, want one %q", ds, summaryComplex)
	}
}

func num(i int) string { return string(rune('a'+i/26)) + string(rune('a'+i%26)) }
