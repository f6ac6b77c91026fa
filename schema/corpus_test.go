// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// corpusFile is one file of the test data with the kind that its name demands.
type corpusFile struct {
	name string
	src  []byte
	kind Kind
}

// corpus is every file of the test data: good ones, the seeds' samples, and
// those of testdata/diag.
func corpus(t testing.TB) []corpusFile {
	t.Helper()
	var out []corpusFile
	add := func(name string, src []byte) {
		f := corpusFile{name: name, src: src}
		switch base := filepath.Base(name); {
		case strings.HasPrefix(base, "manifest") || strings.HasPrefix(base, "ploinky"):
			f.kind = KindManifest
		case strings.HasPrefix(base, "workspace"):
			f.kind = KindWorkspace
		}
		out = append(out, f)
	}
	files, _ := filepath.Glob("testdata/*/*.*")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add(file, src)
	}
	archives, _ := filepath.Glob("../testdata/diag/*.txtar")
	for _, file := range archives {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range ar.Files {
			if f.Name != "want" {
				add(filepath.Base(file)+"/"+f.Name, f.Data)
			}
		}
	}
	if len(out) < 60 {
		t.Fatalf("the corpus has only %d files", len(out))
	}
	return out
}

// TestVerdicts holds CUE, which decides, and JSON Schema, which editors use and
// which explains, to the same verdict on every document of the corpus.
func TestVerdicts(t *testing.T) {
	defs := mustDefinitions()
	documents := 0
	for _, f := range corpus(t) {
		docs, _ := parse(f.name, f.src)
		for _, doc := range docs {
			c := chooseKind(doc.node, f.kind)
			if c.kind == "" || doc.node.Kind == NodeNull {
				continue
			}
			documents++
			written := dropNulls(doc.node, defs.fields)
			r := &reader{written: written}
			refused := defs.check(c.kind, r.unify(c.kind, written, ""))
			explained, err := explain(c.kind, written)
			if err != nil {
				t.Fatal(err)
			}
			where := doc.node.Pos.String()
			if c.kind == KindManifest && written.Kind == NodeMap && written.field("container") == nil && written.field("image") == nil {
				continue // JSON Schema cannot say so: the image may come from a profile
			}
			if (len(refused) > 0) != (len(explained) > 0) {
				t.Errorf("%s (%s): CUE and JSON Schema disagree\nCUE: %v\nJSON Schema: %v", where, c.kind, refused, explained)
			}
		}
	}
	if documents < 100 {
		t.Errorf("only %d documents compared", documents)
	}
}

func TestSeedsAreAccepted(t *testing.T) {
	for _, f := range corpus(t) {
		if !strings.HasPrefix(f.name, "testdata/") {
			continue
		}
		t.Run(strings.TrimPrefix(f.name, "testdata/"), func(t *testing.T) {
			got, ds := DecodeFile(f.name, f.src, Options{Kind: f.kind})
			for _, d := range ds {
				// The seed's own image is a placeholder, which is the one error
				// it must give.
				if d.Severity == Error && !strings.Contains(d.Detail, "is a placeholder") {
					t.Error(d)
				}
			}
			if len(got.Documents) == 0 {
				t.Error("no document")
			}
		})
	}
}
