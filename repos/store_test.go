// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/repos/repostest"
)

// newStore keeps mirrors in a folder of the test's. Nothing of the user's is
// read.
func newStore(t testing.TB, o StoreOptions) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "mirrors")
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Auth.LookupEnv == nil {
		o.Auth.LookupEnv = func(string) (string, bool) { return "", false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s := NewStore(o)
	s.pause = time.Millisecond
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fetch(t testing.TB, s *Store, src Source) Fetched {
	t.Helper()
	return s.Fetch(context.Background(), []Source{src})[0]
}

// had returns the commit that must be had without any error.
func had(t testing.TB, s *Store, src Source) string {
	t.Helper()
	got := fetch(t, s, src)
	if got.Err != nil {
		t.Fatalf("fetch %s %q: %v", src.URL, src.Ref, got.Err)
	}
	return got.Commit
}

func wantCommit(t testing.TB, what string, got Fetched, commit string, kind error) {
	t.Helper()
	if got.Commit != commit {
		t.Errorf("%s: commit %q, want %q (%v)", what, got.Commit, commit, got.Err)
	}
	if kind == nil && got.Err != nil || !errors.Is(got.Err, kind) {
		t.Errorf("%s: error %v, want %v", what, got.Err, kind)
	}
}

// content reads a file of a commit.
func content(t testing.TB, s *Store, src Source, commit, name string) string {
	t.Helper()
	files, err := s.FS(src, commit)
	if err != nil {
		t.Fatal(err)
	}
	b, err := files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func files(names ...string) map[string]string {
	m := map[string]string{}
	for _, n := range names {
		m[n] = n + "\n"
	}
	return m
}

// A ref can be anything that the names of git allow, over every transport.
func TestFetchRefs(t *testing.T) {
	t.Parallel()
	web := repostest.HTTP(t, repostest.HTTPOptions{})
	shell := repostest.SSH(t)
	local := repostest.NewRepo(t, filepath.Join(t.TempDir(), "local.git"))
	local.URL = "file://" + local.Dir
	for name, repo := range map[string]*repostest.Repo{
		"http": web.Repo(t, "a"), "ssh": shell.Repo(t, "a"), "file": local,
	} {
		t.Run(name, func(t *testing.T) {
			first := repo.Commit(t, repostest.Commit{Files: files("a", "dir/b")})
			repo.Tag(t, "v1", first, "annotated")
			repo.Tag(t, "light", first, "")
			side := repo.Commit(t, repostest.Commit{Branch: "side/x", Parent: first, Files: files("side")})
			repo.Tag(t, "side/x", first, "") // a branch comes first
			second := repo.Commit(t, repostest.Commit{Files: files("c")})
			s := newStore(t, StoreOptions{Auth: sshAuth(shell)})
			for ref, want := range map[string]string{
				"": second, "main": second, "v1": first, "light": first, "side/x": side,
				"refs/heads/main": second, "refs/tags/v1": first, "refs/tags/side/x": first,
				first: first, side: side,
			} {
				src := Source{URL: repo.URL, Ref: ref}
				wantCommit(t, "fetch "+ref, fetch(t, s, src), want, nil)
				wantCommit(t, "look "+ref, s.Look([]Source{src})[0], want, nil)
				if got := content(t, s, src, want, "dir/b"); got != "dir/b\n" {
					t.Errorf("%s: dir/b is %q", ref, got)
				}
			}
			for ref, kind := range map[string]error{"none": ErrNoRef, strings.Repeat("1", 40): ErrNoRef, "refs/heads/none": ErrNoRef} {
				wantCommit(t, "fetch "+ref, fetch(t, s, Source{URL: repo.URL, Ref: ref}), "", kind)
			}
		})
	}
}

func sshAuth(srv *repostest.SSHServer) Auth {
	return Auth{
		SSHKey: srv.Key, KnownHosts: []string{srv.KnownHosts},
		LookupEnv: func(string) (string, bool) { return "", false },
	}
}

// What has not moved costs one listing, whatever is asked of it.
func TestFetchCostsOneListing(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	repo.Tag(t, "v1", first, "one")
	second := repo.Commit(t, repostest.Commit{Files: files("b")})
	s := newStore(t, StoreOptions{})
	sources := []Source{{URL: repo.URL}, {URL: repo.URL, Ref: "main"}, {URL: repo.URL, Ref: "v1"}, {URL: repo.URL + "/", Ref: "main", Commit: second}}
	check := func(what string, s *Store, listings, packs int) {
		t.Helper()
		srv.Requests()
		var commits []string
		for _, got := range s.Fetch(context.Background(), sources) {
			if got.Err != nil || got.OffRef || got.Since.IsZero() {
				t.Errorf("%s: %+v", what, got)
			}
			commits = append(commits, got.Commit)
		}
		if diff := cmp.Diff([]string{second, second, first, second}, commits); diff != "" {
			t.Errorf("%s: commits (-want +got)\n%s", what, diff)
		}
		requests := srv.Requests()
		if l, p := repostest.Listings(requests), repostest.Packs(requests); l != listings || p != packs {
			t.Errorf("%s: %d listings, %d packs, want %d, %d", what, l, p, listings, packs)
		}
	}
	check("first", s, 1, 1)
	check("again", s, 1, 0)
	check("another process", newStore(t, StoreOptions{Dir: s.opt.Dir}), 1, 0)

	sources = []Source{{URL: repo.URL, Ref: second}}
	srv.Requests()
	wantCommit(t, "commit", fetch(t, s, sources[0]), second, nil)
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("a commit that is here cost %d requests", n)
	}
}

// A branch that moves is followed, forwards, backwards and sideways; what was
// good stays when it cannot be.
func TestFetchFollows(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	s := newStore(t, StoreOptions{Retries: -1})
	src := Source{URL: repo.URL, Ref: "main"}
	wantCommit(t, "empty", fetch(t, s, src), "", ErrNoRef)
	wantCommit(t, "look at empty", s.Look([]Source{src})[0], "", ErrNotHere)

	first := repo.Commit(t, repostest.Commit{Files: files("a", "b")})
	wantCommit(t, "first", fetch(t, s, src), first, nil)
	second := repo.Commit(t, repostest.Commit{Files: files("c")})
	third := repo.Commit(t, repostest.Commit{Files: files("d")})
	wantCommit(t, "third", fetch(t, s, src), third, nil)
	repo.Point(t, "refs/heads/main", second) // never fetched, and older than what was
	wantCommit(t, "back", fetch(t, s, src), second, nil)
	if got := content(t, s, src, second, "a"); got != "a\n" {
		t.Errorf("after a step back, a is %q", got)
	}
	forced := repo.Commit(t, repostest.Commit{Root: true, Files: files("e")})
	wantCommit(t, "forced", fetch(t, s, src), forced, nil)
	wantCommit(t, "forced, at the default branch", fetch(t, s, Source{URL: repo.URL}), forced, nil)

	before := s.Look([]Source{src})[0].Since
	repo.Forget(t)
	emptied := fetch(t, s, src)
	wantCommit(t, "emptied", emptied, forced, ErrNoRef)
	if !emptied.Since.Equal(before) {
		t.Errorf("stale since %v, want %v", emptied.Since, before)
	}
	wantCommit(t, "look at emptied", s.Look([]Source{src})[0], forced, ErrNoRef)
	repo.Delete(t)
	wantCommit(t, "deleted", fetch(t, s, src), forced, ErrNotFound)
	wantCommit(t, "deleted, in another process", newStore(t, StoreOptions{Dir: s.opt.Dir}).Look([]Source{src})[0], forced, ErrNotFound)
	if got := content(t, s, src, forced, "e"); got != "e\n" {
		t.Errorf("of the last good copy, e is %q", got)
	}
}

// A pinned commit is had whatever its ref points to, and judged once for each
// place that its ref goes to.
func TestFetchPinned(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	for range 3 {
		repo.Commit(t, repostest.Commit{})
	}
	pinned := Source{URL: repo.URL, Ref: "main", Commit: first}
	s := newStore(t, StoreOptions{Retries: -1})
	check := func(what string, off bool, kind error) {
		t.Helper()
		got := fetch(t, s, pinned)
		wantCommit(t, what, got, first, kind)
		if got.OffRef != off {
			t.Errorf("%s: off its ref: %v, want %v", what, got.OffRef, off)
		}
		if seen := s.Look([]Source{pinned})[0]; seen.OffRef != off {
			t.Errorf("%s: look: off its ref: %v, want %v", what, seen.OffRef, off)
		}
	}
	check("behind", false, nil)
	srv.Requests()
	check("again", false, nil)
	if got := srv.Requests(); len(got) != 1 {
		t.Errorf("the same question again cost %v", got)
	}
	tip := repo.Commit(t, repostest.Commit{})
	check("further behind", false, nil)
	forced := repo.Commit(t, repostest.Commit{Root: true, Files: files("b")})
	check("forced away", true, nil)
	repo.Prune(t)
	check("pruned", true, nil)
	wantCommit(t, "another pin that the server has no more", fetch(t, s, Source{URL: repo.URL, Ref: "main", Commit: tip[:39] + "0"}), "", ErrNoRef)
	wantCommit(t, "not a hash", fetch(t, s, Source{URL: repo.URL, Commit: "main"}), "", ErrNoRef)
	repo.Point(t, "refs/heads/main", forced)
	srv.Break(repostest.Fault{Status: 500})
	got := fetch(t, s, pinned)
	if got.Commit != first || got.Err == nil || !got.OffRef {
		t.Errorf("while the server is down: %+v", got)
	}
}

// A source with history has all of it; it is another mirror, and names its
// folders alike.
func TestFetchHistory(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a/b")})
	second := repo.Commit(t, repostest.Commit{Files: files("c")})
	s := newStore(t, StoreOptions{})
	shallow, full := Source{URL: repo.URL}, Source{URL: repo.URL, Depth: -1}
	had(t, s, shallow)
	if r, err := s.repo(shallow, first); err == nil {
		t.Errorf("with depth 1, the first commit is in %s", r.path)
	}
	had(t, s, full)
	if _, err := s.repo(full, first); err != nil {
		t.Error(err)
	}
	var names []string
	for _, src := range []Source{shallow, full} {
		f, err := s.FS(src, second)
		if err != nil {
			t.Fatal(err)
		}
		name, err := f.Source("a")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if names[0] != names[1] || !strings.HasPrefix(names[0], "git+"+repo.URL+"#") {
		t.Errorf("sources are %q", names)
	}
	opened, done, err := s.OpenSource(names[0])
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if b, err := fs.ReadFile(opened, "b"); string(b) != "a/b\n" || err != nil {
		t.Errorf("b is %q, %v", b, err)
	}
	if _, _, err := OpenSource(names[0]); !errors.Is(err, ErrNotHere) {
		t.Errorf("without a store: %v", err)
	}
	third := repo.Commit(t, repostest.Commit{Files: files("d")})
	if got := had(t, s, full); got != third {
		t.Errorf("next commit is %s, want %s", got, third)
	}
}

// A commit that no branch leads to any more is had while the server gives it
// away, or has it in its history.
func TestFetchExactCommit(t *testing.T) {
	t.Parallel()
	for _, exact := range []bool{true, false} {
		t.Run(fmt.Sprintf("exact=%v", exact), func(t *testing.T) {
			srv := repostest.HTTP(t, repostest.HTTPOptions{})
			repo := srv.Repo(t, "a")
			first := repo.Commit(t, repostest.Commit{Files: files("a")})
			repo.Commit(t, repostest.Commit{Files: files("b")})
			lost := repo.Commit(t, repostest.Commit{Branch: "lost", Files: files("lost")})
			repo.Git(t, "update-ref", "-d", "refs/heads/lost")
			repo.Git(t, "config", "uploadpack.allowAnySHA1InWant", fmt.Sprint(exact))
			repo.Git(t, "config", "uploadpack.allowReachableSHA1InWant", fmt.Sprint(exact))
			s := newStore(t, StoreOptions{})
			if got := had(t, s, Source{URL: repo.URL, Ref: first}); got != first {
				t.Errorf("got %s, want %s", got, first)
			}
			want, kind := lost, error(nil)
			if !exact {
				want, kind = "", ErrNoRef
			}
			wantCommit(t, "a commit of no branch", fetch(t, s, Source{URL: repo.URL, Ref: lost}), want, kind)
		})
	}
}

// A read-only store leaves its folder as it is, byte for byte, and nothing else
// behind.
func TestReadOnlyStore(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	other := srv.Repo(t, "b")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	b := other.Commit(t, repostest.Commit{Files: files("b")})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := filepath.Join(t.TempDir(), "mirrors")
	src := Source{URL: repo.URL}

	none := NewStore(StoreOptions{Dir: dir, ReadOnly: true})
	if got := had(t, none, src); got != first {
		t.Errorf("without mirrors: %s", got)
	}
	if err := none.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of mirrors was made: %v", err)
	}

	had(t, newStore(t, StoreOptions{Dir: dir}), src)
	before := snapshot(t, dir)
	s := NewStore(StoreOptions{Dir: dir, ReadOnly: true, Retries: -1})
	srv.Requests()
	wantCommit(t, "what is here", fetch(t, s, src), first, nil)
	if p := repostest.Packs(srv.Requests()); p != 0 {
		t.Errorf("what is here was fetched %d times", p)
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("temporary files for nothing: %v", left)
	}
	second := repo.Commit(t, repostest.Commit{Files: files("c")})
	wantCommit(t, "what is new", fetch(t, s, src), second, nil)
	wantCommit(t, "look", s.Look([]Source{src})[0], second, nil)
	wantCommit(t, "pinned", fetch(t, s, Source{URL: repo.URL, Ref: "main", Commit: first}), first, nil)
	wantCommit(t, "other", fetch(t, s, Source{URL: other.URL}), b, nil)
	if got := content(t, s, src, second, "c"); got != "c\n" {
		t.Errorf("c is %q", got)
	}
	srv.Break(repostest.Fault{Status: 500})
	if got := fetch(t, s, src); got.Commit != second || got.Err == nil {
		t.Errorf("while the server is down: %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the folder changed:\n%s", diff)
	}
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// snapshot is all there is below a folder.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprint(info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text += string(b)
		}
		all[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A tag of something else than a commit is an error, and does not cost a new
// clone every time.
func TestFetchTagOfFile(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	repo.Tag(t, "file", first+":a", "")
	s := newStore(t, StoreOptions{})
	had(t, s, Source{URL: repo.URL})
	before := generation(t, s, Source{URL: repo.URL})
	for range 2 {
		wantCommit(t, "tag", fetch(t, s, Source{URL: repo.URL, Ref: "file"}), "", ErrNoRef)
	}
	if got := generation(t, s, Source{URL: repo.URL}); got != before {
		t.Errorf("the mirror was cloned again: %s", got)
	}
	wantCommit(t, "with all history", fetch(t, s, Source{URL: repo.URL, Depth: -1}), first, nil)
}

// A mirror of some commits has so many, and gets only what is new.
func TestFetchDepth(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	var commits []string
	for i := range 6 {
		commits = append(commits, repo.Commit(t, repostest.Commit{Files: map[string]string{fmt.Sprint(i): strings.Repeat(fmt.Sprint(i), 100)}}))
	}
	s := newStore(t, StoreOptions{})
	src := Source{URL: repo.URL, Depth: 3}
	for range 3 {
		tip := had(t, s, src)
		for i, c := range commits {
			_, err := s.repo(src, c)
			if want := i >= len(commits)-3; want && err != nil {
				t.Errorf("commit %d of %d: %v", i, len(commits), err)
			}
		}
		if tip != commits[len(commits)-1] {
			t.Errorf("tip %s", tip)
		}
		repostest.Git(t, generation(t, s, src), "fsck", "--connectivity-only")
		commits = append(commits, repo.Commit(t, repostest.Commit{Files: map[string]string{"new": fmt.Sprint(len(commits))}}))
	}
	if _, err := s.repo(src, commits[1]); !errors.Is(err, ErrNotHere) {
		t.Errorf("the second commit: %v", err)
	}
}

// A repository that borrows its objects from another can be read.
func TestLocalRepositoryBorrows(t *testing.T) {
	repo := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	shared := filepath.Join(t.TempDir(), "shared.git")
	repostest.Git(t, "", "clone", "-q", "--bare", "--shared", repo.Dir, shared)
	s := newStore(t, StoreOptions{})
	src := Source{URL: shared}
	wantCommit(t, "shared", fetch(t, s, src), first, nil)
	if got := content(t, s, src, first, "a"); got != "a\n" {
		t.Errorf("a is %q", got)
	}
}
