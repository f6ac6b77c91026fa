// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/repos/repostest"
	"reconcile/schema"
	"reconcile/tree"
)

// gitWorkspace is a workspace whose Git contexts are asked for through a store.
type gitWorkspace struct {
	dir   string
	store *repos.Store
	asked [][]repos.Source // what each call was for
	opt   Options
}

func newGitWorkspace(t *testing.T, objects string) *gitWorkspace {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &gitWorkspace{dir: dir}
	w.store = repos.NewStore(repos.StoreOptions{Dir: t.TempDir(), Retries: -1, Auth: repos.Auth{
		Secret: func(name string) (repos.Secret, error) {
			if name != "tok" {
				return nil, errors.New("there is no such secret")
			}
			return repos.Secret{"username": []byte("ada"), "password": []byte("tok-5150\n")}, nil
		},
	}})
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.opt = Options{Dir: dir, Git: w.git, Cache: schema.NewCache()}
	w.write(t, "workspace.yaml", "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec:\n  policy: {fileUrls: true}\n")
	w.write(t, "objects.yaml", objects)
	return w
}

func (w *gitWorkspace) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w *gitWorkspace) git(ctx context.Context, requests []GitRequest) []GitResult {
	sources := make([]repos.Source, len(requests))
	for i, q := range requests {
		sources[i] = repos.Source{URL: q.URL, Ref: q.Ref, Commit: q.Commit, Depth: q.Depth, SecretRef: q.SecretRef, NoModules: q.NoModules}
	}
	w.asked = append(w.asked, sources)
	results := make([]GitResult, len(requests))
	for i, f := range w.store.Fetch(ctx, sources) {
		results[i] = GitResult{Commit: f.Commit, Err: f.Err, Since: f.Since, OffRef: f.OffRef}
		if f.Commit == "" {
			continue
		}
		files, err := w.store.FS(sources[i], f.Commit)
		if err != nil {
			results[i] = GitResult{Err: err}
			continue
		}
		results[i].Files = files
	}
	return results
}

func (w *gitWorkspace) load(t *testing.T) (*Tree, string) {
	t.Helper()
	w.asked = nil
	tree, ds, err := Load(t.Context(), w.opt)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, d := range ds {
		if d.Summary != "insecure" && !strings.Contains(d.Detail, "http is neither") {
			fmt.Fprintln(&b, d)
		}
	}
	return tree, b.String()
}

