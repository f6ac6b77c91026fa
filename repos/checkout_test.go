// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/repos/repostest"
)

// listFolder is what is in a folder: path → kind, mode and content.
func listFolder(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at, err := filepath.Rel(dir, name)
		if err != nil || at == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[at] = info.Mode().String()
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(name)
			all[at] = "-> " + target
			return err
		}
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			all[at] += " " + string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// commitOf makes the files of a commit: content, prefixed by x: for executable
// files and by l: for links.
func commitOf(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range files {
		switch {
		case strings.HasPrefix(content, "x:"):
			m[name] = &fstest.MapFile{Data: []byte(content[2:]), Mode: 0o755}
		case strings.HasPrefix(content, "l:"):
			m[name] = &fstest.MapFile{Data: []byte(content[2:]), Mode: fs.ModeSymlink | 0o777}
		default:
			m[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
		}
	}
	return m
}

type place struct{ dir, state string }

func newPlace(t testing.TB) place {
	t.Helper()
	dir := t.TempDir()
	return place{filepath.Join(dir, "acme"), filepath.Join(dir, "state.json")}
}

func (p place) checkout(t testing.TB, files fs.FS) []string {
	t.Helper()
	kept, err := Checkout(files, p.dir, p.state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stagingOf(p.dir)); err == nil {
		t.Error("the staging folder is left")
	}
	return kept
}

func TestCheckout(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	p := newPlace(t)
	first := map[string]string{
		"README": "1", "run.sh": "x:#!/bin/sh", "link": "l:sub/a", "sub/a": "a", "sub/deep/b": "b", "gone/c": "c",
		"swap": "was a file", "folder/x": "x", ".git/config": "evil", "sub/.GIT/hooks/x": "x:evil",
	}
	if kept := p.checkout(t, commitOf(first)); kept != nil {
		t.Errorf("kept %v", kept)
	}
	want := map[string]string{
		"README": "-rw-r--r-- 1", "run.sh": "-rwxr-xr-x #!/bin/sh", "link": "-> sub/a", "sub": "drwxr-xr-x", "sub/a": "-rw-r--r-- a",
		"sub/deep": "drwxr-xr-x", "sub/deep/b": "-rw-r--r-- b", "gone": "drwxr-xr-x", "gone/c": "-rw-r--r-- c",
		"swap": "-rw-r--r-- was a file", "folder": "drwxr-xr-x", "folder/x": "-rw-r--r-- x",
	}
	if diff := cmp.Diff(want, listFolder(t, p.dir)); diff != "" {
		t.Fatalf("first checkout (-want +got):\n%s", diff)
	}
	inode := func(name string) uint64 {
		t.Helper()
		info, err := os.Lstat(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ino
	}
	sub, untouched := inode("sub"), inode("sub/a")

	// Content, mode and kind change, files and folders come and go, and an agent
	// has files of its own.
	if err := os.WriteFile(filepath.Join(p.dir, "sub/agent"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(p.dir, "work"), 0o700); err != nil {
		t.Fatal(err)
	}
	second := map[string]string{
		"README": "2", "run.sh": "#!/bin/sh", "link": "l:/etc/passwd", "sub/a": "a", "swap/now/a": "folder", "folder": "now a file", "new/d": "x:d",
	}
	if kept := p.checkout(t, commitOf(second)); kept != nil {
		t.Errorf("kept %v", kept)
	}
	want = map[string]string{
		"README": "-rw-r--r-- 2", "run.sh": "-rw-r--r-- #!/bin/sh", "link": "-> /etc/passwd", "sub": "drwxr-xr-x", "sub/a": "-rw-r--r-- a",
		"swap": "drwxr-xr-x", "swap/now": "drwxr-xr-x", "swap/now/a": "-rw-r--r-- folder", "folder": "-rw-r--r-- now a file",
		"new": "drwxr-xr-x", "new/d": "-rwxr-xr-x d", "sub/agent": "-rw------- mine", "work": "drwx------",
	}
	if diff := cmp.Diff(want, listFolder(t, p.dir)); diff != "" {
		t.Errorf("second checkout (-want +got):\n%s", diff)
	}
	if inode("sub") != sub || inode("sub/a") != untouched {
		t.Error("what did not change was replaced")
	}
	// Nothing of the commit is left.
	if kept := p.checkout(t, commitOf(nil)); kept != nil {
		t.Errorf("kept %v", kept)
	}
	want = map[string]string{"sub": "drwxr-xr-x", "sub/agent": "-rw------- mine", "work": "drwx------"}
	if diff := cmp.Diff(want, listFolder(t, p.dir)); diff != "" {
		t.Errorf("empty checkout (-want +got):\n%s", diff)
	}
}

// What somebody else did is kept and reported, until it is as the commit has it
// or taken back.
func TestCheckoutKeeps(t *testing.T) {
	t.Parallel()
	base := map[string]string{"a": "1", "b": "1", "c/d": "1", "e": "x:1", "f": "l:a", "gone": "1"}
	next := map[string]string{"a": "2", "b": "2", "c/d": "2", "e": "x:2", "f": "l:b", "new": "2", "new2/x": "2"}
	at := func(p place, name string) string { return filepath.Join(p.dir, name) }
	for name, test := range map[string]struct {
		change func(p place) error
		kept   []string
		want   map[string]string // of what differs
	}{
		"nothing":          {func(place) error { return nil }, nil, nil},
		"edited":           {func(p place) error { return os.WriteFile(at(p, "a"), []byte("mine"), 0o644) }, []string{"a"}, map[string]string{"a": "-rw-r--r-- mine"}},
		"edited alike":     {func(p place) error { return os.WriteFile(at(p, "a"), []byte("2"), 0o644) }, nil, nil},
		"touched":          {func(p place) error { return os.Chtimes(at(p, "a"), time.Now(), time.Unix(1, 0)) }, nil, nil},
		"executable":       {func(p place) error { return os.Chmod(at(p, "a"), 0o755) }, []string{"a"}, map[string]string{"a": "-rwxr-xr-x 1"}},
		"other mode":       {func(p place) error { return os.Chmod(at(p, "a"), 0o600) }, nil, nil},
		"deleted":          {func(p place) error { return os.Remove(at(p, "a")) }, nil, nil},
		"deleted folder":   {func(p place) error { return os.RemoveAll(at(p, "c")) }, nil, nil},
		"edited and gone":  {func(p place) error { return os.WriteFile(at(p, "gone"), []byte("mine"), 0o644) }, []string{"gone"}, map[string]string{"gone": "-rw-r--r-- mine"}},
		"deleted and gone": {func(p place) error { return os.Remove(at(p, "gone")) }, nil, nil},
		"in the way":       {func(p place) error { return os.WriteFile(at(p, "new"), []byte("mine"), 0o644) }, []string{"new"}, map[string]string{"new": "-rw-r--r-- mine"}},
		"in the folder's way": {func(p place) error { return os.WriteFile(at(p, "new2"), []byte("mine"), 0o644) }, []string{"new2/x"}, map[string]string{
			"new2": "-rw-r--r-- mine", "new2/x": "",
		}},
		"other link":        {func(p place) error { return errors.Join(os.Remove(at(p, "f")), os.Symlink("mine", at(p, "f"))) }, []string{"f"}, map[string]string{"f": "-> mine"}},
		"link for a file":   {func(p place) error { return errors.Join(os.Remove(at(p, "a")), os.Symlink("b", at(p, "a"))) }, []string{"a"}, map[string]string{"a": "-> b"}},
		"pipe":              {func(p place) error { return errors.Join(os.Remove(at(p, "a")), syscall.Mkfifo(at(p, "a"), 0o600)) }, []string{"a"}, map[string]string{"a": "prw-------"}},
		"folder for a file": {func(p place) error { return errors.Join(os.Remove(at(p, "a")), os.Mkdir(at(p, "a"), 0o755)) }, []string{"a"}, map[string]string{"a": "drwxr-xr-x"}},
		"file for a folder": {func(p place) error {
			return errors.Join(os.RemoveAll(at(p, "c")), os.WriteFile(at(p, "c"), nil, 0o644))
		}, []string{"c/d"}, map[string]string{"c": "-rw-r--r-- ", "c/d": ""}},
		"link for a folder": {func(p place) error {
			return errors.Join(os.Mkdir(at(p, "other"), 0o755), os.Rename(at(p, "c/d"), at(p, "other/d")), os.Remove(at(p, "c")), os.Symlink("other", at(p, "c")))
		}, []string{"c/d"}, map[string]string{"c": "-> other", "c/d": "", "other": "drwxr-xr-x", "other/d": "-rw-r--r-- 1"}},
		"link out": {func(p place) error {
			out := filepath.Join(filepath.Dir(p.dir), "out")
			return errors.Join(os.Mkdir(out, 0o755), os.WriteFile(filepath.Join(out, "d"), []byte("1"), 0o644), os.RemoveAll(at(p, "c")), os.Symlink("../out", at(p, "c")))
		}, []string{"c/d"}, map[string]string{"c": "-> ../out", "c/d": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.checkout(t, commitOf(base))
			if err := test.change(p); err != nil {
				t.Fatal(err)
			}
			reference := newPlace(t)
			reference.checkout(t, commitOf(next))
			want := listFolder(t, reference.dir)
			for name, s := range test.want {
				if want[name] = s; s == "" {
					delete(want, name)
				}
			}
			if got := p.checkout(t, commitOf(next)); !slices.Equal(got, test.kept) {
				t.Errorf("kept %v, want %v", got, test.kept)
			}
			if diff := cmp.Diff(want, listFolder(t, p.dir)); diff != "" {
				t.Errorf("checkout (-want +got):\n%s", diff)
			}
			// It is said again, but not of what the commit no longer has.
			again := slices.DeleteFunc(slices.Clone(test.kept), func(s string) bool { return s == "gone" })
			if got := p.checkout(t, commitOf(next)); !slices.Equal(got, again) {
				t.Errorf("kept %v the second time, want %v", got, again)
			}
			if b, err := os.ReadFile(filepath.Join(filepath.Dir(p.dir), "out/d")); err == nil && string(b) != "1" {
				t.Errorf("a file outside was written: %s", b)
			}
		})
	}
	t.Run("taken back", func(t *testing.T) {
		p := newPlace(t)
		p.checkout(t, commitOf(base))
		if err := os.WriteFile(at(p, "a"), []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
		p.checkout(t, commitOf(next))
		if err := os.WriteFile(at(p, "a"), []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		if kept := p.checkout(t, commitOf(next)); kept != nil || listFolder(t, p.dir)["a"] != "-rw-r--r-- 2" {
			t.Errorf("kept %v, a is %s", kept, listFolder(t, p.dir)["a"])
		}
	})
}

// errCrash is the moment at which the process dies.
var errCrash = errors.New("crash")

// crash checks a commit out and dies before the nth effect. It returns false
// when there are not so many.
func (p place) crash(t *testing.T, files fs.FS, n int) bool {
	t.Helper()
	c := &checkout{files: files, dir: p.dir, state: p.state, before: func(string) error {
		if n--; n < 0 {
			return errCrash
		}
		return nil
	}}
	_, err := c.run()
	if err != nil && !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	return err != nil
}

// Wherever a checkout dies, the next one has the result that it would have had
// anyway, also when it is of another commit, and dies once more.
func TestCheckoutCrash(t *testing.T) {
	t.Parallel()
	commits := map[string]fstest.MapFS{
		"a": commitOf(map[string]string{"f": "1", "g": "x:1", "l": "l:f", "d/e/h": "1", "swap": "1", "back/x": "1", "mine": "1", "gone": "1"}),
		"b": commitOf(map[string]string{"f": "2", "g": "2", "l": "l:g", "n/m": "2", "swap/x": "2", "back": "2", "mine": "2", "taken": "2"}),
		"c": commitOf(map[string]string{"f": "1", "g": "x:3", "l": "3", "d/e/h": "3", "n/m": "l:x", "swap/x": "3", "mine": "3"}),
	}
	start := func(t *testing.T) place {
		p := newPlace(t)
		// In memory syncing costs nothing.
		if dir, err := os.MkdirTemp("/dev/shm", "repos"); err == nil {
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			p = place{filepath.Join(dir, "acme"), filepath.Join(dir, "state.json")}
		}
		p.checkout(t, commits["a"])
		for name, content := range map[string]string{"mine": "edited", "taken": "before", "d/agent": "work"} {
			if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	total := 0
	for _, last := range slices.Sorted(maps.Keys(commits)) {
		reference := start(t)
		reference.checkout(t, commits[last])
		want := listFolder(t, reference.dir)
		for n := 0; ; n++ {
			p := start(t)
			if !p.crash(t, commits["b"], n) {
				break
			}
			total++
			p.crash(t, commits["c"], n/2)
			kept := p.checkout(t, commits[last])
			if diff := cmp.Diff(want, listFolder(t, p.dir)); diff != "" {
				t.Errorf("b dies before effect %d, then c before %d, then %s (-want +got):\n%s", n, n/2, last, diff)
			}
			if !slices.Contains(kept, "mine") {
				t.Errorf("kept %v", kept)
			}
			// Nothing is left that a later checkout would not remove.
			p.checkout(t, commitOf(nil))
			left := map[string]string{"d": "drwxr-xr-x", "d/agent": "-rw-r--r-- work", "mine": "-rw-r--r-- edited", "taken": "-rw-r--r-- before"}
			if diff := cmp.Diff(left, listFolder(t, p.dir)); diff != "" {
				t.Errorf("b dies before effect %d, %s, nothing (-want +got):\n%s", n, last, diff)
			}
		}
	}
	if total < 60 {
		t.Errorf("only %d crashes", total)
	}
}

// With files that cannot be read nothing is touched.
func TestCheckoutUnreadable(t *testing.T) {
	p := newPlace(t)
	p.checkout(t, commitOf(map[string]string{"a": "1", "b": "1"}))
	before := listFolder(t, p.dir)
	if _, err := Checkout(unreadable{commitOf(map[string]string{"a": "2", "z": "2"})}, p.dir, p.state); !errors.Is(err, errCrash) {
		t.Errorf("Checkout = %v", err)
	}
	if diff := cmp.Diff(before, listFolder(t, p.dir)); diff != "" {
		t.Errorf("the folder has changed (-want +got):\n%s", diff)
	}
	// Without a state, nothing is ours that is not as the commit has it.
	if err := os.WriteFile(p.state, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := p.checkout(t, commitOf(map[string]string{"a": "1", "b": "2", "c": "3"}))
	if !slices.Equal(kept, []string{"b"}) {
		t.Errorf("kept %v", kept)
	}
}

type unreadable struct{ fstest.MapFS }

func (u unreadable) Open(name string) (fs.File, error) {
	if name == "z" {
		return nil, errCrash
	}
	return u.MapFS.Open(name)
}

// A checkout of the content that is there reads no file, and sees what somebody
// has touched.
func TestCheckoutOfACommit(t *testing.T) {
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	commit := r.Commit(t, repostest.Commit{
		Files: map[string]string{"a": "1", "sub/b": "2"}, Scripts: map[string]string{"run": "x"}, Links: map[string]string{"l": "a"},
	})
	repo, err := Open(r.Dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := repo.FS(commit)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	p.checkout(t, files)
	want := map[string]string{"a": "-rw-r--r-- 1", "l": "-> a", "run": "-rwxr-xr-x x", "sub": "drwxr-xr-x", "sub/b": "-rw-r--r-- 2"}
	if diff := cmp.Diff(want, listFolder(t, p.dir)); diff != "" {
		t.Errorf("checkout (-want +got):\n%s", diff)
	}
	effects := 0
	c := &checkout{files: files, dir: p.dir, state: p.state, before: func(string) error { effects++; return nil }}
	if _, err := c.run(); err != nil || effects != 0 || c.want != nil {
		t.Errorf("second checkout: %v, %d effects, commit read: %v", err, effects, c.want != nil)
	}
	if err := os.Remove(filepath.Join(p.dir, "sub/b")); err != nil {
		t.Fatal(err)
	}
	p.checkout(t, files)
	if diff := cmp.Diff(want, listFolder(t, p.dir)); diff != "" {
		t.Errorf("checkout of what was deleted (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "a"), []byte("9"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if kept := p.checkout(t, files); !slices.Equal(kept, []string{"a"}) {
			t.Errorf("kept %v", kept)
		}
	}
}

// Owners of what is there stay, and new entries belong to their folder's owner.
func TestCheckoutOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	p := newPlace(t)
	p.checkout(t, commitOf(map[string]string{"a": "1", "sub/b": "1", "sub/l": "l:b"}))
	for name, uid := range map[string]int{"a": 1001, "sub": 1002, "sub/b": 1003} {
		if err := os.Chown(filepath.Join(p.dir, name), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(p.dir, "sub"), 0o2770); err != nil {
		t.Fatal(err)
	}
	if kept := p.checkout(t, commitOf(map[string]string{"a": "2", "sub/b": "x:2", "sub/c": "2", "sub/d/e": "2", "z": "2"})); kept != nil {
		t.Errorf("kept %v", kept)
	}
	for name, want := range map[string]string{
		"a": "1001 -rw-r--r--", "sub": "1002 drwxrwx---", "sub/b": "1003 -rwxr-xr-x", "sub/c": "1002 -rw-r--r--",
		"sub/d": "1002 drwxr-xr-x", "sub/d/e": "1002 -rw-r--r--", "z": "0 -rw-r--r--",
	} {
		info, err := os.Lstat(filepath.Join(p.dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid, " ", (info.Mode() &^ fs.ModeSetgid)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
