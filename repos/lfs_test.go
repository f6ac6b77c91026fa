// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reconcile/repos/repostest"
	"reconcile/tree"
)

// A history comes without the files of older commits.
func TestGitProgramPartialHistory(t *testing.T) {
	for name, config := range map[string]string{"filter": "true", "no filter": "false"} {
		t.Run(name, func(t *testing.T) {
			r := repostest.HTTP(t, repostest.HTTPOptions{}).Repo(t, "a")
			r.Git(t, "config", "uploadpack.allowFilter", config)
			first := r.Commit(t, repostest.Commit{Files: map[string]string{"sub/a": "old\n", "same": "same"}})
			second := r.Commit(t, repostest.Commit{Files: map[string]string{"sub/a": "content\n"}})
			g, dir := dialed(t, StoreOptions{}, Source{URL: r.URL})
			bringAll(t, g, dir, 0, second)
			repo, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if on, err := newHistory(repo.git).isAncestor(hashOf(first), hashOf(second)); !on || err != nil {
				t.Errorf("isAncestor = %v, %v", on, err)
			}
			oldFile := hashOf(r.Git(t, "rev-parse", first+":sub/a"))
			if here := repo.git.Storer.HasEncodedObject(oldFile) == nil; here != (config == "false") {
				t.Errorf("the file of an older commit is here: %v", here)
			}
			if repo.has(first) || !repo.has(second) {
				t.Errorf("there are all files of the first commit: %v, of the second: %v", repo.has(first), repo.has(second))
			}
			// Later commits have all of their files, also those of older ones.
			third := r.Commit(t, repostest.Commit{Files: map[string]string{"b": "3", "back": "old\n"}})
			bringAll(t, g, dir, 0, third)
			if repo, err = Open(dir); err != nil {
				t.Fatal(err)
			}
			files, err := repo.FS(third)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"back": "old\n", "same": "same", "b": "3"} {
				if b, err := files.ReadFile(name); string(b) != want || err != nil {
					t.Errorf("%s = %q, %v", name, b, err)
				}
			}
			// An older commit, by itself.
			if err := g.fetch(t.Context(), dir, wants{tips: []want{{tip: tip{object: first, commit: first}}}}); err != nil {
				t.Fatal(err)
			}
			if repo, err = Open(dir); err != nil || !repo.has(first) {
				t.Errorf("the older commit is not here: %v", err)
			}
		})
	}
}

// withLFS returns a bare repository with a file in LFS, and its commit.
func withLFS(t *testing.T) (r *repostest.Repo, commit, content string) {
	t.Helper()
	if out, err := exec.Command("git", "lfs", "version").CombinedOutput(); err != nil {
		t.Fatalf("git-lfs is needed: %v\n%s", err, out)
	}
	r = repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	work := filepath.Join(t.TempDir(), "work")
	repostest.Git(t, "", "clone", "-q", r.URL, work)
	repostest.Git(t, work, "lfs", "install", "--local")
	repostest.Git(t, work, "lfs", "track", "sub/*.bin")
	content = strings.Repeat("large ", 1000)
	write(t, work, "sub/x.bin", content)
	write(t, work, "sub/y.txt", "small")
	repostest.Git(t, work, "add", ".")
	repostest.Git(t, work, "commit", "-q", "-m", "one")
	repostest.Git(t, work, "push", "-q", "origin", "HEAD:main")
	if got := r.Git(t, "show", "main:sub/x.bin"); !strings.HasPrefix(got, "version https://git-lfs") {
		t.Fatalf("the file is not in LFS: %.50q", got)
	}
	return r, r.Git(t, "rev-parse", "main"), content
}