// contentText is what a context of the tree holds, as its Task would see it.
func (w *gitWorkspace) contentText(t *testing.T, c *gitContext) string {
	t.Helper()
	switch {
	case c.blocked != nil:
		return "blocked " + string(c.blocked.Code)
	case c.content.Files == nil:
		return fmt.Sprintf("file %s %q", c.content.Name, c.content.Content)
	}
	// What the plan names is what can be opened and copied later.
	files, done, err := w.store.OpenSource(c.content.From)
	if err != nil {
		t.Fatal(err)
	}
	defer done() //nolint:errcheck // of a commit
	if sum, err := tree.Hash(files); err != nil || sum != c.content.TreeHash {
		t.Errorf("%s: its source has the hash %s, %v; want %s", c.name, sum, err, c.content.TreeHash)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := tree.Copy(to, files, tree.CopyOptions{UID: -1, GID: -1}); err != nil {
		t.Error(err)
	}
	var names []string
	err = fs.WalkDir(os.DirFS(to), ".", func(name string, d fs.DirEntry, err error) error {
		if d.IsDir() {
			name += "/"
		}
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return "folder " + strings.Join(names[1:], " ")
}

// contextYAML is a Context; fields are more lines of its git block.
func contextYAML(name, url string, fields ...string) string {
	lines := append([]string{"repository: " + url}, fields...)
	return fmt.Sprintf("---\napiVersion: kubetask.io/v1alpha1\nkind: Context\nmetadata: {name: %s}\nspec:\n  type: Git\n  git:\n    %s\n",
		name, strings.Join(lines, "\n    "))
}

// Every form of a Git context, against a server that wants a login.
func TestGitContexts(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: "tok-5150"})
	inner := srv.Repo(t, "inner")
	inside := inner.Commit(t, repostest.Commit{Files: map[string]string{"in/side": "inner\n"}})
	r := srv.Repo(t, "docs")
	first := r.Commit(t, repostest.Commit{
		Files:   map[string]string{"README": "one\n", "guide/a.md": "a\n", "guide/deep/b.md": "b\n"},
		Scripts: map[string]string{"guide/run": "#!/bin/sh\n"},
		Links:   map[string]string{"guide/now": "a.md", "current": "guide/deep", "out": "../../etc", "abs": "/etc/passwd", "leak/x": "../../etc"},
	})
	r.Tag(t, "v1", first, "")
	r.Tag(t, "v2", first, "an annotated tag")
	r.Commit(t, repostest.Commit{Branch: "dev", Parent: first, Files: map[string]string{"README": "dev\n"}, Delete: []string{"leak"}})
	r.Commit(t, repostest.Commit{Files: map[string]string{"README": "two\n"}, Delete: []string{"leak"}})
	r.Commit(t, repostest.Commit{
		Branch: "modules", Parent: "main", Files: map[string]string{".gitmodules": "[submodule \"lib\"]\n\tpath = lib/inner\n\turl = ../inner.git\n"},
		Submodules: map[string]string{"lib/inner": inside}, Delete: []string{"out", "abs", "current", "guide"},
	})

	const secret = "secretRef: {name: tok}"
	for _, tt := range []struct {
		name   string
		fields []string
		want   string
		text   string // of the diagnostic
	}{
		{"default", []string{"path: README"}, `file README "two\n"`, ""},
		{"branch", []string{"ref: dev", "path: README"}, `file README "dev\n"`, ""},
		{"tag", []string{"ref: v1", "path: README"}, `file README "one\n"`, ""},
		{"annotated", []string{"ref: v2", "path: README"}, `file README "one\n"`, ""},
		{"commit", []string{"ref: " + first, "path: README"}, `file README "one\n"`, ""},
		{"full", []string{"ref: " + first, "depth: 0", "path: README"}, `file README "one\n"`, ""},
		{"deep", []string{"depth: 3", "path: README"}, `file README "two\n"`, ""},
		{"folder", []string{"path: guide/"}, "folder a.md deep/ deep/b.md now run", ""},
		{"below", []string{"path: ./guide/deep"}, "folder b.md", ""},
		{"through-a-link", []string{"path: current"}, "folder b.md", ""},
		{"file-by-a-link", []string{"path: guide/now"}, `file now "a\n"`, ""},
		{"gone-ref", []string{"ref: v9"}, "blocked pending", "context cannot be had\n    the context gone-ref: .*no such branch or tag: \"v9\""},
		{"no-path", []string{"path: guide/none.md"}, "blocked pending", `there is no guide/none\.md in commit [0-9a-f]{12} of `},
		{"below-a-file", []string{"path: README/x"}, "blocked pending", "README/x"},
		{"link-out", []string{"path: out"}, "blocked pending", "a link on the way to out leads out of the repository"},
		{"link-abs", []string{"path: abs"}, "blocked pending", "a link on the way to abs leads out of the repository"},
		{"leaks", []string{"ref: v1", "path: leak"}, "blocked pending", "its files cannot be copied: .*x"},
		{"hollow", []string{"ref: modules"}, "folder .gitmodules README lib/ lib/inner/", ""},
		{"module-itself", []string{"ref: modules", "path: lib/inner"}, "blocked pending", "lib/inner is a submodule, whose files are left out\n    hint: recurseSubmodules: true"},
		{"in-module", []string{"ref: modules", "path: lib/inner/in/side"}, "blocked pending", "lib/inner/in/side is in a submodule, whose files are left out\n    hint: recurseSubmodules: true"},
		{"recursive", []string{"ref: modules", "recurseSubmodules: true"}, "folder .gitmodules README lib/ lib/inner/ lib/inner/in/ lib/inner/in/side", ""},
		{"in-recursive", []string{"ref: modules", "recurseSubmodules: true", "path: lib/inner/in"}, "folder side", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newGitWorkspace(t, contextYAML(tt.name, r.URL, append(tt.fields, secret)...))
			tree, ds := w.load(t)
			if len(tree.contexts) != 1 {
				t.Fatalf("%d contexts\n%s", len(tree.contexts), ds)
			}
			c := tree.contexts[0]
			if got := w.contentText(t, c); got != tt.want {
				t.Errorf("it is %s\nwant  %s\n%s", got, tt.want, ds)
			}
			if tt.text == "" && ds != "" || tt.text != "" && !matches(tt.text, ds) {
				t.Errorf("diagnostics are\n%swant %s", ds, tt.text)
			}
			got, reason := tree.gitContext(c.src, schema.Pos{})
			if (reason != nil) != (c.blocked != nil) || got.TreeHash != c.content.TreeHash {
				t.Errorf("gitContext gives %v", reason)
			}
			if reason != nil && !strings.Contains(reason.Origin, "objects.yaml:") {
				t.Errorf("reason from %s", reason.Origin)
			}
		})
	}
	t.Run("login", func(t *testing.T) {
		w := newGitWorkspace(t, contextYAML("docs", r.URL))
		if _, ds := w.load(t); !strings.Contains(ds, "authentication failed") || strings.Contains(ds, "tok-5150") {
			t.Errorf("diagnostics are %s", ds)
		}
	})
	t.Run("executable", func(t *testing.T) {
		w := newGitWorkspace(t, contextYAML("docs", r.URL, "path: guide/run", secret))
		if tree, _ := w.load(t); tree.contexts[0].content.Mode != 0o755 {
			t.Errorf("the script has the mode %o", tree.contexts[0].content.Mode)
		}
	})
}

