// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"testing"

	"cuelang.org/go/cue"
)

// The fields without effect are listed in the definitions, for editors, and in
// noEffectField, for the warning.
func TestFieldsWithoutEffect(t *testing.T) {
	for _, def := range []string{"#ManifestSource", "#ProfileSource"} {
		fields, err := mustDefinitions().value.LookupPath(cue.ParsePath(def)).Fields(cue.Optional(true))
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for fields.Next() {
			name := fields.Selector().Unquoted()
			anything := fields.Value().IncompleteKind() == cue.TopKind
			if anything {
				count++
			}
			if anything != noEffectField(name) {
				t.Errorf("%s.%s: any value in CUE is %v, without effect in Go is %v", def, name, anything, noEffectField(name))
			}
		}
		if count < 20 {
			t.Errorf("%s has only %d fields without effect", def, count)
		}
	}
}

func TestUnified(t *testing.T) {
	const src = `image: node:20
env: {A: 1, B: null}
ports: 80
install: npm install
webchat: {}
repos: {a: https://example.org/a}
profiles: {default: {env: {A: 2}}, dev: {image: node:22}}
`
	f, ds := DecodeFile("manifest.yaml", []byte(src), Options{Kind: KindManifest, Unified: true})
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	want := `{"env":[{"name":"A","default":"2"},{"name":"B","required":true}],"ports":["80"],"install":["npm install"],"repos":{"a":{"url":"https://example.org/a"}},` +
		`"container":"node:20","profiles":{"default":{"env":[{"name":"A","default":"2"}]},"dev":{"container":"node:22"}}}`
	if got := asJSON(f.Documents[0].Unified); got != want {
		t.Errorf("unified manifest:\n got %s\nwant %s", got, want)
	}
}
