// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"reconcile/repos/repostest"
)

func gitmodules(pathURL ...string) string {
	var b strings.Builder
	for i := 0; i < len(pathURL); i += 2 {
		fmt.Fprintf(&b, "[submodule %q]\n\tpath = %s\n\turl = %s\n", pathURL[i], pathURL[i], pathURL[i+1])
	}
	return b.String()
}

// Submodules, with theirs, are folders of the commit that has them.
func TestSubmodules(t *testing.T) {
	t.Parallel()
	web := repostest.HTTP(t, repostest.HTTPOptions{})
	local := t.TempDir()
	for _, tt := range []struct {
		name string
		repo func(t *testing.T, name string) *repostest.Repo
	}{
		{"http", func(t *testing.T, name string) *repostest.Repo { return web.Repo(t, name) }},
		{"file", func(t *testing.T, name string) *repostest.Repo {
			return repostest.NewRepo(t, filepath.Join(local, name+".git"))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaf, inner, outer := tt.repo(t, "org/leaf"), tt.repo(t, "org/inner"), tt.repo(t, "org/outer")
			leafCommit := leaf.Commit(t, repostest.Commit{Files: files("leaf", "sub/x")})
			innerCommit := inner.Commit(t, repostest.Commit{
				Files:      map[string]string{"inner": "inner\n", ".gitmodules": gitmodules("deep/leaf", "../leaf.git")},
				Submodules: map[string]string{"deep/leaf": leafCommit},
			})
			leaf.Commit(t, repostest.Commit{Files: files("newer")}) // not what is asked for
			first := outer.Commit(t, repostest.Commit{
				Files: map[string]string{
					"a": "a\n", "agents/x/manifest.yaml": "x\n",
					".gitmodules": gitmodules("agents/x/lib", "../inner.git", "leaf", leaf.URL, "gone", "../gone.git"),
				},
				Submodules: map[string]string{"agents/x/lib": innerCommit, "leaf": leafCommit, "undeclared": leafCommit},
			})
			s := newStore(t, StoreOptions{})
			src := Source{URL: outer.URL}
			if got := had(t, s, src); got != first {
				t.Fatalf("commit %s, want %s", got, first)
			}
			all, err := s.FS(src, first)
			must(t, err)
			var seen []string
			must(t, fs.WalkDir(all, ".", func(name string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					seen = append(seen, name)
				}
				return err
			}))
			want := []string{
				".gitmodules", "a", "agents/x/lib/.gitmodules", "agents/x/lib/deep/leaf/leaf", "agents/x/lib/deep/leaf/sub/x",
				"agents/x/lib/inner", "agents/x/manifest.yaml", "leaf/leaf", "leaf/sub/x",
			}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("files (-want +got)\n%s", diff)
			}
			if err := fstest.TestFS(all, want...); err != nil {
				t.Error(err)
			}
			for _, dir := range []string{"agents/x", "agents/x/lib", "agents/x/lib/deep/leaf/sub", "leaf"} {
				name, err := all.Source(dir)
				must(t, err)
				sub, err := fs.Sub(all, dir)
				must(t, err)
				if again, err := sub.(*FS).Source("."); again != name || err != nil {
					t.Errorf("source of the folder %s is %q, %v, want %q", dir, again, err, name)
				}
				opened, done, err := newStore(t, StoreOptions{Dir: s.opt.Dir}).OpenSource(name)
				must(t, err)
				if diff := cmp.Diff(contents(t, sub), contents(t, opened)); diff != "" {
					t.Errorf("%s (-want +got)\n%s", name, diff)
				}
				must(t, done())
			}
			before, err := all.Source("agents/x")
			must(t, err)
			second := outer.Commit(t, repostest.Commit{Submodules: map[string]string{"leaf": leaf.Commit(t, repostest.Commit{Files: files("y")})}})
			if got := had(t, s, src); got != second {
				t.Fatalf("commit %s, want %s", got, second)
			}
			later, err := s.FS(src, second)
			must(t, err)
			if after, err := later.Source("agents/x"); after != before || err != nil {
				t.Errorf("a submodule elsewhere moved a source: %q, %q, %v", before, after, err)
			}
			if b, err := later.ReadFile("leaf/y"); string(b) != "y\n" || err != nil {
				t.Errorf("leaf/y is %q, %v", b, err)
			}
			wantCommit(t, "look", s.Look([]Source{src})[0], second, nil)
		})
	}
}

func contents(t *testing.T, files fs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, name)
		all[name] = string(b)
		return err
	}))
	return all
}

