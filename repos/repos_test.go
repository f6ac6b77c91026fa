// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-cmp/cmp"

	"reconcile/tree"
)

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func commitAll(t testing.TB, r *git.Repository, message string) string {
	t.Helper()
	w, err := r.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	who := &object.Signature{Name: "a", Email: "a@example.org", When: time.Unix(1700000000, 0)}
	h, err := w.Commit(message, &git.CommitOptions{Author: who, Committer: who})
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// newRepo returns a work tree with one commit of files.
func newRepo(t testing.TB, files map[string]string) (dir string, r *git.Repository, commit string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if r, err = git.PlainInit(dir, false); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		write(t, dir, name, content)
	}
	return dir, r, commitAll(t, r, "first")
}

func TestCommitNames(t *testing.T) {
	dir, r, first := newRepo(t, map[string]string{"a": "1"})
	if _, err := r.CreateTag("v1", plumbing.NewHash(first), &git.CreateTagOptions{
		Message: "one", Tagger: &object.Signature{Name: "a", Email: "a@example.org"},
	}); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a", "2")
	second := commitAll(t, r, "second")

	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"": second, "master": second, "v1": first, first: first, first[:8]: first,
		"refs/heads/master": second, "refs/tags/v1": first,
	} {
		got, err := repo.Commit(ref)
		if err != nil || got != want {
			t.Errorf("Commit(%q) = %s, %v, want %s", ref, got, err, want)
		}
	}
	for _, ref := range []string{"nope", "HEAD", "refs/heads/nope", "HEAD~1", "../../config", "v1^{tree}", strings.Repeat("0", 40)} {
		if got, err := repo.Commit(ref); err == nil {
			t.Errorf("Commit(%q) = %s, want an error", ref, got)
		}
	}
}

func TestOpenSaysThereIsNone(t *testing.T) {
	_, err := Open(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "there is no git repository") {
		t.Fatalf("Open = %v", err)
	}
	dir, _, _ := newRepo(t, map[string]string{"sub/a": "1"})
	if _, err := Open(filepath.Join(dir, "sub")); err == nil {
		t.Error("Open found a repository in a folder above")
	}
}

func TestFS(t *testing.T) {
	dir, r, _ := newRepo(t, map[string]string{"README": "hi\n", "agents/web/manifest.yaml": "container: x\n", "agents/web/run.sh": "#!/bin/sh\n"})
	if err := os.Chmod(filepath.Join(dir, "agents/web/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("run.sh", filepath.Join(dir, "agents/web/start")); err != nil {
		t.Fatal(err)
	}
	commitAll(t, r, "second")
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := repo.Commit("")
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := repo.FS(commit)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "README", "agents/web/manifest.yaml", "agents/web/run.sh"); err != nil && !strings.Contains(err.Error(), errSymlink.Error()) {
		t.Error(err)
	}
	if _, err := fsys.Open("agents/web/start"); !errors.Is(err, errSymlink) {
		t.Errorf("open of a link = %v", err)
	}
	if _, err := fsys.ReadFile("agents/web/start/x"); !errors.Is(err, errSymlink) {
		t.Errorf("path through a link = %v", err)
	}
	if target, err := fsys.ReadLink("agents/web/start"); target != "run.sh" || err != nil {
		t.Errorf("ReadLink = %q, %v", target, err)
	}

	// The same folder has one hash, in the checkout and in the commit.
	sub, err := fs.Sub(fsys, "agents/web")
	if err != nil {
		t.Fatal(err)
	}
	got, err := tree.Hash(sub)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tree.Hash(os.DirFS(filepath.Join(dir, "agents/web")))
	if err != nil || got != want {
		t.Errorf("hash of the commit's folder %s, of the checkout's %s, %v", got, want, err)
	}
}

func TestSourceIsStable(t *testing.T) {
	dir, r, _ := newRepo(t, map[string]string{"web/manifest.yaml": "container: x\n", "b": "1"})
	if err := os.Symlink("manifest.yaml", filepath.Join(dir, "web/link")); err != nil {
		t.Fatal(err)
	}
	first := commitAll(t, r, "link")
	write(t, dir, "b", "2")
	second := commitAll(t, r, "second")
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, c := range []string{first, second} {
		fsys, err := repo.FS(c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := fsys.Source("web")
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, s)
		sub, err := fs.Sub(fsys, "web")
		if err != nil {
			t.Fatal(err)
		}
		if of, err := sub.(*FS).Source("."); of != s || err != nil {
			t.Errorf("source of a folder = %q, %v, want %q", of, err, s)
		}
	}
	if sources[0] != sources[1] {
		t.Errorf("a commit elsewhere moved the source: %q, %q", sources[0], sources[1])
	}
	for _, from := range []string{sources[0], filepath.Join(dir, "web")} {
		src, closeSrc, err := OpenSource(from)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := fs.ReadFile(src, "manifest.yaml"); string(b) != "container: x\n" || err != nil {
			t.Errorf("OpenSource(%q): %q, %v", from, b, err)
		}
		if target, err := fs.ReadLink(src, "link"); target != "manifest.yaml" || err != nil {
			t.Errorf("OpenSource(%q): link to %q, %v", from, target, err)
		}
		if err := closeSrc(); err != nil {
			t.Error(err)
		}
	}
	for _, from := range []string{"git+file:///nowhere#" + strings.Repeat("1", 40), "git+file://" + dir, "/nowhere"} {
		if _, _, err := OpenSource(from); err == nil {
			t.Errorf("OpenSource(%q) succeeded", from)
		}
	}
}

