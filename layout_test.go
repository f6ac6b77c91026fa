// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"go/ast"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// maxLines bounds a file that is not a test: one idea fits.
const maxLines = 450

func TestFilesAreShort(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || f.fixture {
			continue
		}
		if n := strings.Count(f.data, "\n"); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: a file is named for its one idea", f.path, n, maxLines)
		}
	}
}

// quoted are texts of others, which stay as they are.
var quoted = []string{"examples/task-agents/word-count/agent.py"}

func TestSPDX(t *testing.T) {
	const line = "SPDX-License-Identifier: Apache-2.0"
	for _, f := range files(t) {
		ext, base := path.Ext(f.path), path.Base(f.path)
		script := strings.HasPrefix(f.data, "#!")
		if f.fixture && ext != ".go" || slices.Contains(quoted, f.path) {
			continue
		}
		if !slices.Contains([]string{".go", ".cue", ".sh"}, ext) && base != "Makefile" && !script {
			continue
		}
		head := f.data[:min(len(f.data), 200)]
		lines := strings.SplitN(head, "\n", 3)
		if !strings.Contains(lines[0], line) && (!script || len(lines) < 2 || !strings.Contains(lines[1], line)) {
			t.Errorf("%s: the first line (of a script the second) is not %q: each file says its licence", f.path, line)
		}
	}
}

// meaningless are package names that say nothing about what a package provides.
var meaningless = []string{"util", "utils", "common", "types", "config", "helpers", "misc", "shared", "base", "lib", "internal"}

func TestPackages(t *testing.T) {
	type pkg struct {
		name string
		docs []string // files with a package comment
	}
	pkgs := map[string]*pkg{}
	for _, f := range sources(t) {
		dir := path.Dir(f.path)
		file := f.parse(t)
		if f.test || f.fixture {
			continue
		}
		p := pkgs[dir]
		if p == nil {
			p = &pkg{name: file.Name.Name}
			pkgs[dir] = p
		}
		if file.Doc != nil {
			p.docs = append(p.docs, path.Base(f.path))
		}
	}
	for dir, p := range pkgs {
		want := "doc.go"
		if p.name == "main" {
			want = "main.go"
		}
		if !slices.Equal(p.docs, []string{want}) {
			t.Errorf("%s: package comments are in %v, want one in %s: a reader knows where to begin", dir, p.docs, want)
		}
		if slices.Contains(meaningless, p.name) || slices.Contains(meaningless, path.Base(dir)) {
			t.Errorf("%s: a package is named for what it provides", dir)
		}
		if p.name != "main" && p.name != path.Base(dir) {
			t.Errorf("%s: the package is named %s; folder and package have one name", dir, p.name)
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || f.fixture {
			continue
		}
		for _, d := range f.parse(t).Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: no init: what happens begins in main", f.at(fn.Pos()))
			}
		}
	}
}

// fixtures are the folders of testdata at the root, with the file or folder
// that uses each. The testdata of a package is the package's own.
var fixtures = map[string]string{
	"diag":     "schema",
	"podman5":  ".ci/build-podman5",
	"sops":     ".ci/build-sops",
	"script":   "cmd/reconcile",
	"plan":     "reconcile/plan",
	"render":   "render",
	"resolve":  "workspace",
	"digest":   "reconcile/plan",
	"standins": "cmd/reconcile/standins_test.go",
}

func TestFixturesAreOwned(t *testing.T) {
	for _, dir := range folders(t) {
		if path.Base(dir) != "testdata" {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if e.IsDir() && !holdsFiles(t, name) {
				continue
			}
			owner := path.Dir(dir)
			if owner == "." {
				if owner = fixtures[e.Name()]; owner == "" {
					t.Errorf("%s: nobody owns it; name its owner in layout_test.go", name)
					continue
				}
			}
			if e.Name() == "fuzz" {
				checkCorpus(t, name, owner)
				continue
			}
			if !mentions(t, owner, e.Name()) {
				t.Errorf("%s: nothing in %s reads it: a fixture that no test uses says nothing", name, owner)
			}
		}
	}
}

func folders(t *testing.T) []string {
	t.Helper()
	var list []string
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if skipped[d.Name()] {
			return fs.SkipDir
		}
		list = append(list, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func holdsFiles(t *testing.T, dir string) bool {
	return slices.ContainsFunc(files(t), func(f *source) bool { return f.below(dir) })
}

// mentions reports whether a file of owner, a folder or one file, names the
// fixture within its testdata folder.
func mentions(t *testing.T, owner, fixture string) bool {
	return slices.ContainsFunc(files(t), func(f *source) bool {
		if f.path != owner && (path.Dir(f.path) != owner || !strings.HasSuffix(f.path, ".go")) {
			return false
		}
		return strings.Contains(f.data, "testdata/"+fixture) || strings.Contains(f.data, `"testdata", "`+fixture) || strings.Contains(f.data, "testdata/*")
	})
}

// checkCorpus wants a fuzz target for each corpus.
func checkCorpus(t *testing.T, dir, owner string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		found := slices.ContainsFunc(files(t), func(f *source) bool {
			return f.test && path.Dir(f.path) == owner && strings.Contains(f.data, "func "+e.Name()+"(")
		})
		if !found {
			t.Errorf("%s/%s: %s has no such fuzz target", dir, e.Name(), owner)
		}
	}
}

func TestMakefile(t *testing.T) {
	data, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"build", "test", "test-podman5", "check", "bench", "fuzz", "demo", "cover", "help"} {
		ok := slices.ContainsFunc(strings.Split(string(data), "\n"), func(l string) bool {
			return strings.HasPrefix(l, target+":") && strings.Contains(l, " ## ")
		})
		if !ok {
			t.Errorf("Makefile: %s has no line `%s: … ## what it does`, which `make help` prints", target, target)
		}
	}
}