// A commit with a submodule that cannot be had is not had, and the one before
// stays.
func TestSubmoduleErrors(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	leaf, outer, twin := srv.Repo(t, "leaf"), srv.Repo(t, "outer"), srv.Repo(t, "twin")
	leafCommit := leaf.Commit(t, repostest.Commit{Files: files("leaf")})
	secret := writeFile(t, "host-file", "of this host\n", 0o600)
	first := outer.Commit(t, repostest.Commit{Files: files("a")})
	s := newStore(t, StoreOptions{Retries: -1})
	src := Source{URL: outer.URL}
	wantCommit(t, "first", fetch(t, s, src), first, nil)
	for _, tt := range []struct {
		name, text string
		kind       error
		commit     repostest.Commit
	}{
		{name: "no repository", kind: ErrNotFound, text: `submodule "lib": ` + srv.URL + "/none.git", commit: repostest.Commit{
			Files: map[string]string{".gitmodules": gitmodules("lib", "../none.git")}, Submodules: map[string]string{"lib": leafCommit},
		}},
		{name: "no commit", kind: ErrNoRef, text: `submodule "lib"`, commit: repostest.Commit{
			Files: map[string]string{".gitmodules": gitmodules("lib", "../leaf.git")}, Submodules: map[string]string{"lib": strings.Repeat("1", 40)},
		}},
		{name: "file of this host", kind: ErrURL, text: "it is of this host", commit: repostest.Commit{
			Files: map[string]string{".gitmodules": gitmodules("lib", "file://"+secret)}, Submodules: map[string]string{"lib": leafCommit},
		}},
		{name: "program", kind: ErrURL, text: "run programs", commit: repostest.Commit{
			Files: map[string]string{".gitmodules": gitmodules("lib", "ext::sh -c id")}, Submodules: map[string]string{"lib": leafCommit},
		}},
		{name: "credentials", kind: ErrURL, text: "credentials", commit: repostest.Commit{
			Files: map[string]string{".gitmodules": gitmodules("lib", "https://u:"+planted+"@example.org/x")}, Submodules: map[string]string{"lib": leafCommit},
		}},
		{name: "link", text: ".gitmodules is not a file", commit: repostest.Commit{
			Delete: []string{".gitmodules"}, Links: map[string]string{".gitmodules": "a"}, Submodules: map[string]string{"lib": leafCommit},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			outer.Commit(t, tt.commit)
			got := fetch(t, s, src)
			if got.Commit != first || tt.kind != nil && !errors.Is(got.Err, tt.kind) {
				t.Errorf("fetch: %+v, want %s and %v", got, first, tt.kind)
			}
			if got.Err == nil || !strings.Contains(got.Err.Error(), tt.text) || strings.Contains(got.Err.Error(), planted) {
				t.Errorf("error %v, want %q", got.Err, tt.text)
			}
			if seen := s.Look([]Source{src})[0]; seen.Commit != first || seen.Err == nil {
				t.Errorf("look: %+v", seen)
			}
		})
	}

	// Each has the other, in an endless row of commits that nobody can make; the
	// nesting ends.
	commit := twin.Commit(t, repostest.Commit{Files: files("twin")})
	for range maxNesting + 2 {
		commit = twin.Commit(t, repostest.Commit{
			Files: map[string]string{".gitmodules": gitmodules("twin", "../twin.git")}, Submodules: map[string]string{"twin": commit},
		})
	}
	got := fetch(t, s, Source{URL: twin.URL})
	if got.Err == nil || !strings.Contains(got.Err.Error(), "nested more than 10 deep") {
		t.Errorf("nested for ever: %.300v", got.Err)
	}
}

// Credentials that a source names are for its host alone.
func TestSubmoduleCredentials(t *testing.T) {
	a := repostest.HTTP(t, repostest.HTTPOptions{Token: planted})
	b := repostest.HTTP(t, repostest.HTTPOptions{Token: planted})
	inner, far, outer := a.Repo(t, "inner"), b.Repo(t, "far"), a.Repo(t, "outer")
	innerCommit := inner.Commit(t, repostest.Commit{Files: files("inner")})
	farCommit := far.Commit(t, repostest.Commit{Files: files("far")})
	s := newStore(t, StoreOptions{Retries: -1, Auth: Auth{Secret: func(string) (Secret, error) { return Secret{"": []byte(planted)}, nil }}})
	src := Source{URL: outer.URL, SecretRef: "git"}
	first := outer.Commit(t, repostest.Commit{
		Files: map[string]string{".gitmodules": gitmodules("inner", "./../inner.git")}, Submodules: map[string]string{"inner": innerCommit},
	})
	wantCommit(t, "same host", fetch(t, s, src), first, nil)
	outer.Commit(t, repostest.Commit{
		Files: map[string]string{".gitmodules": gitmodules("far", far.URL)}, Submodules: map[string]string{"far": farCommit}, Delete: []string{"inner"},
	})
	wantCommit(t, "another host", fetch(t, s, src), first, ErrAuth)
	for _, r := range b.Requests() {
		if r.Authorization != "" {
			t.Errorf("%s %s took the credentials to another host", r.Method, r.Path)
		}
	}
}

