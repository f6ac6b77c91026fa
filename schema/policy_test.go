// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"testing"
)

func TestDecodePolicy(t *testing.T) {
	p, ds := DecodePolicy("host.yaml", []byte("mounts: none\nregistries: [quay.io]\n"))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	if p.Mounts.V != "none" || p.Mounts.Pos != (Pos{"host.yaml", 1, 9}) || len(p.Registries) != 1 {
		t.Errorf("policy %+v", p)
	}
	if p, ds = DecodePolicy("host.yaml", []byte("\n")); len(ds) > 0 || p.Mounts.IsSet() {
		t.Errorf("empty file: %+v %v", p, ds)
	}
	if _, ds = DecodePolicy("host.yaml", []byte("mountz: none\n")); !ds.HasErrors() || ds[0].Pos != (Pos{"host.yaml", 1, 1}) {
		t.Errorf("unknown field: %v", ds)
	}
}

func TestParsePos(t *testing.T) {
	for _, p := range []Pos{{"a.yaml", 1, 2}, {"a:b/c.json", 30, 4}} {
		if got := ParsePos(p.String()); got != p {
			t.Errorf("%s parses to %+v", p, got)
		}
	}
	if got := ParsePos("nowhere"); got != (Pos{File: "nowhere"}) {
		t.Errorf("got %+v", got)
	}
}

func TestSchemaKeyOfEditors(t *testing.T) {
	src := `{"$schema": "./manifest.schema.json", "container": "node:20", "lite-sandbox": true}`
	f, ds := DecodeFile("manifest.json", []byte(src), Options{Kind: KindManifest})
	if ds.HasErrors() || len(f.Documents) != 1 {
		t.Fatal(ds)
	}
	if m := f.Documents[0].Object.(*Manifest); m.Container.V != "node:20" {
		t.Errorf("container %+v", m.Container)
	}
	if _, ds = DecodeFile("manifest.json", []byte(`{"$schema": 1, "container": "a"}`), Options{Kind: KindManifest}); !ds.HasErrors() {
		t.Error("a $schema that is no string is accepted")
	}
}
