// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/repos/repostest"
	"reconcile/schema"
)

// from is what differs between a folder and a commit: where a copy comes from, and
// where a hook runs.
var from = regexp.MustCompile(`"from":"[^"]*",| in "[^"]*" copy (true|false)|    env CODE_PATH=.*\n`)

// TestCommitIsItsFolder loads each testdata/resolve/*.txtar once more, from a
// commit of the same files, while the folder is there and when it is not: what
// comes out is the same.
func TestCommitIsItsFolder(t *testing.T) {
	// A commit cannot hold what these are about.
	skip := map[string]string{
		"unreadable":           "files that cannot be read",
		"unreadable-workspace": "files that cannot be read",
		"lock-broken":          "files that cannot be read",
		"ignore":               "a work tree of its own",
		"state-inside":         "a state directory in the workspace",
		"bytes":                "names that are not UTF-8",
		"symlinks":             "links that lead out to folders of the host",
	}
	// What is said, but not what is desired, depends on what is outside of the
	// workspace, and on how a folder is missing.
	quiet := map[string]bool{"folder-link": true, "volumes": true, "repo-problems": true}
	files, err := filepath.Glob("../testdata/resolve/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if skip[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := stage(t, ar)
			s.opt.Revision = nil
			want := s.run(t)
			delete(want, wantAuthority) // nobody can write to a commit
			if quiet[name] {
				delete(want, wantDiagnostics)
			}
			copied := filepath.Join(s.tmp, "COMMIT")
			if err := os.CopyFS(copied, os.DirFS(s.ws)); err != nil {
				t.Fatal(err)
			}
			r, err := openRepo(copied, commitAll(t, copied))
			if err != nil {
				t.Fatal(err)
			}
			s.opt.Files = r
			compare(t, "beside its checkout", want, s.run(t))
			if err := os.RemoveAll(s.ws); err != nil {
				t.Fatal(err)
			}
			got := s.run(t)
			compare(t, "without a checkout", want, got)
			if strings.Contains(got[wantAuthority], "can write the lock file") {
				t.Errorf("what is in a commit can be written:\n%s", got[wantAuthority])
			}
		})
	}
}

func openRepo(dir, commit string) (fs.FS, error) {
	r, err := repos.Open(dir)
	if err != nil {
		return nil, err
	}
	return r.FS(commit)
}

func compare(t *testing.T, when string, want, got map[string]string) {
	t.Helper()
	for name := range want {
		if diff := cmp.Diff(from.ReplaceAllString(want[name], ""), from.ReplaceAllString(got[name], "")); diff != "" {
			t.Errorf("%s, %s differs (-folder +commit):\n%s", when, name, diff)
		}
	}
}

// A workspace may be checked out below the state directory, and only its own
// files there can be mounted.
func TestCheckoutInStateDirectory(t *testing.T) {
	const manifests = `
-- workspace.yaml --
apiVersion: reconcile/v1alpha1
kind: Workspace
spec:
  repos: {leak: ../../../workspaces}
  enable: [ENABLE]
-- plain/manifest.yaml --
container: alpine
-- volume/manifest.yaml --
container: alpine
volumes: {./data/in: /data}
-- beside/manifest.yaml --
container: alpine
volumes: {../other: /data}
-- above/manifest.yaml --
container: alpine
volumes: {../../..: /data}
-- diagnostics --
`
	tests := []struct {
		enable  string
		blocked bool
		needs   bool // a checkout
	}{
		{"plain", false, false},
		{"plain global", false, true},
		{"volume", false, true},
		{"beside", true, false},
		{"above", true, false},
	}
	for _, tt := range tests {
		t.Run(tt.enable, func(t *testing.T) {
			s := stage(t, txtar.Parse([]byte(strings.Replace(manifests, "ENABLE", tt.enable, 1))))
			commit := commitAll(t, s.ws)
			files, err := openRepo(s.ws, commit)
			if err != nil {
				t.Fatal(err)
			}
			s.opt.Dir = filepath.Join(s.state, "checkouts", "0123", "site")
			if err := os.MkdirAll(filepath.Join(s.state, "workspaces"), 0o755); err != nil {
				t.Fatal(err)
			}
			s.opt.Files, s.opt.Root, s.opt.DefaultName = files, "https://git.example.org/site.git", "site"
			s.opt.HostPolicy = &schema.Policy{Mounts: schema.Str{V: "any", Pos: schema.Pos{File: "/etc/policy.yaml", Line: 1, Col: 1}}}
			s.opt.Revision = func(string) string { return commit }
			tree, ds, err := Load(t.Context(), s.opt)
			if err != nil {
				t.Fatal(err)
			}
			res := tree.Resolve()
			if d := res.Desired; d.Workspace != "site" || d.Root != s.opt.Root || d.Revision != commit {
				t.Errorf("workspace %q of %q at %q", d.Workspace, d.Root, d.Revision)
			}
			if res.NeedsCheckout != tt.needs {
				t.Errorf("NeedsCheckout = %v", res.NeedsCheckout)
			}
			for _, r := range res.Desired.Resources {
				if r.ID.Kind == plan.Manifest {
					checkInstance(t, r, tt.blocked)
				}
			}
			if len(ds) != 1 || ds[0].Summary != summaryPolicy || ds[0].Pos.Line != 4 {
				t.Errorf("diagnostics of the repo in the state directory: %v", ds)
			}
			if got := tree.Folders(); len(got) != 0 {
				t.Errorf("folders to watch: %q", got)
			}
		})
	}
}

