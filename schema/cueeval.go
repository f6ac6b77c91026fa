// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"
)

// SchemaModule is the module path under which users' CUE imports the
// definitions: import "reconcile.dev/schema".
const SchemaModule = "reconcile.dev/schema"

// The file names whose whole content is one document.
const (
	manifestCUE  = "manifest.cue"
	workspaceCUE = "workspace.cue"
)

// EvalRequest is CUE of users to evaluate. Its JSON form is what the
// evaluator's process reads.
type EvalRequest struct {
	// Files maps slash paths, relative to the workspace, to contents: every
	// .cue file that may be imported, cue.mod/module.cue and files for @embed.
	// Nothing else can be read.
	Files map[string][]byte `json:"files"`
	// Dirs are the folders whose packages are evaluated; "." is the root,
	// where workspace.cue is the workspace file.
	Dirs []string `json:"dirs,omitempty"`
	// Policy is the path of policy.cue; "" = none.
	Policy string `json:"policy,omitempty"`
	// Objects are unified with the policy's definition of their kind.
	Objects []PolicyObject `json:"objects,omitempty"`
	// Before, when set, is called with the first file of each package before
	// the package is evaluated, and with the policy, so that it is known what
	// was going on when the evaluator had to be killed.
	Before func(file string) `json:"-"`
}

// PolicyObject is a decoded object in the shape of the definition named after
// its kind.
type PolicyObject struct {
	Kind Kind  `json:"kind"`
	Node *Node `json:"node"`
}

// EvalResponse is what evaluation found.
type EvalResponse struct {
	Objects     []EvalObject `json:"objects,omitempty"`
	Diagnostics Diagnostics  `json:"diagnostics,omitempty"`
}

// EvalObject is one concrete object. Objects come in the order of
// EvalRequest.Dirs, then by package and place.
type EvalObject struct {
	Dir string `json:"dir"`
	// File is where the object is declared: manifest.cue and workspace.cue
	// hold one document each.
	File string `json:"file"`
	// Field is the top-level field that holds it; "" when it is the whole file
	// or package.
	Field string `json:"field,omitempty"`
	// Kind is set for manifest.cue and workspace.cue. Other objects have
	// fields apiVersion and kind, which may be unknown ones.
	Kind Kind  `json:"kind,omitempty"`
	Node *Node `json:"node"`
}

// Eval evaluates packages and applies the policy. CUE cannot be interrupted
// and may need unbounded time and memory: call it in a process that can be
// killed. The environment plays no part and nothing outside the request is
// read.
//
// The .cue files of one folder and package clause are one package. Packages
// that do not contain the text apiVersion are left alone, unless they hold
// manifest.cue or workspace.cue. An object with a problem is not returned.
func Eval(req EvalRequest) EvalResponse {
	e, err := newEvaluator(req)
	if err != nil {
		return EvalResponse{Diagnostics: Diagnostics{{Severity: Error, Summary: summaryCUE, Detail: err.Error()}}}
	}
	for _, dir := range req.Dirs {
		for _, p := range e.packages(path.Clean(dir)) {
			if e.wanted(p) {
				req.before(p.files[0])
				e.objects(p)
			}
		}
	}
	if req.Policy != "" {
		req.before(req.Policy)
		e.applyPolicy(req.Policy, req.Objects)
	}
	return EvalResponse{Objects: e.found, Diagnostics: e.ds.Sort()}
}

func (r EvalRequest) before(file string) {
	if r.Before != nil {
		r.Before(file)
	}
}

type evaluator struct {
	files  map[string][]byte
	byDir  map[string][]string // .cue files that make packages, sorted
	fsys   *memFS
	ctx    *cue.Context
	parsed map[string]*ast.File // nil: has a syntax error, reported
	built  map[string]cue.Value // by the first file of a package
	found  []EvalObject
	ds     Diagnostics
}

