// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
)

//go:embed *.cue
var definitionFiles embed.FS

// definitions is the compiled form of the embedded *.cue files. It is
// immutable and safe for concurrent use; data must enter it as expressions
// (BuildExpr) only, since built files stay in a context for ever.
type definitions struct {
	context *cue.Context
	value   cue.Value
	file    *ast.File       // all declarations of the package
	fields  map[string]bool // every field name that occurs
	digest  [sha256.Size]byte
}

// loadDefinitions compiles the embedded definitions once per process.
var loadDefinitions = sync.OnceValues(compileDefinitions)

// mustDefinitions returns the compiled definitions. That they compile is a
// property of the binary, held by a test.
func mustDefinitions() *definitions {
	d, err := loadDefinitions()
	if err != nil {
		panic(err)
	}
	return d
}

func compileDefinitions() (*definitions, error) {
	names, err := fs.Glob(definitionFiles, "*.cue")
	if err != nil {
		return nil, fmt.Errorf("list definitions: %w", err)
	}
	all := &ast.File{Filename: "schema.cue"}
	hash := sha256.New()
	for _, name := range names {
		src, err := definitionFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read definitions: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(src), src)
		f, err := parser.ParseFile(name, src, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parse definitions: %w", err)
		}
		for _, d := range f.Decls {
			if _, isPackage := d.(*ast.Package); isPackage {
				continue
			}
			if _, isComment := d.(*ast.CommentGroup); isComment {
				continue
			}
			all.Decls = append(all.Decls, d)
		}
	}
	// The empty setting shuts out the CUE_DEBUG variable of the environment,
	// which can switch closedness off.
	ctx := cuecontext.New(cuecontext.CUE_DEBUG(""))
	v := ctx.BuildFile(all)
	if err := v.Err(); err != nil {
		return nil, fmt.Errorf("compile definitions: %w", err)
	}
	d := &definitions{context: ctx, value: v, file: all, fields: fieldNames(all)}
	hash.Sum(d.digest[:0])
	return d, nil
}

// definitionName is the definition that describes a kind as it may be written
// in a file.
func (d *definitions) sourceName(k Kind) string {
	name := "#" + string(k) + "Source"
	if d.value.LookupPath(cue.ParsePath(name)).Exists() {
		return name
	}
	return strings.TrimSuffix(name, "Source")
}