func TestRevision(t *testing.T) {
	tests := []struct {
		name  string
		edit  func(t *testing.T, dir string, r *git.Repository)
		dirty bool
	}{
		{"clean", func(*testing.T, string, *git.Repository) {}, false},
		{"edited", func(t *testing.T, dir string, _ *git.Repository) { write(t, dir, "ws/a", "2") }, true},
		{"touched", func(t *testing.T, dir string, _ *git.Repository) {
			now := time.Now().Add(time.Hour)
			if err := os.Chtimes(filepath.Join(dir, "ws/a"), now, now); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"executable", func(t *testing.T, dir string, _ *git.Repository) {
			if err := os.Chmod(filepath.Join(dir, "ws/a"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"removed", func(t *testing.T, dir string, _ *git.Repository) {
			if err := os.Remove(filepath.Join(dir, "ws/a")); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"untracked", func(t *testing.T, dir string, _ *git.Repository) { write(t, dir, "ws/new/b", "2") }, true},
		{"empty folder", func(t *testing.T, dir string, _ *git.Repository) {
			if err := os.MkdirAll(filepath.Join(dir, "ws/new"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"ignored", func(t *testing.T, dir string, _ *git.Repository) { write(t, dir, "ws/out/b.log", "2") }, false},
		{"edited elsewhere", func(t *testing.T, dir string, _ *git.Repository) { write(t, dir, "other", "2") }, false},
		{"staged", func(t *testing.T, dir string, r *git.Repository) {
			write(t, dir, "ws/a", "2")
			w, err := r.Worktree()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Add("ws/a"); err != nil {
				t.Fatal(err)
			}
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, r, want := newRepo(t, map[string]string{"ws/a": "1", "ws/sub/b": "1", "other": "1", ".gitignore": "*.log\n"})
			tt.edit(t, dir, r)
			if tt.dirty {
				want += Dirty
			}
			if got := Revision(filepath.Join(dir, "ws")); got != want {
				t.Errorf("Revision = %q, want %q", got, want)
			}
		})
	}
	if got := Revision(t.TempDir()); got != "" {
		t.Errorf("Revision without git = %q", got)
	}
}

func TestIgnored(t *testing.T) {
	dir, r, _ := newRepo(t, map[string]string{
		"ws/a": "1", "ws/kept/.gitignore": "!keep.log\n/*.tmp\n", "other": "1",
		".gitignore": "*.log\nnode_modules/\n/ws/top\n",
	})
	for _, name := range []string{
		"ws/b", "ws/b.log", "ws/top", "ws/sub/top", "ws/sub/node_modules/x/y", "ws/node_modules/z",
		"ws/kept/new.log", "ws/kept/keep.log", "ws/kept/x.tmp", "ws/kept/sub/x.tmp", "c.log",
	} {
		write(t, dir, name, "2")
	}
	all := []string{"b.log", "kept/new.log", "kept/x.tmp", "node_modules", "sub/node_modules", "top"}
	for below, want := range map[string][]string{
		"ws": all, "ws/kept": {"new.log", "x.tmp"}, "ws/sub": {"node_modules"},
		".": append([]string{"c.log"}, prefixed("ws/", all)...),
	} {
		got, err := Ignored(filepath.Join(dir, below))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Ignored(%s) (-want +got):\n%s", below, diff)
		}
	}
	w, err := r.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add("ws/b.log"); err != nil {
		t.Fatal(err)
	}
	if got, err := Ignored(filepath.Join(dir, "ws")); err != nil || slices.Contains(got, "b.log") {
		t.Errorf("Ignored has what was added: %q, %v", got, err)
	}
	if got, err := Ignored(t.TempDir()); got != nil || err != nil {
		t.Errorf("Ignored without git = %q, %v", got, err)
	}
}

func prefixed(before string, names []string) []string {
	out := slices.Clone(names)
	for i := range out {
		out[i] = before + out[i]
	}
	return out
}

func BenchmarkRevision(b *testing.B) {
	files := map[string]string{}
	for i := range 1000 {
		files["agents/a"+string(rune('a'+i%26))+"/"+strings.Repeat("x", i/26+1)] = "container: x\n"
	}
	dir, _, _ := newRepo(b, files)
	for b.Loop() {
		Revision(dir)
	}
}