func newEvaluator(req EvalRequest) (*evaluator, error) {
	fsys, err := evalFS(req.Files)
	if err != nil {
		return nil, err
	}
	byDir := map[string][]string{}
	for _, file := range slices.Sorted(maps.Keys(req.Files)) {
		if strings.HasSuffix(file, ".cue") && !strings.HasSuffix(file, "_tool.cue") && !strings.HasSuffix(file, "_test.cue") {
			byDir[path.Dir(file)] = append(byDir[path.Dir(file)], file)
		}
	}
	return &evaluator{
		files: req.Files, byDir: byDir, fsys: fsys,
		// The empty setting shuts out the CUE_DEBUG variable of the
		// environment, which can switch closedness off.
		ctx:    cuecontext.New(cuecontext.CUE_DEBUG("")),
		parsed: map[string]*ast.File{}, built: map[string]cue.Value{},
	}, nil
}

// cuePackage is files that are evaluated together.
type cuePackage struct {
	dir   string
	name  string   // of the package clause; "" = none
	files []string // paths, sorted
}

// packages groups the .cue files of a folder by package clause. A file without
// one stands alone, since CUE does not let it see the others' names.
func (e *evaluator) packages(dir string) []cuePackage {
	byName := map[string]*cuePackage{}
	for _, file := range e.byDir[dir] {
		base := path.Base(file)
		name := packageName(file, e.files[file])
		key := name
		if name == "" {
			key = "\x00" + base
		}
		if byName[key] == nil {
			byName[key] = &cuePackage{dir: dir, name: name}
		}
		byName[key].files = append(byName[key].files, file)
	}
	var out []cuePackage
	for _, key := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, *byName[key])
	}
	return out
}

// packageName reads the package clause, which a syntax error further down
// does not hide.
func packageName(file string, src []byte) string {
	f, _ := parser.ParseFile(file, src, parser.PackageClauseOnly)
	if f == nil || f.PackageName() == "_" {
		return ""
	}
	return f.PackageName()
}

func (e *evaluator) wanted(p cuePackage) bool {
	return slices.ContainsFunc(p.files, func(file string) bool {
		return wholeFileKind(file) != "" || bytes.Contains(e.files[file], []byte("apiVersion"))
	})
}

// wholeFileKind is the kind of the document that a file is, if it is one.
func wholeFileKind(file string) Kind {
	switch {
	case path.Base(file) == manifestCUE:
		return KindManifest
	case file == workspaceCUE:
		return KindWorkspace
	}
	return ""
}

// build parses, loads and compiles a package, once. ok is false when that was
// not possible; the problems are then reported.
func (e *evaluator) build(p cuePackage) (v cue.Value, ok bool) {
	if v, done := e.built[p.files[0]]; done {
		return v, v.Exists()
	}
	e.built[p.files[0]] = cue.Value{}
	if !e.parse(p) || !e.importable(p) {
		return cue.Value{}, false
	}
	root := moduleRoot(e.fsys, p.dir)
	args := make([]string, len(p.files))
	for i, file := range p.files {
		args[i] = "./" + strings.TrimPrefix(strings.TrimPrefix(file, root), "/")
	}
	instances := load.Instances(args, &load.Config{
		Dir: "/" + root, ModuleRoot: "/" + root, FS: e.fsys, Registry: schemaRegistry{e.fsys}, Env: []string{},
	})
	if err := instances[0].Err; err != nil {
		e.report(p, err)
		return cue.Value{}, false
	}
	instances[0].Module = e.fsys.modulePath(root) // or @embed is refused
	v = e.ctx.BuildInstance(instances[0])
	if !v.Exists() {
		e.report(p, v.Err())
		return cue.Value{}, false
	}
	e.built[p.files[0]] = v
	return v, true
}

// parse reads the files of a package, so that all of their syntax errors are
// reported.
func (e *evaluator) parse(p cuePackage) bool {
	good := true
	for _, file := range p.files {
		f, err := parser.ParseFile(file, e.files[file], parser.ParseComments)
		if err != nil {
			e.reportSyntax(file, err)
			good = false
			continue
		}
		e.parsed[file] = f
	}
	return good
}
