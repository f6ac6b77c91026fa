// SPDX-License-Identifier: Apache-2.0

// Package reconcile_test holds the repository to its own rules: which package
// may import which, what every file begins with, who owns each fixture, what
// the documents must mention. A failure names the rule and its reason.
package reconcile_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// source is one file of ours; the .go files are parsed up to their imports.
type source struct {
	path    string // slash separated, relative to the root
	data    string
	test    bool // a _test.go file
	fixture bool // below a testdata folder
	file    *ast.File
}

type importSpec struct {
	path string
	pos  token.Pos
}

// skipped are folders that hold nothing of the repository.
var skipped = map[string]bool{".git": true, "bin": true, ".cache": true, "node_modules": true}

var (
	fset = token.NewFileSet()
	// tree reads every file once.
	tree = sync.OnceValues(func() ([]*source, error) {
		var all []*source
		err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if skipped[d.Name()] {
					return fs.SkipDir
				}
				return nil
			}
			if !d.Type().IsRegular() || name == "cover.out" || name == "cmd/reconcile/embedded/agent-server" {
				return nil
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all = append(all, &source{
				path:    name,
				data:    string(data),
				test:    strings.HasSuffix(name, "_test.go"),
				fixture: strings.Contains("/"+name, "/testdata/"),
			})
			return nil
		})
		return all, err
	})
)

// files returns every file of the repository.
func files(t *testing.T) []*source {
	t.Helper()
	all, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sources returns the Go files.
func sources(t *testing.T) []*source {
	t.Helper()
	var list []*source
	for _, f := range files(t) {
		if strings.HasSuffix(f.path, ".go") {
			f.parse(t)
			list = append(list, f)
		}
	}
	return list
}

// parse returns the syntax of a Go file.
func (s *source) parse(t *testing.T) *ast.File {
	t.Helper()
	if s.file == nil {
		file, err := parser.ParseFile(fset, s.path, s.data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.file = file
	}
	return s.file
}

func (s *source) imports() []importSpec {
	var list []importSpec
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser took it
		}
		list = append(list, importSpec{p, spec.Pos()})
	}
	return list
}

func (s *source) at(pos token.Pos) string {
	p := fset.Position(pos)
	return fmt.Sprintf("%s:%d:%d", p.Filename, p.Line, p.Column)
}

// below reports whether the file is in the folder dir or deeper.
func (s *source) below(dir string) bool {
	return strings.HasPrefix(path.Dir(s.path)+"/", dir+"/")
}
