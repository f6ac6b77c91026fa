// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata/diag")

// TestDiagnostics decodes the files of each testdata/diag/*.txtar and compares
// the messages with its section "want". Lines of the comment may prepare a
// file: "unquote NAME" reads each line as the inside of a Go string, "fill NAME
// BYTES" adds comment lines up to that size.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("../testdata/diag/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/diag: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := diagnose(t, ar)
			if strings.Contains(got, "empty disjunction") {
				t.Error("a message says \"empty disjunction\"")
			}
			if *update {
				setSection(ar, "want", got)
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(section(ar, "want"), got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func diagnose(t *testing.T, ar *txtar.Archive) string {
	var out strings.Builder
	for _, f := range ar.Files {
		if f.Name == "want" {
			continue
		}
		src := prepare(t, ar.Comment, f)
		opts := Options{}
		switch strings.TrimSuffix(path.Base(f.Name), path.Ext(f.Name)) {
		case "manifest":
			opts.Kind = KindManifest
		case "workspace":
			opts.Kind = KindWorkspace
		}
		_, ds := DecodeFile(f.Name, src, opts)
		if path.Base(f.Name) == LockFile {
			_, ds = DecodeLock(f.Name, src)
		}
		for _, d := range ds {
			fmt.Fprintln(&out, d)
		}
	}
	return out.String()
}

func prepare(t *testing.T, comment []byte, f txtar.File) []byte {
	src := f.Data
	for line := range strings.Lines(string(comment)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[1] != f.Name {
			continue
		}
		switch words[0] {
		case "unquote":
			var b bytes.Buffer
			for l := range strings.Lines(string(src)) {
				s, err := strconv.Unquote(`"` + strings.TrimSuffix(l, "\n") + `"`)
				if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
				b.WriteString(s)
			}
			src = b.Bytes()
		case "fill":
			size, err := strconv.Atoi(words[2])
			if err != nil {
				t.Fatal(err)
			}
			src = append(src, bytes.Repeat([]byte("# filling\n"), (size-len(src))/10+1)...)[:size]
		}
	}
	return src
}

func section(ar *txtar.Archive, name string) string {
	for _, f := range ar.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func setSection(ar *txtar.Archive, name, text string) {
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			ar.Files[i].Data = []byte(text)
			return
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(text)})
}

// TestEverySummaryHasAFile fails when a summary that decoding can give is not
// shown by any file in testdata/diag.
func TestEverySummaryHasAFile(t *testing.T) {
	shown := ""
	files, _ := filepath.Glob("../testdata/diag/*.txtar")
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown += section(ar, "want")
	}
	for _, s := range summaries(t, "summary.go") {
		if !strings.Contains(shown, ": error: "+s+"\n") && !strings.Contains(shown, ": warning: "+s+"\n") {
			t.Errorf("no file in testdata/diag shows the summary %q", s)
		}
	}
}

func summaries(t *testing.T, file string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{enableSummary}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			for _, x := range v.Values {
				s, err := strconv.Unquote(x.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, s)
			}
		}
		return true
	})
	if len(out) < 10 {
		t.Fatalf("only %d summaries found in %s", len(out), file)
	}
	return out
}