func TestLFS(t *testing.T) {
	r, commit, content := withLFS(t)
	s := NewStore(StoreOptions{Dir: filepath.Join(t.TempDir(), "mirrors")})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	src := Source{URL: r.URL, Ref: "main", Exec: true}
	if got := s.Fetch(t.Context(), []Source{src}); got[0].Err != nil || got[0].Commit != commit {
		t.Fatalf("Fetch = %+v", got)
	}
	files, err := s.FS(src, commit)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := files.ReadFile("sub/x.bin"); string(b) != content || err != nil {
		t.Errorf("ReadFile = %.50q, %v", b, err)
	}
	if b, err := fs.ReadFile(struct{ fs.FS }{files}, "sub/x.bin"); string(b) != content || err != nil {
		t.Errorf("Open and read = %.50q, %v", b, err)
	}
	if info, err := files.Lstat("sub/x.bin"); err != nil || info.Size() != int64(len(content)) {
		t.Errorf("Lstat = %v, %v", info, err)
	}
	// It is one folder for everybody.
	source, err := files.Source("sub")
	if err != nil {
		t.Fatal(err)
	}
	again, done, err := s.OpenSource(source)
	if err != nil {
		t.Fatal(err)
	}
	want := t.TempDir()
	write(t, want, "x.bin", content)
	write(t, want, "y.txt", "small")
	wantHash, err := tree.Hash(os.DirFS(want))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tree.Hash(again); got != wantHash || err != nil {
		t.Errorf("hash %s, %v, want %s", got, err, wantHash)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	// Nobody can send us elsewhere.
	next := r.Commit(t, repostest.Commit{Files: map[string]string{".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/\n"}})
	s4 := NewStore(StoreOptions{Dir: filepath.Join(t.TempDir(), "mirrors"), Retries: -1})
	if got := s4.Fetch(t.Context(), []Source{src}); got[0].Err != nil || got[0].Commit != next {
		t.Errorf("Fetch = %+v", got)
	}
	// A mirror of the other backend does not pass its pointers off as files.
	r2 := StoreOptions{Dir: filepath.Join(t.TempDir(), "mirrors")}
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	over := srv.Repo(t, "b")
	over.Git(t, "fetch", "-q", r.Dir, "main:main")
	over.Point(t, "refs/heads/main", commit)
	s2 := NewStore(r2)
	plain := Source{URL: over.URL, Ref: "main"}
	if got := s2.Fetch(t.Context(), []Source{plain}); got[0].Err != nil {
		t.Fatal(got[0].Err)
	}
	files, err = s2.FS(plain, commit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadFile("sub/x.bin"); !errors.Is(err, errLFS) || !strings.Contains(err.Error(), "sub/x.bin") {
		t.Errorf("ReadFile = %v", err)
	}
	if _, err := files.Open("sub/x.bin"); !errors.Is(err, errLFS) {
		t.Errorf("Open = %v", err)
	}
	if b, err := files.ReadFile("sub/y.txt"); string(b) != "small" || err != nil {
		t.Errorf("ReadFile = %q, %v", b, err)
	}
	// The content cannot be had: neither can the commit, and it does not count as
	// fetched the next time either.
	gone := Source{URL: over.URL, Ref: "main", Exec: true}
	s3 := NewStore(StoreOptions{Dir: r2.Dir, Retries: -1, Timeout: time.Minute})
	for range 2 {
		if got := s3.Fetch(t.Context(), []Source{gone}); got[0].Err == nil || got[0].Commit != "" {
			t.Errorf("Fetch = %+v", got)
		}
	}
	if err := errors.Join(s2.Close(), s3.Close(), s4.Close()); err != nil {
		t.Error(err)
	}
}

// Over HTTP files in LFS are asked for with the credentials of the repository.
func TestLFSOverHTTP(t *testing.T) {
	r, commit, content := withLFS(t)
	srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: "geheim"})
	served := srv.Repo(t, "a")
	served.Git(t, "fetch", "-q", r.Dir, "main:main")
	var strangers atomic.Int32
	both := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		at, isLFS := strings.CutPrefix(req.URL.Path, "/a.git/info/lfs/objects/")
		if !isLFS {
			srv.ServeHTTP(w, req)
			return
		}
		if user, password, _ := req.BasicAuth(); user != "ada" || password != "geheim" {
			strangers.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="lfs"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
		if at == sum {
			_, _ = io.WriteString(w, content)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
		fmt.Fprintf(w, `{"transfer":"basic","objects":[{"oid":%q,"size":%d,"authenticated":false,"actions":{"download":{"href":"http://%s/a.git/info/lfs/objects/%s"}}}]}`,
			sum, len(content), req.Host, sum)
	}))
	defer both.Close()
	s := NewStore(StoreOptions{
		Dir: filepath.Join(t.TempDir(), "mirrors"), Retries: -1,
		Auth: Auth{Credentials: credentials(t, both.URL, "ada", "geheim")},
	})
	src := Source{URL: both.URL + "/a.git", Exec: true}
	if got := s.Fetch(t.Context(), []Source{src}); got[0].Err != nil || got[0].Commit != commit {
		t.Fatalf("Fetch = %+v, %d requests of strangers", got, strangers.Load())
	}
	files, err := s.FS(src, commit)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := files.ReadFile("sub/x.bin"); string(b) != content || err != nil {
		t.Errorf("ReadFile = %.50q, %v", b, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for name, text := range listFolder(t, s.opt.Dir) {
		if strings.Contains(text, "geheim") || strings.Contains(text, "YWRhOmdlaGVpbQ") {
			t.Errorf("%s has the password in it", name)
		}
	}
}

// Without git-lfs a repository that needs it says so.
func TestLFSMissing(t *testing.T) {
	r, _, _ := withLFS(t)
	bin := t.TempDir()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	core := repostest.Git(t, "", "--exec-path")
	if _, err := os.Stat(filepath.Join(core, "git-lfs")); err == nil {
		t.Fatal("git-lfs is among git's own programs: the test says nothing")
	}
	for name, target := range map[string]string{"git": git, "sh": "/bin/sh"} {
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	g, dir := dialed(t, StoreOptions{}, Source{URL: r.URL})
	l, err := g.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, _ := l.resolve("main")
	err = g.fetch(t.Context(), dir, wants{tips: []want{w}, depth: 1})
	if !errors.Is(err, ErrNoGit) || retryable(err) || !strings.Contains(err.Error(), "git-lfs is not installed") {
		t.Errorf("fetch = %v", err)
	}
}

func TestPointers(t *testing.T) {
	oid := strings.Repeat("0a", 32)
	for text, want := range map[string]pointer{
		pointerVersion + "oid sha256:" + oid + "\nsize 12\n":                         {oid, 12},
		pointerVersion + "ext-0-x sha256:11\noid sha256:" + oid + "\nsize 0\n":       {oid, 0},
		pointerVersion + "oid sha256:" + oid[:62] + "/.\nsize 12\n":                  {},
		pointerVersion + "oid sha256:" + oid[:62] + "\nsize 12\n":                    {},
		pointerVersion + "oid sha1:" + oid + "\nsize 12\n":                           {},
		pointerVersion + "oid sha256:" + oid + "\nsize -1\n":                         {},
		pointerVersion + "oid sha256:" + oid + "\n":                                  {},
		"oid sha256:" + oid + "\nsize 12\n":                                          {},
		"version https://git-lfs.github.com/spec/v2\noid sha256:" + oid + "\nsize 1": {},
	} {
		got, ok := parsePointer([]byte(text))
		if ok != (want.oid != "") || ok && got != want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
}

func TestLinkLarge(t *testing.T) {
	r, commit, content := withLFS(t)
	from, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	to, err := Open(bare(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := transplant(from, to, hashOf(commit)); err != nil {
		t.Fatal(err)
	}
	files, err := to.FS(commit)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := files.ReadFile("sub/x.bin"); string(b) != content || err != nil {
		t.Errorf("ReadFile = %.50q, %v", b, err)
	}
	names, err := fs.Glob(files, "*")
	if err != nil || !slices.Equal(names, []string{".gitattributes", "sub"}) {
		t.Errorf("files are %v, %v", names, err)
	}
}