// Contexts are asked for in the call that repos are, wherever they are written,
// and each of one way once.
func TestGitContextsAreOneBatch(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	a, b := srv.Repo(t, "a"), srv.Repo(t, "b")
	a.Commit(t, repostest.Commit{Files: map[string]string{"one/manifest.yaml": "container: alpine\n", "f": "a\n"}})
	b.Commit(t, repostest.Commit{Files: map[string]string{"f": "b\n"}})
	inPlace := func(kind, name, spec string) string {
		return fmt.Sprintf("---\napiVersion: kubetask.io/v1alpha1\nkind: %s\nmetadata: {name: %s, namespace: team}\nspec:\n  %s\n", kind, name, spec)
	}
	list := fmt.Sprintf("contexts: [{type: Git, name: x, git: {repository: %q, path: f}}]", b.URL)
	w := newGitWorkspace(t, contextYAML("docs", a.URL, "path: f")+
		inPlace("Agent", "default", "agentImage: localhost/a:1\n  "+list)+
		inPlace("Task", "t", "description: x\n  "+list)+
		inPlace("CronTask", "c", "schedule: '@daily'\n  taskTemplate: {spec: {description: x, "+list+"}}"))
	w.write(t, "workspace.yaml", "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec:\n  repos: {a: "+a.URL+"}\n  enable: [a/one]\n")
	tree, ds := w.load(t)
	if ds != "" {
		t.Errorf("diagnostics:\n%s", ds)
	}
	if len(w.asked) != 1 {
		t.Errorf("Git was called %d times, want once", len(w.asked))
	}
	var names []string
	for _, q := range tree.GitRequests() {
		names = append(names, strings.ReplaceAll(q.Name, srv.URL, "SRV"))
	}
	want := []string{"a", "context/docs", "context/SRV/b.git"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	var got []string
	for _, c := range tree.contexts {
		got = append(got, strings.ReplaceAll(c.name, srv.URL, "SRV")+" "+w.contentText(t, c))
	}
	inB := `SRV/b.git file f "b\n"`
	if diff := cmp.Diff([]string{`docs file f "a\n"`, inB, inB, inB}, got); diff != "" {
		t.Errorf("contexts (-want +got):\n%s", diff)
	}
	if n := repostest.Listings(srv.Requests()); n != 2 {
		t.Errorf("%d listings, want one for each repository", n)
	}
}

// A Secret document of the context's namespace goes before the host's secret.
func TestGitContextSecret(t *testing.T) {
	t.Parallel()
	secret := func(namespace, data string) string {
		return "---\napiVersion: v1\nkind: Secret\nmetadata: {name: creds, namespace: " + namespace + "}\n" + data
	}
	docs := contextYAML("docs", "https://git.example.org/docs.git", "secretRef: {name: creds}")
	const armored = "encryptedData:\n  token: |\n    -----BEGIN AGE ENCRYPTED FILE-----\n    YWdl\n    -----END AGE ENCRYPTED FILE-----\n"
	for _, tt := range []struct {
		name, objects, policy string
		want                  string // keys and formats; "" = the host's
		text                  string
	}{
		{name: "host", objects: docs},
		{name: "another namespace", objects: docs + secret("team", "stringData: {token: tok-5150}\n")},
		{
			name: "plain", objects: docs + secret("default", "stringData: {username: ada, password: tok-5150, other: x}\n"),
			want: "default/creds password plain, username plain", text: "plain text",
		},
		{name: "age", objects: docs + secret("default", armored), want: "default/creds token age"},
		{
			name: "denied", objects: docs + secret("default", "stringData: {token: tok-5150}\n"), policy: "plaintextSecrets: deny",
			want: "-", text: `objects.yaml:\d+:\d+: error: refused by policy\n    the context docs: the Secret creds is in plain text`,
		},
		{name: "useless", objects: docs + secret("default", "stringData: {other: tok-5150}\n"), want: "-", text: "the Secret creds at objects.yaml:.* has no key that a repository can be asked for with"},
		{name: "broken", objects: docs + secret("default", "stringData: 3\n"), want: "-", text: "the Secret creds at objects.yaml:.* has errors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newGitWorkspace(t, tt.objects)
			if tt.policy != "" {
				w.write(t, "workspace.yaml", "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec:\n  policy: {"+tt.policy+"}\n")
			}
			var asked []GitRequest
			w.opt.Git = func(_ context.Context, qs []GitRequest) []GitResult {
				asked = append(asked, qs...)
				return []GitResult{{Pending: true}}
			}
			_, ds := w.load(t)
			got := "-"
			for _, q := range asked {
				var keys []string
				if got = ""; q.Sealed != nil {
					for _, key := range slices.Sorted(maps.Keys(q.Sealed.Keys)) {
						keys = append(keys, key+" "+string(q.Sealed.Keys[key].Format))
					}
					got = q.SecretRef + " " + strings.Join(keys, ", ")
				}
			}
			if got != tt.want || tt.text != "" && !matches(tt.text, ds) || strings.Contains(ds, "tok-5150") {
				t.Errorf("asked with %q, want %q; diagnostics:\n%swant %s", got, tt.want, ds, tt.text)
			}
		})
	}
}