func checkInstance(t *testing.T, r plan.Resource, blocked bool) {
	t.Helper()
	if (len(r.Blocked) > 0) != blocked || blocked && r.Blocked[0].Code != plan.CodePolicy {
		t.Errorf("%s is blocked by %v", r.ID, r.Blocked)
	}
	for _, m := range r.Spec.Container.Mounts {
		if m.Type == plan.MountCopy && !strings.HasPrefix(m.From, "git+file://") {
			t.Errorf("the code of %s comes from %q", r.ID, m.From)
		}
	}
}

// Documents of submodules are none of the workspace's, in a commit as well as
// in a work tree, where they have a .git of their own.
func TestSubmodulesOfCommit(t *testing.T) {
	files := fstest.MapFS{}
	for name, content := range map[string]string{
		"workspace.yaml":           "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\n",
		".gitmodules":              "[submodule \"a\"]\n\tpath = vendor/lib\n\turl = x\n[submodule \"b\"]\n  path=agents/sub\n",
		"vendor/lib/ws.yaml":       "apiVersion: reconcile/v1alpha1\nkind: Nonsense\n",
		"vendor/x/task.yaml":       "a: b\n",
		"agents/sub/manifest.yaml": "container: alpine\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	tree, ds, err := Load(t.Context(), Options{Dir: "/nowhere", Files: files, StateDir: "/state"})
	if err != nil || len(ds) > 0 {
		t.Fatal(ds, err)
	}
	var ignored []string
	for _, ig := range tree.Resolve().Ignored {
		ignored = append(ignored, ig.Pos.File)
	}
	if diff := cmp.Diff([]string{"vendor/lib", "vendor/x/task.yaml"}, ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
	if got := tree.repos[ownRepo].names(); !slices.Equal(got, []string{"sub"}) {
		t.Errorf("agents: %q", got)
	}
}

func TestFolders(t *testing.T) {
	s := stage(t, txtar.Parse([]byte(`
-- workspace.yaml --
apiVersion: reconcile/v1alpha1
kind: Workspace
metadata: {name: acme}
spec:
  repos: {in: ./in, out: ../OUT/out, git: "https://git.example.org/x.git"}
  enable: [in/one]
-- in/one/manifest.yaml --
container: alpine
-- OUT/out/two/manifest.yaml --
container: alpine
`)))
	tree, _, err := Load(t.Context(), s.opt)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{s.ws, filepath.Join(s.ws, "in"), filepath.Join(s.tmp, "OUT", "out")}
	if diff := cmp.Diff(want, tree.Folders()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if tree.Resolve().NeedsCheckout {
		t.Error("copies need a checkout")
	}
}

// Links of a commit lead where they do in a folder that is opened as os.Root.
func TestLinksOfCommit(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "b", "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{
		"file": "a/b/file", "a/up": "../a/b", "twice": "a/up/file", "loop": "loop", "out": "../x", "far": "a/../../x",
		"root": "/etc/passwd", "self": "a/..", "nowhere": "a/nothing", "a/b/dots": "../../a/./b/file", "through": "file/x",
		"back": filepath.Join("..", filepath.Base(dir), "file"),
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	// go-git would rewrite links that are absolute.
	repostest.Git(t, dir, "init", "-q")
	repostest.Git(t, dir, "add", "-A")
	repostest.Git(t, dir, "commit", "-q", "-m", "links")
	files, err := openRepo(dir, repostest.Git(t, dir, "rev-parse", "HEAD"))
	if err != nil {
		t.Fatal(err)
	}
	commit := linkFS{files}
	kind := func(info fs.FileInfo, err error) string {
		switch {
		case err != nil && escapes(err):
			return "leaves"
		case errors.Is(err, fs.ErrNotExist):
			return "is not there"
		case err != nil:
			return "error"
		}
		return info.Mode().Type().String()
	}
	names := []string{"a", "a/b/file", "a/up/file", "a/up/dots", "self/a/b/file", "nothing/x", "a/b/file/x", "out/x", "loop/x"}
	for name := range links {
		names = append(names, name)
	}
	for _, name := range names {
		if got, want := kind(fs.Stat(commit, name)), kind(fs.Stat(folder.FS(), name)); got != want {
			t.Errorf("Stat(%s): %s, in a folder %s", name, got, want)
		}
		if got, want := kind(fs.Lstat(commit, name)), kind(fs.Lstat(folder.FS(), name)); got != want {
			t.Errorf("Lstat(%s): %s, in a folder %s", name, got, want)
		}
		got, err := fs.ReadFile(commit, name)
		want, wantErr := fs.ReadFile(folder.FS(), name)
		if string(got) != string(want) || (err == nil) != (wantErr == nil) {
			t.Errorf("ReadFile(%s) = %q, %v, in a folder %q, %v", name, got, err, want, wantErr)
		}
		entries, err := fs.ReadDir(commit, name)
		wantEntries, wantErr := fs.ReadDir(folder.FS(), name)
		if len(entries) != len(wantEntries) && name != "self" || (err == nil) != (wantErr == nil) {
			t.Errorf("ReadDir(%s) = %v, %v, in a folder %v, %v", name, entries, err, wantEntries, wantErr)
		}
	}
	if from, err := commit.Source("a/up"); err != nil || !strings.Contains(from, "#") {
		t.Errorf("Source(a/up) = %q, %v", from, err)
	}
	sub, err := commit.Sub("a/up")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(sub, "dots"); !escapes(err) {
		t.Errorf("a link leads out of a folder of the commit: %v", err)
	}
	if _, err := commit.Sub("file"); err == nil {
		t.Error("a file is a folder")
	}
}
