// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// cueFiles makes a request's files out of "-- name --" sections.
func cueFiles(text string) map[string][]byte {
	files := map[string][]byte{}
	for _, part := range strings.Split("\n"+text, "\n-- ")[1:] {
		name, content, _ := strings.Cut(part, " --\n")
		files[name] = []byte(content + "\n")
	}
	return files
}

// evalText is a response as text: objects, then diagnostics.
func evalText(r EvalResponse) string {
	var b strings.Builder
	for _, o := range r.Objects {
		fmt.Fprintf(&b, "%s %s %q %s %s\n", o.Dir, o.File, o.Field, o.Node.Pos, o.Node.appendJSON(nil))
	}
	for _, d := range r.Diagnostics {
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

func TestEval(t *testing.T) {
	tests := []struct {
		name, files string
		dirs        []string
		want        string
	}{
		{
			name: "objects of a package in two files",
			files: `
-- a/one.cue --
package a
one: _base & {metadata: name: "one"}
-- a/two.cue --
package a
_base: {apiVersion: "v1", kind: "ConfigMap"}
two: _base & {metadata: name: "two", data: N: "x\(1+1)"}
helper: 3
-- a/x_test.cue --
package a
three: _base
`,
			dirs: []string{"a"},
			want: `a a/one.cue "one" a/one.cue:2:6 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}
a a/two.cue "two" a/two.cue:3:6 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"two"},"data":{"N":"x2"}}
`,
		},
		{
			name: "no apiVersion, not evaluated",
			files: `
-- a/x.cue --
package a
one: 1 & 2
`,
			dirs: []string{"a"},
		},
		{
			name: "two packages in one folder, files without a clause",
			files: `
-- x.cue --
package x
a: {apiVersion: "v1", kind: "ConfigMap"}
-- y.cue --
b: {apiVersion: "v1", kind: "Secret"}
-- z.cue --
b: {apiVersion: "v1", kind: "ConfigMap"}
`,
			dirs: []string{"."},
			want: `. y.cue "b" y.cue:1:4 {"apiVersion":"v1","kind":"Secret"}
. z.cue "b" z.cue:1:4 {"apiVersion":"v1","kind":"ConfigMap"}
. x.cue "a" x.cue:2:4 {"apiVersion":"v1","kind":"ConfigMap"}
`,
		},
		{
			name: "the whole package is one object",
			files: `
-- a/task.cue --
package a
apiVersion: "kubetask.io/v1alpha1"
kind: "Task"
metadata: name: "t"
spec: description: """
	two
	lines
	"""
`,
			dirs: []string{"a"},
			want: `a a/task.cue "" a/task.cue:2:1 {"apiVersion":"kubetask.io/v1alpha1","kind":"Task","metadata":{"name":"t"},"spec":{"description":"two\nlines"}}
`,
		},
		{
			name: "manifest with a helper file of its package",
			files: `
-- a/manifest.cue --
package a
import "reconcile.dev/schema"
schema.#ManifestSource & {container: _image, env: {A: 1, B: null, C: 1.5, D: true}}
-- a/defs.cue --
package a
_image: "node:\(20)"
-- b/manifest.cue --
container: "x"
-- b/other.cue --
container: "y"
`,
			dirs: []string{"a", "b"},
			want: `a a/manifest.cue "" a/manifest.cue:3:27 {"container":"node:20","env":{"A":1,"B":null,"C":1.5,"D":true}}
b b/manifest.cue "" b/manifest.cue:1:1 {"container":"x"}
`,
		},
		{
			name: "workspace as the whole file",
			files: `
-- workspace.cue --
package acme
apiVersion: "reconcile/v1alpha1"
kind: "Workspace"
metadata: name: "acme"
spec: enable: ["a", "b global"]
-- tasks.cue --
package acme
task: {apiVersion: "kubetask.io/v1alpha1", kind: "Task", metadata: name: metadata_name}
metadata_name: "x"
`,
			dirs: []string{"."},
			want: `. workspace.cue "" workspace.cue:2:1 {"apiVersion":"reconcile/v1alpha1","kind":"Workspace","metadata":{"name":"acme"},"spec":{"enable":["a","b global"]}}
. tasks.cue "task" tasks.cue:2:7 {"apiVersion":"kubetask.io/v1alpha1","kind":"Task","metadata":{"name":"x"}}
`,
		},
		{
			name: "workspace as a field, beside another object",
			files: `
-- workspace.cue --
ws: {apiVersion: "reconcile/v1alpha1", kind: "Workspace", spec: {}}
cm: {apiVersion: "v1", kind: "ConfigMap", metadata: name: "c"}
`,
			dirs: []string{"."},
			want: `. workspace.cue "ws" workspace.cue:1:5 {"apiVersion":"reconcile/v1alpha1","kind":"Workspace","spec":{}}
. workspace.cue "cm" workspace.cue:2:5 {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}
`,
		},
		{
			name: "imports of the user's own module",
			files: `
-- cue.mod/module.cue --
module: "acme.example/ws@v0"
language: version: "v0.17.0"
-- lib/lib.cue --
package lib
import "reconcile.dev/schema"
#Daemon: schema.#DaemonAgent & {apiVersion: "clrk.apoxy.dev/v1alpha1", kind: "DaemonAgent", spec: {workerPoolRef: "default", template: _}}
-- d/d.cue --
package d
import "acme.example/ws/lib"
// apiVersion comes from lib
d: lib.#Daemon & {metadata: name: "d", spec: template: spec: image: "i"}
`,
			dirs: []string{"d"},
			want: `d d/d.cue "d" d/d.cue:4:4 {"apiVersion":"clrk.apoxy.dev/v1alpha1","kind":"DaemonAgent","metadata":{"name":"d"},"spec":{"workerPoolRef":"default","template":{"spec":{"image":"i"}}}}
`,
		},
		{
			name: "embedded files of the request",
			files: `
-- a/x.cue --
@extern(embed)
package a
c: {apiVersion: "v1", kind: "ConfigMap", data: P: _ @embed(file="prompt.md", type=text)}
-- a/prompt.md --
hello
`,
			dirs: []string{"a"},
			want: `a a/x.cue "c" a/x.cue:3:4 {"apiVersion":"v1","kind":"ConfigMap","data":{"P":"hello\n\n"}}
`,
		},
		{
			name: "embedding what is not of the request",
			files: `
-- a/x.cue --
@extern(embed)
package a
c: {apiVersion: "v1", kind: "ConfigMap"}
up: _ @embed(file="../x")
abs: _ @embed(file="/etc/hostname", type=text)
no: _ @embed(file="none.json")
`,
			dirs: []string{"a"},
			want: `a/x.cue:4:7: error: invalid CUE
    @embed: cannot refer to parent directory
a/x.cue:5:8: error: invalid CUE
    @embed: only relative files are allowed
a/x.cue:6:7: error: invalid CUE
    @embed: open none.json: no such file or directory
`,
		},
		{
			name: "unknown imports",
			files: `
-- a/x.cue --
package a
import (
	"example.org/none"
	"strngs"
)
c: {apiVersion: "v1", kind: none.K, x: strngs.Y}
`,
			dirs: []string{"a"},
			want: `a/x.cue:3:2: error: unknown import
    there is no package "example.org/none" here; modules are not fetched
    hint: packages of the workspace's own module, "reconcile.dev/schema" and CUE's standard library can be imported
a/x.cue:4:2: error: unknown import
    there is no package "strngs" here; modules are not fetched
    hint: packages of the workspace's own module, "reconcile.dev/schema" and CUE's standard library can be imported
`,
		},
		{
			name: "syntax errors of all files",
			files: `
-- a/x.cue --
package a
apiVersion: "v1
-- a/y.cue --
package a
b: {
-- b/z.cue --
c: {apiVersion: "v1", kind: "ConfigMap"}
`,
			dirs: []string{"a", "b"},
			want: `b b/z.cue "c" b/z.cue:1:4 {"apiVersion":"v1","kind":"ConfigMap"}
a/x.cue:2:13: error: cannot parse file
    string literal not terminated
a/y.cue:2:6: error: cannot parse file
    expected '}', found 'EOF'
`,
		},
		{
			name: "values that are not concrete, conflicts, unknown fields, references",
			files: `
-- a/x.cue --
package a
import "reconcile.dev/schema"
one: {apiVersion: "v1", kind: "ConfigMap", data: A: string}
two: schema.#ConfigMap & {apiVersion: "v1", kind: "ConfigMap", metadta: name: "x", data: B: 1}
three: schema.#ConfigMap & {apiVersion: "v1", kind: "ConfigMap"}
four: {apiVersion: "v1", kind: "ConfigMap", data: one.data & {A: 1}}
-- b/y.cue --
package b
five: {apiVersion: "v1", kind: "ConfigMap", data: C: nothing}
`,
			dirs: []string{"a", "b"},
			want: `a/x.cue:3:53: error: incomplete CUE value
    one.data.A: incomplete value string
a/x.cue:4:64: error: invalid CUE
    two.metadta: field not allowed
    hint: did you mean "metadata"?
a/x.cue:4:93: error: invalid CUE
    two.data.B: conflicting values 1 and string (mismatched types int and string)
a/x.cue:5:8: error: incomplete CUE value
    three.metadata: field is required but not present
a/x.cue:6:66: error: invalid CUE
    four.data.A: conflicting values 1 and string (mismatched types int and string)
    see also a/x.cue:3:53
b/y.cue:2:54: error: invalid CUE
    five.data.C: reference "nothing" not found
`,
		},
		{
			name: "objects below the top level",
			files: `
-- a/x.cue --
package a
agents: a: {apiVersion: "v1", kind: "ConfigMap"}
`,
			dirs: []string{"a"},
			want: `a/x.cue:2:12: warning: object below the top level
    agents.a is an object inside another field; only top-level fields are objects, so it is ignored
    hint: move it to the top level of the file, or give the outer field a hidden name such as _agents
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CUE_DEBUG", "opendef")
			got := evalText(Eval(EvalRequest{Files: cueFiles(tt.files), Dirs: tt.dirs}))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, got)
			}
		})
	}
}

// TestEvalDiagnostics evaluates the .cue files of each testdata/diag/cue/*.txtar,
// applies its policy.cue to its other files, and compares the messages with its
// section "want".
func TestEvalDiagnostics(t *testing.T) {
	archives, err := filepath.Glob("../testdata/diag/cue/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("testdata/diag/cue: %v, %d files", err, len(archives))
	}
	shown := ""
	for _, file := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, d := range Eval(evalRequest(t, ar)).Diagnostics {
				fmt.Fprintln(&got, d)
			}
			if *update {
				setSection(ar, "want", got.String())
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			shown += section(ar, "want")
			if diff := cmp.Diff(section(ar, "want"), got.String()); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
	for _, s := range []string{summarySyntax, summaryCUE, summaryIncomplete, summaryImport, summaryNested, summaryPolicy, summaryPolicyName} {
		if !strings.Contains(shown, ": error: "+s+"\n") && !strings.Contains(shown, ": warning: "+s+"\n") {
			t.Errorf("no file in testdata/diag/cue shows the summary %q", s)
		}
	}
}

func evalRequest(t *testing.T, ar *txtar.Archive) EvalRequest {
	t.Helper()
	req := EvalRequest{Files: map[string][]byte{}}
	for _, f := range ar.Files {
		switch {
		case f.Name == "want":
		case path.Base(f.Name) == "policy.cue":
			req.Files[f.Name], req.Policy = f.Data, f.Name
		case path.Ext(f.Name) == ".cue":
			req.Files[f.Name] = f.Data
			if dir := path.Dir(f.Name); !slices.Contains(req.Dirs, dir) {
				req.Dirs = append(req.Dirs, dir)
			}
		default:
			opts := Options{Unified: true}
			if strings.HasPrefix(path.Base(f.Name), "manifest.") {
				opts.Kind = KindManifest
			}
			decoded, ds := DecodeFile(f.Name, f.Data, opts)
			if ds.HasErrors() {
				t.Fatal(ds)
			}
			for _, doc := range decoded.Documents {
				req.Objects = append(req.Objects, PolicyObject{Kind: doc.Kind, Node: doc.Unified})
			}
		}
	}
	return req
}

func TestEvalPolicy(t *testing.T) {
	pos := func(line int) Pos { return Pos{File: "agents.yaml", Line: line, Col: 3} }
	daemon := func(line int, image string, env ...string) PolicyObject {
		list := &Node{Kind: NodeList, Pos: pos(line + 3)}
		for _, v := range env {
			list.Items = append(list.Items, textAt(pos(line+3), v))
		}
		spec := &Node{Kind: NodeMap, Pos: pos(line + 1), Fields: []Field{
			{Key: "image", Pos: pos(line + 2), Value: textAt(pos(line+2), image)},
			{Key: "args", Pos: pos(line + 3), Value: list},
		}}
		return PolicyObject{Kind: KindDaemonAgent, Node: &Node{Kind: NodeMap, Pos: pos(line), Fields: []Field{
			{Key: "kind", Pos: pos(line), Value: textAt(pos(line), "DaemonAgent")},
			{Key: "spec", Pos: pos(line + 1), Value: &Node{Kind: NodeMap, Pos: pos(line + 1), Fields: []Field{
				{Key: "template", Pos: pos(line + 1), Value: &Node{Kind: NodeMap, Pos: pos(line + 1), Fields: []Field{
					{Key: "spec", Pos: pos(line + 1), Value: spec},
				}}},
			}}},
		}}}
	}
	tests := []struct {
		name, files string
		objects     []PolicyObject
		want        string
	}{
		{
			name: "images of one registry; other fields are free",
			files: `
-- policy.cue --
package policy
_registry: =~"^registry.acme.example/"
#DaemonAgent: spec: template: spec: {
	image: _registry
	args?: [...!="--debug"]
}
#Task: never: 1
`,
			objects: []PolicyObject{
				daemon(10, "registry.acme.example/a:1"), daemon(20, "docker.io/b:1", "--debug"),
				{Kind: KindSecret, Node: &Node{Kind: NodeMap, Pos: pos(30)}},
			},
			want: `agents.yaml:22:3: error: refused by policy.cue
    spec.template.spec.image: invalid value "docker.io/b:1" (out of bound =~"^registry.acme.example/")
    required by policy.cue:2:12: _registry: =~"^registry.acme.example/"
    required by policy.cue:4:9: image: _registry
agents.yaml:23:3: error: refused by policy.cue
    spec.template.spec.args[0]: invalid value "--debug" (out of bound !="--debug")
    required by policy.cue:5:13: args?: [...!="--debug"]
`,
		},
		{
			name: "a field that must be there",
			files: `
-- policy.cue --
#DaemonAgent: metadata: labels: team!: string
#DaemonAgent: spec: maxRestarts: <5
`,
			objects: []PolicyObject{daemon(10, "a")},
			want: `agents.yaml:10:3: error: refused by policy.cue
    metadata.labels.team: field is required but not present
    required by policy.cue:1:33: #DaemonAgent: metadata: labels: team!: string
agents.yaml:11:3: error: refused by policy.cue
    spec.maxRestarts: must be given: <5
    required by policy.cue:2:34: #DaemonAgent: spec: maxRestarts: <5
`,
		},
		{
			name: "one of two registries",
			files: `
-- policy.cue --
#DaemonAgent: spec: template: spec: image: =~"^a/" | =~"^b/"
`,
			objects: []PolicyObject{daemon(10, "a/x"), daemon(20, "c/x")},
			want: `agents.yaml:22:3: error: refused by policy.cue
    spec.template.spec.image: the value is none of those allowed
    required by policy.cue:1:44: #DaemonAgent: spec: template: spec: image: =~"^a/" | =~"^b/"
`,
		},
		{
			name: "with the schema's own definition",
			files: `
-- policy.cue --
package policy
import "reconcile.dev/schema"
#DaemonAgent: schema.#DaemonAgent & {spec: template: spec: image: !~":latest$"}
`,
			objects: []PolicyObject{daemon(10, "a:latest")},
			want: `agents.yaml:12:3: error: refused by policy.cue
    spec.template.spec.image: invalid value "a:latest" (out of bound !~":latest$")
    required by policy.cue:3:67: #DaemonAgent: schema.#DaemonAgent & {spec: template: spec: image: !~":latest$"}
`,
		},
		{
			name: "mistakes in the policy",
			files: `
-- policy.cue --
#DaemonAgnt: spec: x: 1
#Helper: string
a: 1 & 2
`,
			objects: []PolicyObject{daemon(10, "a:latest")},
			want: `policy.cue:3:8: error: invalid CUE
    a: conflicting values 2 and 1
`,
		},
		{
			name: "misspelt kind",
			files: `
-- policy.cue --
#DaemonAgnt: spec: x: 1
`,
			objects: []PolicyObject{daemon(10, "a:latest")},
			want: `policy.cue:1:1: warning: definition for no kind
    #DaemonAgnt is not the name of a kind, so it constrains nothing by itself
    hint: did you mean "#DaemonAgent"?
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := Eval(EvalRequest{Files: cueFiles(tt.files), Policy: "policy.cue", Objects: tt.objects})
			got := evalText(res)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, got)
			}
		})
	}
}
