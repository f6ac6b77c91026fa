// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func seed(f *testing.F, keep func(corpusFile) bool) {
	f.Helper()
	for _, c := range corpus(f) {
		if keep(c) {
			f.Add(c.src)
		}
	}
}

func isJSON(c corpusFile) bool { return path.Ext(c.name) == ".json" }

func FuzzYAML(f *testing.F) {
	seed(f, func(c corpusFile) bool { return !isJSON(c) })
	f.Fuzz(func(t *testing.T, src []byte) {
		docs, ds := ParseYAML("a.yaml", src)
		for _, d := range docs {
			checkNode(t, d, yamlLineCount(src))
		}
		checkDiagnostics(t, ds)
	})
}

func FuzzJSON(f *testing.F) {
	seed(f, isJSON)
	f.Fuzz(func(t *testing.T, src []byte) {
		n, ds := ParseJSON("a.json", src)
		checkDiagnostics(t, ds)
		plain := strings.TrimPrefix(string(src), "\ufeff")
		switch {
		case n == nil && !ds.HasErrors():
			t.Error("neither a value nor an error")
		case n != nil && !json.Valid([]byte(plain)):
			t.Errorf("accepted invalid JSON %q", src)
		case n == nil && json.Valid([]byte(plain)):
			// Limits, and what encoding/json repairs: invalid UTF-8 and lone
			// surrogates.
			s := ds[0].Summary
			if s != summaryComplex && s != summaryEncoding && !strings.Contains(ds[0].Detail, "\\u escape") {
				t.Errorf("refused valid JSON %q: %v", src, ds)
			}
		}
		if n == nil {
			return
		}
		checkNode(t, n, yamlLineCount(src))
		// Ours is JSON as well, with the same value.
		again, ds2 := ParseJSON("a.json", n.appendJSON(nil))
		if again == nil {
			t.Fatalf("own output refused: %v", ds2)
		}
		if len(ds) == 0 && string(again.appendIdentity(nil)) != string(n.appendIdentity(nil)) {
			t.Errorf("own output reads differently: %s", n.appendJSON(nil))
		}
	})
}

func FuzzManifest(f *testing.F) {
	seed(f, func(c corpusFile) bool { return c.kind == KindManifest })
	f.Fuzz(func(t *testing.T, src []byte) { checkDecode(t, src, KindManifest) })
}

func FuzzWorkspace(f *testing.F) {
	seed(f, func(c corpusFile) bool { return c.kind == KindWorkspace })
	f.Fuzz(func(t *testing.T, src []byte) { checkDecode(t, src, KindWorkspace) })
}

func FuzzDocument(f *testing.F) {
	seed(f, func(c corpusFile) bool { return c.kind == "" })
	f.Fuzz(func(t *testing.T, src []byte) { checkDecode(t, src, "") })
}

func FuzzPort(f *testing.F) {
	for _, s := range []string{"80", "1:2", "1.2.3.4:5:6/udp", "[::1]:80:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePort(s); err == nil && (p.Host == 0 || p.Container == 0 || p.Protocol == "") {
			t.Errorf("ParsePort(%q) = %+v", s, p)
		}
	})
}

// checkDecode decodes twice, as YAML and as JSON, and checks what must hold of
// any input.
func checkDecode(t *testing.T, src []byte, kind Kind) {
	for _, name := range []string{"a.yaml", "a.json"} {
		opts := Options{Kind: kind, Profile: "dev", Unified: true}
		got, ds := DecodeFile(name, src, opts)
		checkDiagnostics(t, ds)
		invalid := false
		for _, d := range got.Documents {
			invalid = invalid || d.Invalid
			if d.Object == nil && !d.Invalid {
				t.Error("a valid document without an object")
			}
		}
		if invalid && !ds.HasErrors() {
			t.Error("an invalid document without an error")
		}
		again, ds2 := DecodeFile(name, src, opts)
		if diff := cmp.Diff(ds, ds2); diff != "" {
			t.Errorf("two runs differ: %s", diff)
		}
		_ = again
		// CUE and JSON Schema agree.
		docs, _ := parse(name, src)
		for _, doc := range docs {
			c := chooseKind(doc.node, kind)
			if c.kind == "" || doc.node.Kind == NodeNull {
				continue
			}
			checkVerdicts(t, c.kind, doc.node)
		}
	}
}

func checkDiagnostics(t *testing.T, ds Diagnostics) {
	for _, d := range ds {
		if d.Summary == "" || d.Pos.Line < 1 || d.Pos.Col < 1 {
			t.Errorf("incomplete diagnostic %+v", d)
		}
		text := d.String()
		if strings.Contains(text, "empty disjunction") {
			t.Errorf("unreadable message: %s", text)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && isControl(r) }) {
			t.Errorf("control character in a message: %q", text)
		}
	}
}

func yamlLineCount(src []byte) int {
	return len(regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]").FindAll(src, -1)) + 1
}

// checkNode checks that every value lies within the file.
func checkNode(t *testing.T, n *Node, lines int) {
	if n.Pos.Line < 1 || n.Pos.Line > lines || n.Pos.Col < 1 {
		t.Errorf("value outside of the file: %v", n.Pos)
	}
	seen := map[string]bool{}
	for _, f := range n.Fields {
		if seen[f.Key] {
			t.Errorf("key %q twice", f.Key)
		}
		seen[f.Key] = true
		checkNode(t, f.Value, lines)
	}
	for _, x := range n.Items {
		checkNode(t, x, lines)
	}
}