func TestSubmoduleURLs(t *testing.T) {
	for _, tt := range []struct{ parent, address, want string }{
		{"https://example.org/org/a.git", "../b.git", "https://example.org/org/b.git"},
		{"https://example.org/org/a.git", "../../x/b.git", "https://example.org/x/b.git"},
		{"https://example.org/org/a.git", "./b", "https://example.org/org/a.git/b"},
		{"https://example.org:8443/a", "../b", "https://example.org:8443/b"},
		{"ssh://git@example.org/org/a", "../b", "ssh://git@example.org/org/b"},
		{"git@example.org:org/a.git", "../b.git", "git@example.org:org/b.git"},
		{"git@example.org:a.git", "../b.git", "git@example.org:b.git"},
		{"git@example.org:a.git", "../../b.git", ""},
		{"https://example.org/a", "../../../b", "https://example.org/b"},
		{"file:///srv/a.git", "../b.git", "file:///srv/b.git"},
		{"file:///srv/a.git", "/srv/b.git", "file:///srv/b.git"},
		{"https://example.org/a", "/srv/b.git", ""},
		{"https://example.org/a", "git@example.org:b", "git@example.org:b"},
		{"https://example.org/a", "-b", ""},
	} {
		u, err := ParseURL(tt.parent)
		must(t, err)
		m, err := u.module(Source{}, tt.address, strings.Repeat("1", 40))
		if got := m.src.URL; got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s + %s = %q, %v, want %q", tt.parent, tt.address, got, err, tt.want)
		}
		if err != nil && !errors.Is(err, ErrURL) {
			t.Errorf("%s + %s: %v", tt.parent, tt.address, err)
		}
	}
}

// Without its submodules a source has empty folders in their place, in another
// process too, and nobody is asked for them.
func TestNoModules(t *testing.T) {
	a := repostest.HTTP(t, repostest.HTTPOptions{})
	inner, outer := a.Repo(t, "inner"), a.Repo(t, "outer")
	commit := inner.Commit(t, repostest.Commit{Files: files("inner")})
	first := outer.Commit(t, repostest.Commit{
		Files:      map[string]string{".gitmodules": gitmodules("lib/inner", a.URL+"/nowhere.git"), "x": "x\n"},
		Submodules: map[string]string{"lib/inner": commit},
	})
	s := newStore(t, StoreOptions{Retries: -1})
	with, without := Source{URL: outer.URL}, Source{URL: outer.URL, NoModules: true}
	wantCommit(t, "without", fetch(t, s, without), first, nil)
	for _, r := range a.Requests() {
		if !strings.Contains(r.Path, "/outer.git/") {
			t.Errorf("asked for %s", r.Path)
		}
	}
	wantCommit(t, "with", fetch(t, s, with), "", ErrNotFound)
	wantCommit(t, "without, looked up", s.Look([]Source{without})[0], first, nil)
	f, err := s.FS(without, first)
	if err != nil {
		t.Fatal(err)
	}
	const want = ".gitmodules lib/ lib/inner/ x"
	if got := allNames(t, f); got != want {
		t.Errorf("files are %s, want %s", got, want)
	}
	from, err := f.Source(".")
	if err != nil {
		t.Fatal(err)
	}
	again, done, err := newStore(t, StoreOptions{Dir: s.opt.Dir}).OpenSource(from)
	if err != nil {
		t.Fatal(err)
	}
	if got := allNames(t, again); got != want {
		t.Errorf("opened again they are %s, want %s", got, want)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	// A new commit without the broken submodule: both sources go there.
	second := outer.Commit(t, repostest.Commit{Delete: []string{"lib", ".gitmodules"}})
	wantCommit(t, "with, mended", fetch(t, s, with), second, nil)
	wantCommit(t, "without, moved", fetch(t, s, without), second, nil)
}

// allNames is all that is in a file system, folders with a slash.
func allNames(t *testing.T, f fs.FS) string {
	t.Helper()
	var names []string
	err := fs.WalkDir(f, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			name += "/"
		}
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names[1:], " ")
}
