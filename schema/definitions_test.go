// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strings"
	"testing"
)

func TestSourceNames(t *testing.T) {
	for _, k := range Kinds() {
		want := "#" + string(k)
		if k == KindManifest || k == KindWorkspace {
			want += "Source"
		}
		if got := mustDefinitions().sourceName(k); got != want {
			t.Errorf("%s is written as %s, want %s", k, got, want)
		}
	}
}

// The environment variable CUE_DEBUG=opendef switches closedness off in CUE.
func TestEnvironmentCannotOpenDefinitions(t *testing.T) {
	t.Setenv("CUE_DEBUG", "opendef")
	d, err := compileDefinitions()
	if err != nil {
		t.Fatal(err)
	}
	docs, ds := ParseYAML("manifest.yaml", []byte("container: x\nunknown: y\n"))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	got := d.check(KindManifest, docs[0], nil)
	if len(got) != 1 || !strings.Contains(got[0].Detail, "not allowed") {
		t.Errorf("unknown field: %v, want one problem", got)
	}
}

// CUE's own words are used only when nothing else explains a refusal; they
// must be readable all the same.
func TestCheckSpeaksPlainly(t *testing.T) {
	docs, _ := ParseYAML("a.yaml", []byte("apiVersion: kubetask.io/v1\nkind: Task\nmetadata: {name: a}\nspec: {agentRef: 5}\n"))
	ds := mustDefinitions().check(KindTask, docs[0], nil)
	if len(ds) == 0 {
		t.Fatal("no problem")
	}
	for _, d := range ds {
		if strings.Contains(d.Detail, "empty disjunction") || d.Pos.Line == 0 {
			t.Errorf("message: %v", d)
		}
	}
}
