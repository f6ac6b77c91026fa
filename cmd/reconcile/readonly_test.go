// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"reconcile/podman"
	"reconcile/reconcile"
)

// TestReadersHaveNoWriters: what a reading command gets of the runtime and of
// the records has no method that writes, and none can be had of it by a type
// assertion, through an exported field or from what a method returns.
func TestReadersHaveNoWriters(t *testing.T) {
	for _, tt := range []struct {
		got     any
		methods []string
		writers []reflect.Type
	}{
		{
			new(podman.Reader),
			[]string{"Close", "HasSecret", "Logs", "Observe", "WorkspacesAt"},
			[]reflect.Type{reflect.TypeFor[reconcile.Runtime](), reflect.TypeFor[interface{ Events() }]()},
		},
		{
			new(reconcile.Archive),
			[]string{"Content", "Converged", "Failures", "History", "Load", "LoadOf", "Owner", "Specs"},
			[]reflect.Type{reflect.TypeFor[reconcile.Keeper](), reflect.TypeFor[reconcile.Records]()},
		},
	} {
		typ := reflect.TypeOf(tt.got)
		var methods []string
		for m := range typ.Methods() {
			methods = append(methods, m.Name)
			for i := range m.Type.NumOut() {
				if out := m.Type.Out(i); out == reflect.TypeFor[*podman.Runtime]() || out == reflect.TypeFor[*reconcile.Store]() {
					t.Errorf("%s.%s returns %s", typ, m.Name, out)
				}
			}
		}
		if !slices.Equal(methods, tt.methods) {
			t.Errorf("%s has the methods %v, want %v: is the new one for looking only?", typ, methods, tt.methods)
		}
		for _, w := range tt.writers {
			if typ.Implements(w) {
				t.Errorf("%s implements %s", typ, w)
			}
		}
		for f := range typ.Elem().Fields() {
			if f.IsExported() || f.Anonymous {
				t.Errorf("%s.%s can be reached from outside", typ, f.Name)
			}
		}
	}
}

// writers are functions of other packages that no reading command may reach.
var writers = []string{
	"reconcile/podman.Open", "reconcile/reconcile.OpenStore", "reconcile/reconcile.TakeLock",
	"reconcile/reconcile.Pass", "reconcile/reconcile.Apply", "reconcile/reconcile.NewLoop",
	"reconcile/atomicfile.Write", "reconcile/repos.Checkout",
	"reconcile/tree.Copy", "reconcile/dispatch.OpenFolder", "reconcile/dispatch.NewDispatcher",
	"os.WriteFile", "os.Create", "os.CreateTemp", "os.OpenFile", "os.Mkdir", "os.MkdirAll", "os.MkdirTemp", "os.CopyFS",
	"os.Rename", "os.Remove", "os.RemoveAll", "os.Symlink", "os.Link", "os.Truncate", "os.Chmod", "os.Chown", "os.Lchown", "os.Chtimes",
	"os.Root.WriteFile", "os.Root.Create", "os.Root.OpenFile", "os.Root.Mkdir", "os.Root.MkdirAll",
	"os.Root.Rename", "os.Root.Remove", "os.Root.RemoveAll", "os.Root.Symlink", "os.Root.Link", "os.Root.Chmod", "os.Root.Chown", "os.Root.Chtimes",
}

// readingPaths are where reading commands begin.
var readingPaths = []string{
	"app.runDryRun", "app.planOnly", "app.status", "app.printLogs", "app.history",
	"newValidateCommand", "newGraphCommand", "newWhyCommand", "newStatusCommand", "newLogsCommand", "newHistoryCommand", "newSchemaCommand",
}

// guarded are functions that write and that reading commands name, with why
// they do not come to it.
var guarded = map[string]string{
	"app.savePlan":     "called with --save only, and writes the file that it names",
	"app.saveAccepted": "called by accept only with keep, which is reachFetch",
	"app.checkOut":     "source.checkout, which runPass and the daemon call",
}

// TestReadingPathsReachNoWriter follows every function and method of this
// package that reading commands use, called or not.
func TestReadingPathsReachNoWriter(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs the go command")
	}
	uses := usesOfFunctions(t)
	for _, name := range slices.Concat(readingPaths, slices.Collect(maps.Keys(guarded))) {
		if uses[name] == nil {
			t.Errorf("there is no function %s any more: put what took its place on the list", name)
		}
	}
	if found := reachable(uses, readingPaths, writers, guarded); len(found) > 0 {
		t.Errorf("reading commands reach what writes:\n%s", strings.Join(found, "\n"))
	}
	// The search itself finds writers where they are.
	for start, writer := range map[string]string{
		"app.runPass": "reconcile/reconcile.Pass", "app.converge": "reconcile/podman.Open", "newWatchCommand": "reconcile/reconcile.NewLoop",
	} {
		if len(reachable(uses, []string{start}, []string{writer}, nil)) == 0 {
			t.Errorf("%s is not seen to reach %s: the search is blind", start, writer)
		}
	}
}

// usesOfFunctions returns, by function of this package, the functions that its
// body uses. Those of this package are FUNCTION or TYPE.METHOD, others have
// their package's path before them.
func usesOfFunctions(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, exports := packageForTypes(t)
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	pkg, err := conf.Check("reconcile/cmd/reconcile", fset, parsed, info)
	if err != nil {
		t.Fatal(err)
	}
	name := func(f *types.Func) string {
		n := f.Name()
		if recv := f.Signature().Recv(); recv != nil {
			typ := recv.Type()
			if p, ok := typ.(*types.Pointer); ok {
				typ = p.Elem()
			}
			if named, ok := typ.(*types.Named); ok {
				n = named.Obj().Name() + "." + n
			}
		}
		if f.Pkg() != nil && f.Pkg() != pkg {
			n = f.Pkg().Path() + "." + n
		}
		return n
	}
	uses := map[string]map[string]bool{}
	for _, file := range parsed {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			used := map[string]bool{}
			uses[name(info.Defs[fn.Name].(*types.Func))] = used
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					if f, ok := info.Uses[id].(*types.Func); ok {
						used[name(f.Origin())] = true
					}
				}
				return true
			})
		}
	}
	return uses
}

// packageForTypes returns the files of this package as they are built, and for
// each package that it needs the file with its exported types.
func packageForTypes(t *testing.T) (files []string, exports map[string]string) {
	t.Helper()
	const tags = "remote,containers_image_openpgp,exclude_graphdriver_btrfs"
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", tags, "-export", "-deps",
		"-f", `{{.ImportPath}} {{.Export}}{{if not .DepOnly}}{{range .GoFiles}} {{.}}{{end}}{{end}}`, ".")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports = map[string]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		exports[fields[0]] = fields[1]
		files = fields[2:]
	}
	return files, exports
}

// reachable returns the shortest way from one of the starts to each of the
// targets that can be reached without going through one of the guarded.
func reachable(uses map[string]map[string]bool, starts, targets []string, guarded map[string]string) []string {
	from := map[string]string{}
	queue := slices.Clone(starts)
	for _, s := range starts {
		from[s] = ""
	}
	var found []string
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if guarded[name] != "" {
			continue
		}
		if slices.Contains(targets, name) {
			way := name
			for at := from[name]; at != ""; at = from[at] {
				way = at + " → " + way
			}
			found = append(found, way)
		}
		for next := range uses[name] {
			if _, seen := from[next]; !seen {
				from[next] = name
				queue = append(queue, next)
			}
		}
	}
	slices.Sort(found)
	return found
}