// What was had stays when the remote goes, and what never was is pending.
func TestGitContextAway(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	a := srv.Repo(t, "a")
	a.Commit(t, repostest.Commit{Files: map[string]string{"f": "a\n"}})
	w := newGitWorkspace(t, contextYAML("docs", a.URL, "path: f"))
	if tree, ds := w.load(t); ds != "" || w.contentText(t, tree.contexts[0]) != `file f "a\n"` {
		t.Fatalf("first: %s", ds)
	}
	srv.Break(repostest.Fault{Status: 500})
	w.write(t, "more.yaml", contextYAML("late", srv.URL+"/late.git"))
	tree, ds := w.load(t)
	if got := w.contentText(t, tree.contexts[1]); got != `file f "a\n"` || !matches(`context is stale\n    the context docs is used as it was at 20`, ds) {
		t.Errorf("docs is %s\n%s", got, ds)
	}
	late := tree.contexts[0].blocked
	if late == nil || late.Code != plan.CodePending || !strings.Contains(late.Text, "the context late: ") {
		t.Errorf("late is blocked by %v\n%s", late, ds)
	}
	srv.Break(repostest.Fault{})
	srv.Repo(t, "late").Commit(t, repostest.Commit{Files: map[string]string{"f": "late\n"}})
	if tree, ds := w.load(t); ds != "" || w.contentText(t, tree.contexts[0]) != "folder f" {
		t.Errorf("back: %s\n%s", w.contentText(t, tree.contexts[0]), ds)
	}
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }
