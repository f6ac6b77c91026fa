// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

	fullLock = `# Ours.

apiVersion: reconcile/v1alpha1
kind: Lock
repos:
  # Stays until the next release.
  tools:
    url: https://git.example.org/tools.git
    ref: v1 # not v2
    commit: ` + commitA + `
  utils:
    url: git@example.org:org/utils.git
    commit: ` + commitA + `
images:
  docker.io/library/alpine:3: ` + digestA + `
approvals:
  manifest/web:
  # For the dashboard.
  - host-path ro /srv/data # read only
  - secret database-url
`
)

const lockedHooks = `apiVersion: reconcile/v1alpha1
kind: Lock
hooks:
  manifest/gone: ` + digestA + `
  manifest/old: ` + digestA + `
  # Looked at by two.
  manifest/web:
    digest: ` + digestB + `
    commands:
    - sh setup.sh # first
    files:
      a.sh: ` + digestA + `
      setup.sh: ` + digestA + ` # ours
`

func TestDecodeLock(t *testing.T) {
	l, ds := DecodeLock("workspace.lock", []byte(fullLock))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	at := func(line, col int, s string) Str { return Str{s, Pos{"workspace.lock", line, col}} }
	want := &Lock{
		Repos: []LockedRef{{
			Name: at(7, 3, "tools"), URL: at(8, 10, "https://git.example.org/tools.git"), Ref: at(9, 10, "v1"), Commit: at(10, 13, commitA),
		}, {
			Name: at(11, 3, "utils"), URL: at(12, 10, "git@example.org:org/utils.git"), Commit: at(13, 13, commitA),
		}},
		Images: []LockedDigest{{Name: at(15, 3, "docker.io/library/alpine:3"), Digest: at(15, 31, digestA)}},
		Approvals: []Approval{{Name: at(17, 3, "manifest/web"), Keys: []Str{
			at(19, 5, "host-path ro /srv/data"), at(20, 5, "secret database-url"),
		}}},
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, ok := l.Repo("utils"); !ok || got != want.Repos[1] {
		t.Errorf("Repo(utils) = %v, %v", got, ok)
	}
	if got, ok := l.Image("docker.io/library/alpine:3"); !ok || got != want.Images[0] {
		t.Errorf("Image = %v, %v", got, ok)
	}
	var none *Lock
	if _, ok := none.Repo("utils"); ok {
		t.Error("a nil Lock has a repo")
	}
	if _, ok := none.Image("x"); ok {
		t.Error("a nil Lock has an image")
	}
}

func TestEditLock(t *testing.T) {
	digits := strings.Repeat("1", 40)
	tests := []struct {
		name string
		old  string
		ch   LockChanges
		want string
	}{
		{"a new file", "", LockChanges{
			Repos: map[string]*LockEntry{
				"b": {URL: "https://x.org/b.git", Ref: "main", Commit: digits},
				"a": {URL: "https://x.org/a.git", Commit: commitA},
			},
			Images: map[string]string{"docker.io/library/alpine:3": digestA, "gone": ""},
		}, "# " + lockHead + `

apiVersion: reconcile/v1alpha1
kind: Lock
repos:
  a:
    url: https://x.org/a.git
    commit: ` + commitA + `
  b:
    url: https://x.org/b.git
    ref: main
    commit: '` + digits + `'
images:
  docker.io/library/alpine:3: ` + digestA + `
`},
		{"nothing", fullLock, LockChanges{
			Repos:  map[string]*LockEntry{"utils": {URL: "git@example.org:org/utils.git", Commit: commitA}, "gone": nil},
			Images: map[string]string{"docker.io/library/alpine:3": digestA},
		}, fullLock},
		{"changes keep comments", fullLock, LockChanges{
			Repos:  map[string]*LockEntry{"tools": {URL: "https://git.example.org/tools.git", Ref: "v1", Commit: commitB}},
			Images: map[string]string{"docker.io/library/alpine:3": digestB},
		}, strings.Replace(strings.Replace(fullLock, commitA, commitB, 1), digestA, digestB, 1)},
		{"in order", fullLock, LockChanges{
			Repos:    map[string]*LockEntry{"tower": {URL: "https://x.org/t", Commit: commitB}},
			Contexts: map[string]*LockEntry{"docs": {URL: "https://x.org/d", Ref: "main", Commit: commitB}},
		}, strings.NewReplacer("  utils:", "  tower:\n    url: https://x.org/t\n    commit: "+commitB+"\n  utils:",
			"images:", "contexts:\n  docs:\n    url: https://x.org/d\n    ref: main\n    commit: "+commitB+"\nimages:").Replace(fullLock)},
		{"a ref is new, and one goes", fullLock, LockChanges{Repos: map[string]*LockEntry{
			"tools": {URL: "https://git.example.org/tools.git", Commit: commitA},
			"utils": {URL: "git@example.org:org/utils.git", Ref: "v2", Commit: commitA},
		}}, strings.NewReplacer("    ref: v1 # not v2\n", "", "utils.git\n", "utils.git\n    ref: v2\n").Replace(fullLock)},
		{"removal", fullLock, LockChanges{
			Repos:  map[string]*LockEntry{"utils": nil},
			Images: map[string]string{"docker.io/library/alpine:3": ""},
		}, strings.NewReplacer("  utils:\n    url: git@example.org:org/utils.git\n    commit: "+commitA+"\n", "",
			"images:\n  docker.io/library/alpine:3: "+digestA+"\n", "").Replace(fullLock)},
		{"approvals", fullLock, LockChanges{Approvals: map[string][]string{
			"manifest/web":      {"secret database-url", "port 0.0.0.0:80:8080/tcp", "host-path ro /srv/data", "port 0.0.0.0:80:8080/tcp"},
			"manifest/explorer": {"host-path rw /srv/a: b", "user root"},
			"manifest/gone":     nil,
		}}, strings.NewReplacer(
			"approvals:\n", "approvals:\n  manifest/explorer:\n  - 'host-path rw /srv/a: b'\n  - user root\n",
			"  - secret", "  - port 0.0.0.0:80:8080/tcp\n  - secret").Replace(fullLock)},
		{
			"approvals go", fullLock,
			LockChanges{Approvals: map[string][]string{"manifest/web": {}}},
			fullLock[:strings.Index(fullLock, "approvals:")],
		},
		{"approvals as they are", fullLock, LockChanges{Approvals: map[string][]string{
			"manifest/web": {"secret database-url", "host-path ro /srv/data"},
		}}, fullLock},
		{"a list by hand", "{apiVersion: reconcile/v1alpha1, kind: Lock, approvals: {manifest/a: [user root], manifest/b: }}", LockChanges{
			Approvals: map[string][]string{"manifest/a": {"secret x", "user root"}, "manifest/b": {"user root"}},
		}, `apiVersion: reconcile/v1alpha1
kind: Lock
approvals:
  manifest/a:
  - secret x
  - user root
  manifest/b:
  - user root
`},
		{"written by hand", "{apiVersion: reconcile/v1alpha1, kind: Lock, images:, repos: {a: {commit: " + commitA + ", url: 'https://x.org/a'}}}", LockChanges{
			Repos:  map[string]*LockEntry{"a": {URL: "https://x.org/a", Commit: commitB}},
			Images: map[string]string{"x.org/i:1": digestA},
			Hooks:  map[string]*HookEntry{"manifest/web": {Digest: digestB, Commands: []string{"sh setup.sh", "echo: x", "sh setup.sh"}, Files: map[string]string{"setup.sh": digestA}}},
		}, `apiVersion: reconcile/v1alpha1
kind: Lock
images:
  x.org/i:1: ` + digestA + `
repos:
  a:
    commit: ` + commitB + `
    url: 'https://x.org/a'
hooks:
  manifest/web:
    digest: ` + digestB + `
    commands:
    - sh setup.sh
    - 'echo: x'
    - sh setup.sh
    files:
      setup.sh: ` + digestA + `
`},
		{"a hook changes", lockedHooks, LockChanges{Hooks: map[string]*HookEntry{
			"manifest/old":  {Digest: digestB, Commands: []string{"make"}},
			"manifest/web":  {Digest: digestA, Commands: []string{"sh setup.sh", "make"}, Files: map[string]string{"b.sh": digestB, "setup.sh": digestB}},
			"manifest/gone": nil,
		}}, strings.NewReplacer(
			"manifest/old: "+digestA, "manifest/old:\n    digest: "+digestB+"\n    commands:\n    - make",
			digestB, digestA, "  - sh setup.sh # first\n", "  - sh setup.sh # first\n    - make\n",
			"a.sh: "+digestA+"\n      setup.sh: "+digestA, "b.sh: "+digestB+"\n      setup.sh: "+digestB,
			"  manifest/gone: "+digestA+"\n", "",
		).Replace(lockedHooks)},
		{"hooks go", lockedHooks, LockChanges{Hooks: map[string]*HookEntry{"manifest/web": nil, "manifest/old": nil, "manifest/gone": nil}}, "apiVersion: reconcile/v1alpha1\nkind: Lock\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := EditLock([]byte(tt.old), tt.ch)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, ds := DecodeLock(LockFile, got); len(ds) > 0 {
				t.Errorf("the result is not well-formed: %v", ds)
			}
			if again, err := EditLock(got, tt.ch); err != nil || string(again) != string(got) {
				t.Errorf("a second time: %v\n%s", err, again)
			}
		})
	}
}

