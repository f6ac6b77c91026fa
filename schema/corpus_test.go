// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"os"
	"path/filepath"
	"slices"
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
	documents := 0
	for _, f := range corpus(t) {
		docs, _ := parse(f.name, f.src)
		for _, doc := range docs {
			c := chooseKind(doc.node, f.kind)
			if c.kind == "" || doc.node.Kind == NodeNull {
				continue
			}
			documents++
			checkVerdicts(t, c.kind, doc.node)
		}
	}
	if documents < 100 {
		t.Errorf("only %d documents compared", documents)
	}
}

// checkVerdicts holds both to one verdict on a document.
func checkVerdicts(t *testing.T, k Kind, n *Node) {
	t.Helper()
	defs := mustDefinitions()
	written := dropNulls(n, defs.fields)
	r := &reader{written: written}
	unified := r.unify(k, written, "dev")
	refused := defs.check(k, r.withProfiles(unified), r.unifiedBase())
	explained, err := explain(k, written)
	if err != nil {
		t.Fatal(err)
	}
	if k == KindManifest && len(explained) == 0 && written.field("container") == nil && written.field("image") == nil {
		return // JSON Schema cannot say so: the image may come from a profile
	}
	if (len(refused) > 0) != (len(explained) > 0) {
		t.Errorf("%s: CUE and JSON Schema disagree about %s %s\nCUE: %v\nJSON Schema: %v", n.Pos, k, written.appendJSON(nil), refused, explained)
	}
}

// TestMutations replaces every value of every good document by values of all
// types, and adds an unknown field to every map: the verdicts agree, every
// refusal has a message, and nothing panics.
func TestMutations(t *testing.T) {
	values := []*Node{
		{Kind: NodeNull, Text: "null"},
		{Kind: NodeBool, Text: "true"},
		{Kind: NodeInt, Text: "-1"},
		{Kind: NodeInt, Text: "7"},
		{Kind: NodeFloat, Text: "1.5"},
		{Kind: NodeFloat, Text: "2.0"},
		{Kind: NodeString},
		{Kind: NodeString, Text: "x"},
		{Kind: NodeString, Text: "7"},
		{Kind: NodeString, Text: "yes"},
		{Kind: NodeString, Text: "1h"},
		{Kind: NodeList},
		{Kind: NodeMap},
		{Kind: NodeList, Items: []*Node{{Kind: NodeString, Text: "x"}, {Kind: NodeInt, Text: "1"}}},
		{Kind: NodeMap, Fields: []Field{{Key: "name", Value: &Node{Kind: NodeString, Text: "x"}}}},
		{Kind: NodeMap, Fields: []Field{{Key: "ref", Value: &Node{Kind: NodeInt, Text: "1"}}}},
	}
	stride := 11 // prime to the number of values, so that all of them come up
	if testing.Short() {
		stride = 53
	}
	mutations := 0
	for _, f := range corpus(t) {
		if !strings.HasPrefix(f.name, "testdata/good/") {
			continue
		}
		docs, _ := parse(f.name, f.src)
		for _, doc := range docs {
			c := chooseKind(doc.node, f.kind)
			if c.kind == "" {
				continue
			}
			try := func(n *Node) {
				if mutations++; mutations%stride != 0 {
					return
				}
				checkVerdicts(t, c.kind, n)
				d, ds := DecodeNode(n, Options{Kind: c.kind})
				if d.Invalid != ds.HasErrors() {
					t.Errorf("%s: invalid is %v with %v", n.appendJSON(nil), d.Invalid, ds)
				}
			}
			doc.node.mutate(values, try)
		}
	}
	if mutations < 3000 {
		t.Errorf("only %d mutations", mutations)
	}
}

// mutate calls try with every copy of n that differs in one place.
func (n *Node) mutate(values []*Node, try func(*Node)) {
	for _, v := range values {
		changed := *v
		changed.Pos = n.Pos
		try(&changed)
	}
	for i, f := range n.Fields {
		f.Value.mutate(values, func(v *Node) {
			changed := *n
			changed.Fields = slices.Clone(n.Fields)
			changed.Fields[i].Value = v
			try(&changed)
		})
	}
	for i, x := range n.Items {
		x.mutate(values, func(v *Node) {
			changed := *n
			changed.Items = slices.Clone(n.Items)
			changed.Items[i] = v
			try(&changed)
		})
	}
	if n.Kind == NodeMap {
		try(n.withField(Field{Key: "unknwn", Pos: n.Pos, Value: textAt(n.Pos, "x")}))
		for i := range n.Fields {
			changed := *n
			changed.Fields = slices.Delete(slices.Clone(n.Fields), i, i+1)
			try(&changed)
		}
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
