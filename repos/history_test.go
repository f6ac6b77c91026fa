// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"reconcile/repos/repostest"
)

// opened returns the history of a test's repository.
func opened(t testing.TB, r *repostest.Repo) *history {
	t.Helper()
	repo, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return newHistory(repo.git)
}

// plant makes a commit with git's plumbing, so with any parents and time.
func plant(t testing.TB, r *repostest.Repo, message string, minute int, parents ...string) string {
	t.Helper()
	tree := repostest.GitWith(t, r.Dir, repostest.Env(), "", "hash-object", "-t", "tree", "-w", "--stdin")
	args := []string{"commit-tree", "-m", message, tree}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	date := fmt.Sprintf("%d +0000", repostest.Started+60*minute)
	return repostest.GitWith(t, r.Dir, repostest.Env("GIT_COMMITTER_DATE="+date, "GIT_AUTHOR_DATE="+date), "", args...)
}

func subjects(log []LogEntry) string {
	var list []string
	for _, e := range log {
		list = append(list, e.Subject)
	}
	return strings.Join(list, " ")
}

func TestHistory(t *testing.T) {
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	// a - b - c - - - m - n     the clock of e was far ahead, that of f far behind
	//      \ - d - e - /
	//      \ - f
	commits := map[string]string{"": ""}
	for _, c := range []struct {
		name    string
		minute  int
		parents []string
	}{
		{"a", 1, nil},
		{"b", 2, []string{"a"}},
		{"c", 3, []string{"b"}},
		{"d", 4, []string{"b"}},
		{"e", 5000, []string{"d"}},
		{"m", 6, []string{"c", "e"}},
		{"n", 7, []string{"m"}},
		{"f", -5000, []string{"b"}},
		{"lone", 9, nil},
	} {
		var parents []string
		for _, p := range c.parents {
			parents = append(parents, commits[p])
		}
		commits[c.name] = plant(t, r, c.name+"\n\nlong text", c.minute, parents...)
		r.Git(t, "update-ref", "refs/heads/"+c.name, commits[c.name])
	}
	h := opened(t, r)
	for _, test := range []struct {
		older, newer string
		limit        int
		want         string
		more         bool
	}{
		{"a", "a", 10, "", false},
		{"a", "c", 10, "c b", false},
		{"c", "a", 10, "", false},
		{"c", "n", 10, "n m e d", false},
		{"d", "n", 10, "n m e c", false},
		{"f", "n", 10, "n m e d c", false},
		{"n", "f", 10, "f", false},
		{"e", "c", 10, "c", false},
		{"lone", "c", 10, "c b a", false},
		{"c", "n", 2, "n m", true},
		{"c", "n", 4, "n m e d", false},
		{"c", "n", 0, "", true},
	} {
		log, more, err := h.between(plumbing.NewHash(commits[test.older]), plumbing.NewHash(commits[test.newer]), test.limit)
		if err != nil || subjects(log) != test.want || more != test.more {
			t.Errorf("%s..%s, at most %d: %q, more %v, %v, want %q, more %v", test.older, test.newer, test.limit, subjects(log), more, err, test.want, test.more)
		}
		// git itself agrees on which commits these are.
		want := strings.Fields(r.Git(t, "log", "--format=%H", commits[test.newer], "^"+commits[test.older]))
		if test.limit == 10 {
			var got []string
			for _, e := range log {
				got = append(got, e.Commit)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s..%s: %v, git says %v", test.older, test.newer, got, want)
			}
		}
	}
	for _, test := range []struct {
		older, newer string
		want         bool
	}{
		{"a", "a", true},
		{"a", "n", true},
		{"e", "n", true},
		{"n", "a", false},
		{"f", "n", false},
		{"lone", "n", false},
		{"b", "f", true},
	} {
		got, err := h.isAncestor(plumbing.NewHash(commits[test.older]), plumbing.NewHash(commits[test.newer]))
		if err != nil || got != test.want {
			t.Errorf("isAncestor(%s, %s) = %v, %v, want %v", test.older, test.newer, got, err, test.want)
		}
	}
	if _, err := h.isAncestor(plumbing.NewHash(commits["a"]), plumbing.NewHash(strings.Repeat("1", 40))); !errors.Is(err, plumbing.ErrObjectNotFound) {
		t.Errorf("isAncestor of a commit that is not there: %v", err)
	}
}

func TestLogOfALocalRepository(t *testing.T) {
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	first := r.Commit(t, repostest.Commit{Message: "one\n\nmore"})
	second := r.Commit(t, repostest.Commit{Message: "two"})
	third := r.Commit(t, repostest.Commit{Message: "three"})
	s := NewStore(StoreOptions{Dir: filepath.Join(t.TempDir(), "mirrors")})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	src := Source{URL: r.URL}
	log, more, err := s.Log(t.Context(), src, first, third, 10)
	if err != nil || more || subjects(log) != "three two" {
		t.Fatalf("Log = %+v, %v, %v", log, more, err)
	}
	if e := log[1]; e.Commit != second || e.Author != "Ada" || e.Time.Unix() != repostest.Started+60 {
		t.Errorf("entry %+v", e)
	}
	if log, more, err = s.Log(t.Context(), src, "", first, 10); err != nil || more || subjects(log) != "one" {
		t.Errorf("Log of the first commit = %+v, %v, %v", log, more, err)
	}
	if log, more, err = s.Log(t.Context(), src, "", third, 10); err != nil || !more || subjects(log) != "three" {
		t.Errorf("Log of one commit = %+v, %v, %v", log, more, err)
	}
	if _, _, err = s.Log(t.Context(), src, strings.Repeat("1", 40), third, 10); err == nil || !strings.Contains(err.Error(), strings.Repeat("1", 40)) {
		t.Errorf("Log from a commit that is gone: %v", err)
	}
}

// A mirror over HTTP has one commit; the log needs more.
func TestLogBringsHistory(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	r := srv.Repo(t, "a")
	first := r.Commit(t, repostest.Commit{Message: "one"})
	var last string
	for _, m := range []string{"two", "three", "four"} {
		last = r.Commit(t, repostest.Commit{Message: m})
	}
	s := NewStore(StoreOptions{Dir: filepath.Join(t.TempDir(), "mirrors")})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	src := Source{URL: r.URL, Ref: "main"}
	if got := s.Fetch(t.Context(), []Source{src}); got[0].Err != nil || got[0].Commit != last {
		t.Fatalf("Fetch = %+v", got)
	}
	log, more, err := s.Log(t.Context(), src, first, last, 2)
	if err != nil || !more || subjects(log) != "four three" {
		t.Errorf("Log = %+v, %v, %v", log, more, err)
	}
}

func hashOf(s string) plumbing.Hash { return plumbing.NewHash(s) }