func TestDecodeLockedHooks(t *testing.T) {
	l, ds := DecodeLock("workspace.lock", []byte(lockedHooks))
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	at := func(line, col int, s string) Str { return Str{s, Pos{"workspace.lock", line, col}} }
	want := []LockedHook{
		{Name: at(4, 3, "manifest/gone"), Digest: at(4, 18, digestA)},
		{Name: at(5, 3, "manifest/old"), Digest: at(5, 17, digestA)},
		{
			Name: at(7, 3, "manifest/web"), Digest: at(8, 13, digestB), Commands: []Str{at(10, 7, "sh setup.sh")},
			Files: []LockedDigest{{at(12, 7, "a.sh"), at(12, 13, digestA)}, {at(13, 7, "setup.sh"), at(13, 17, digestA)}},
		},
	}
	if diff := cmp.Diff(want, l.Hooks); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What hides in a text is seen by whoever reviews the file, and is what it was.
func TestEditLockShowsWhatHides(t *testing.T) {
	for _, command := range []string{"rm \u202e-x", "a\u200bb", "x\ufe0fy", "\x1b[31m", "a\u2028b", "\ufeffa"} {
		want := []string{"echo é", command}
		got, err := EditLock(nil, LockChanges{Hooks: map[string]*HookEntry{"manifest/a": {Digest: digestA, Commands: want}}})
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(string(got), isHidden); i >= 0 {
			t.Errorf("%q: it hides in %q", command, got)
		}
		l, ds := DecodeLock(LockFile, got)
		if len(ds) > 0 {
			t.Fatal(ds)
		}
		var read []string
		for _, c := range l.Hooks[0].Commands {
			read = append(read, c.V)
		}
		if diff := cmp.Diff(want, read); diff != "" {
			t.Error(diff)
		}
	}
	got, err := EditLock(nil, LockChanges{Hooks: map[string]*HookEntry{"manifest/a": {Digest: digestA, Commands: []string{"echo é"}}}})
	if err != nil || !strings.Contains(string(got), "- echo é\n") {
		t.Errorf("what hides nothing: got %q, %v", got, err)
	}
}

func TestEditLockRefuses(t *testing.T) {
	for old, want := range map[string]string{
		"{apiVersion: reconcile/v1alpha1, kind: Lock, a: b}": "unknown field",
		"<<<<<<< x\napiVersion: reconcile/v1alpha1":          "merge conflict",
		strings.Replace(fullLock, "  utils:\n    url", "  utils: &u\n    url", 1) + "hooks:\n  a: &d " + digestA + "\n  b: *d\n": "aliases",
	} {
		got, err := EditLock([]byte(old), LockChanges{Repos: map[string]*LockEntry{"a": {URL: "https://x.org/a", Commit: commitA}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("EditLock(%q) = %q, %v, want an error with %q", old, got, err, want)
		}
	}
	if got, err := EditLock(nil, LockChanges{Repos: map[string]*LockEntry{"a": {URL: "https://x.org/a", Commit: "main"}}}); err == nil {
		t.Errorf("a branch for a commit gives %q", got)
	}
}

// Two people who approve what different agents do, or one agent at different
// ends of its list, can merge without a conflict.
func TestApprovalsMerge(t *testing.T) {
	edit := func(old []byte, approvals map[string][]string) []byte {
		got, err := EditLock(old, LockChanges{Approvals: approvals})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	base := edit(nil, map[string][]string{"manifest/a": {"f", "g", "h"}, "manifest/c": {"f", "g"}})
	left := map[string][]string{"manifest/a": {"a", "f", "g", "h"}}
	right := map[string][]string{"manifest/b": {"x"}, "manifest/c": {"f", "g", "h"}}
	got := mergeLocks(t, base, edit(base, left), edit(base, right))
	if diff := cmp.Diff(string(edit(edit(base, left), right)), got); diff != "" {
		t.Errorf("one after the other, and merged (-want +got):\n%s", diff)
	}
}

// Two people who update different repos can merge without a conflict.
func TestLockMerges(t *testing.T) {
	entry := func(commit string) *LockEntry { return &LockEntry{URL: "https://x.org/r", Ref: "main", Commit: commit} }
	edit := func(old []byte, ch map[string]*LockEntry) []byte {
		got, err := EditLock(old, LockChanges{Repos: ch})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	base := edit(nil, map[string]*LockEntry{"a": entry(commitA), "b": entry(commitA), "c": entry(commitA), "d": entry(commitA), "e": entry(commitA)})
	left := map[string]*LockEntry{"a": entry(commitB), "d": nil}
	right := map[string]*LockEntry{"b": entry(commitB), "f": entry(commitA)}
	merged := mergeLocks(t, base, edit(base, left), edit(base, right))
	if diff := cmp.Diff(string(edit(edit(base, left), right)), merged); diff != "" {
		t.Errorf("one after the other, and merged (-want +got):\n%s", diff)
	}
}

// mergeLocks merges as git does, and fails where that leaves a conflict.
func mergeLocks(t *testing.T, base, left, right []byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]byte{"base": base, "left": left, "right": right} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("git", "merge-file", "-p", "left", "base", "right")
	cmd.Dir = dir
	merged, err := cmd.Output()
	if err != nil {
		t.Fatalf("merge: %v\n%s", err, merged)
	}
	return string(merged)
}

func FuzzLock(f *testing.F) {
	f.Add([]byte(fullLock))
	f.Add([]byte("{apiVersion: reconcile/v1alpha1, kind: Lock, repos: , hooks: {a: &x " + digestA + ", b: *x}}"))
	f.Add([]byte("apiVersion: reconcile/v1alpha1\nkind: Lock\nrepos: !!map {? a : {}}\n--- \n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		_, ds := DecodeLock(LockFile, src)
		got, err := EditLock(src, LockChanges{Repos: map[string]*LockEntry{"new": {URL: "https://x.org/n", Commit: commitA}}})
		if err != nil || len(bytes.TrimSpace(src)) == 0 {
			return
		}
		if ds.HasErrors() {
			t.Fatalf("a file with errors was edited: %v", ds)
		}
		l, ds := DecodeLock(LockFile, got)
		if e, ok := l.Repo("new"); ds.HasErrors() || !ok || e.Commit.V != commitA {
			t.Errorf("%q became %q: %v", src, got, ds)
		}
	})
}

// The published schema says what DecodeLock does, but for what has a grammar of
// its own.
func TestLockJSONSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(LockJSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("lock.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("lock.json")
	if err != nil {
		t.Fatal(err)
	}
	const head = "apiVersion: reconcile/v1alpha1\nkind: Lock\n"
	tests := []struct {
		name, src string
		valid     bool
	}{
		{"full", fullLock, true},
		{"nothing locked", head, true},
		{"empty sections", head + "repos:\ncontexts:\nimages:\nhooks:\napprovals:\n", true},
		{"an agent without approvals", head + "approvals: {manifest/a: , manifest/b: []}\n", true},
		{"a list", "- a\n", false},
		{"no kind", "apiVersion: reconcile/v1alpha1\n", false},
		{"another version", "apiVersion: reconcile/v1\nkind: Lock\n", false},
		{"an unknown section", head + "image: {}\n", false},
		{"a repo without a url", head + "repos: {a: {commit: " + commitA + "}}\n", false},
		{"a repo without a commit", head + "repos: {a: {url: 'https://x.org/y.git'}}\n", false},
		{"an unknown field of a repo", head + "repos: {a: {url: 'https://x.org/y.git', commit: " + commitA + ", at: x}}\n", false},
		{"no hash", head + "repos: {a: {url: 'https://x.org/y.git', commit: main}}\n", false},
		{"a number", head + "repos: {a: {url: 'https://x.org/y.git', commit: 1111}}\n", false},
		{"hooks", lockedHooks, true},
		{"a hook without commands", head + "hooks: {manifest/a: {digest: '" + digestA + "', commands: , files: }}\n", true},
		{"a hook without a digest", head + "hooks: {manifest/a: {commands: [x]}}\n", false},
		{"a hook of numbers", head + "hooks: {manifest/a: {digest: '" + digestA + "', commands: [1]}}\n", false},
		{"a hook of text", head + "hooks: {manifest/a: {digest: '" + digestA + "', commands: x}}\n", false},
		{"a hook with more", head + "hooks: {manifest/a: {digest: '" + digestA + "', command: [x]}}\n", false},
		{"a hook without a file's digest", head + "hooks: {manifest/a: {digest: '" + digestA + "', files: {x: y}}}\n", false},
		{"no digest", head + "images: {a: latest}\n", false},
		{"approvals of text", head + "approvals: {manifest/a: all}\n", false},
		{"approvals of numbers", head + "approvals: {manifest/a: [1]}\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v any
			if err := yaml.Unmarshal([]byte(tt.src), &v); err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(v); (err == nil) != tt.valid {
				t.Errorf("the schema says %v, want valid = %v", err, tt.valid)
			}
			if _, ds := DecodeLock("workspace.lock", []byte(tt.src)); ds.HasErrors() == tt.valid {
				t.Errorf("DecodeLock says %v, want valid = %v", ds, tt.valid)
			}
		})
	}
}
