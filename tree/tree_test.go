// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/tree"
)

func mustHash(t *testing.T, fsys fs.FS) string {
	t.Helper()
	h, err := tree.Hash(fsys)
	if err != nil {
		t.Fatalf("Hash: %v", err)
	}
	return h
}

func base() fstest.MapFS {
	return fstest.MapFS{
		"manifest.json": {Data: []byte(`{"container":"x"}`), Mode: 0o644},
		"run.sh":        {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"lib/a.js":      {Data: []byte("a"), Mode: 0o644},
		"lib/current":   {Data: []byte("a.js"), Mode: fs.ModeSymlink | 0o777},
	}
}

// The hash is part of labels on users' hosts: it may not change.
func TestHashIsFrozen(t *testing.T) {
	const want = "9ff74dda016387fc6a9363c899c2626a2555060f8c8b1b46eb02760b5d10c27b"
	if got := mustHash(t, base()); got != want {
		t.Errorf("Hash = %s, want %s", got, want)
	}
}

func TestHashCounts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		edit    func(fstest.MapFS)
		changes bool
	}{
		{"nothing", func(fstest.MapFS) {}, false},
		{"mtime", func(m fstest.MapFS) { m["run.sh"].ModTime = time.Unix(1, 0) }, false},
		{"group write", func(m fstest.MapFS) { m["lib/a.js"].Mode = 0o664 }, false},
		{"setuid", func(m fstest.MapFS) { m["run.sh"].Mode = 0o755 | fs.ModeSetuid }, false},
		{"git folder", func(m fstest.MapFS) { m[".git/HEAD"] = &fstest.MapFile{} }, false},
		{"git folder below", func(m fstest.MapFS) { m["lib/.git/HEAD"] = &fstest.MapFile{} }, false},
		{"git file", func(m fstest.MapFS) { m[".git"] = &fstest.MapFile{Data: []byte("gitdir: x")} }, false},
		{"executable bit", func(m fstest.MapFS) { m["lib/a.js"].Mode = 0o744 }, true},
		{"content", func(m fstest.MapFS) { m["lib/a.js"].Data = []byte("b") }, true},
		{"new file", func(m fstest.MapFS) { m["lib/b.js"] = &fstest.MapFile{} }, true},
		{"empty folder", func(m fstest.MapFS) { m["data"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755} }, true},
		{"removed", func(m fstest.MapFS) { delete(m, "lib/a.js") }, true},
		{"renamed", func(m fstest.MapFS) { m["lib/b.js"] = m["lib/a.js"]; delete(m, "lib/a.js") }, true},
		{"link target", func(m fstest.MapFS) { m["lib/current"].Data = []byte("../run.sh") }, true},
		{"link to file", func(m fstest.MapFS) { m["lib/current"].Mode = 0o644 }, true},
		{"vim's swap file", func(m fstest.MapFS) { m["lib/.main.py.swp"] = &fstest.MapFile{} }, false},
		{"vim's probe", func(m fstest.MapFS) { m["4913"] = &fstest.MapFile{} }, false},
		{"Emacs' lock", func(m fstest.MapFS) {
			m[".#main.py"] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("ada@host.1:2")}
		}, false},
		{"Emacs' auto-save", func(m fstest.MapFS) { m["#main.py#"] = &fstest.MapFile{} }, false},
		{"backup", func(m fstest.MapFS) { m["main.py~"] = &fstest.MapFile{} }, false},
		{"folder named like a backup", func(m fstest.MapFS) { m["lib~/x"] = &fstest.MapFile{} }, true},
		{"hidden file", func(m fstest.MapFS) { m[".swap"] = &fstest.MapFile{} }, true},
		{"gitignore", func(m fstest.MapFS) { m[".gitignore"] = &fstest.MapFile{} }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := mustHash(t, base())
			m := base()
			tt.edit(m)
			if got := mustHash(t, m); (got != want) != tt.changes {
				t.Errorf("hash changed: %t, want %t", got != want, tt.changes)
			}
		})
	}
}

// Entries cannot be told apart wrongly by moving bytes between name and content.
func TestHashIsUnambiguous(t *testing.T) {
	a := fstest.MapFS{"a": {Data: []byte("bc")}, "d": {Data: nil}}
	b := fstest.MapFS{"ab": {Data: []byte("c")}, "d": {Data: nil}}
	if mustHash(t, a) == mustHash(t, b) {
		t.Error("two trees have one hash")
	}
}

func TestLinks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		links map[string]string
		want  string // part of the error; "" = none
	}{
		{"beside", map[string]string{"l": "f"}, ""},
		{"dangling", map[string]string{"l": "gone/away"}, ""},
		{"itself is the folder", map[string]string{"l": "."}, ""},
		{"dot dot inside", map[string]string{"a/b/l": "../../f"}, ""},
		{"through a folder and back", map[string]string{"l": "d/../f"}, ""},
		{"slashes", map[string]string{"a/l": "..//./f/"}, ""},
		{"to itself", map[string]string{"l": "l"}, "too many links"},
		{"loop", map[string]string{"a": "b", "b": "a"}, "too many links"},
		{"absolute", map[string]string{"l": "/etc/passwd"}, `"l": symbolic link to "/etc/passwd" is absolute`},
		{"root", map[string]string{"l": "/"}, "is absolute"},
		{"parent", map[string]string{"l": ".."}, `"l": symbolic link to ".." leaves the folder`},
		{"sibling", map[string]string{"a/l": "../../sibling"}, "leaves the folder"},
		{"late", map[string]string{"l": "a/b/../../../x"}, "leaves the folder"},
		{"by way of a link that is shallower than it looks", map[string]string{"a/b/s": "../../z", "l": "a/b/s/../../y"}, `"l": symbolic link to "a/b/s/../../y" leaves the folder`},
		{"by way of a link that is deeper than it looks", map[string]string{"s": "a/b/c", "l": "s/../../../f"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := fstest.MapFS{"f": {}, "a/b/c/f": {}, "d/f": {}, "z/f": {}}
			for name, target := range tt.links {
				m[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
				if name == "a" {
					delete(m, "a/b/c/f")
				}
			}
			_, err := tree.Hash(m)
			checkError(t, "Hash", err, tt.want)
			err = tree.Copy(filepath.Join(t.TempDir(), "copy"), m, tree.CopyOptions{UID: -1, GID: -1})
			checkError(t, "Copy", err, tt.want)
		})
	}
}

func checkError(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: error %v, want one with %q", what, err, want)
	}
}

func TestSpecialFiles(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"pipe", func(p string) error { return syscall.Mkfifo(p, 0o644) }, `"sub/x": a named pipe cannot`},
		{"socket", func(p string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer syscall.Close(fd)
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: p})
		}, `"sub/x": a socket cannot`},
		{"invalid UTF-8", func(p string) error { return os.WriteFile(filepath.Dir(p)+"/\xff", nil, 0o644) }, `"sub/\xff": the name is not valid UTF-8`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, err := os.MkdirTemp("", "t") // t.TempDir is too long for a socket's path
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(root)
			if err := os.Mkdir(root+"/sub", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(root + "/sub/x"); err != nil {
				t.Fatal(err)
			}
			_, err = tree.Hash(os.DirFS(root))
			checkError(t, "Hash", err, tt.want)
		})
	}
}

func TestMissingFolder(t *testing.T) {
	_, err := tree.Hash(os.DirFS(t.TempDir() + "/none"))
	checkError(t, "Hash", err, "no such file or directory")
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = tree.Hash(os.DirFS(file))
	checkError(t, "Hash", err, "not a directory")
}

var nastyNames = []string{
	" ", "a b", "-rf", "--", "*", "?", "[x]", "$HOME", "$(touch pwned)", "`id`", `back\slash`, `"quoted"`, "'single'",
	"new\nline", "tab\t", "\x1b[31mred", "...", "..a", "a..", "a.", ".hidden", "CON", "日本語", "e\u0301", "é",
	strings.Repeat("n", 255), "a;b", "a|b", "a&b", "~", "#", "%s%n", "nul\x01", "deep/ /\n/*/f",
}

func TestNastyNames(t *testing.T) {
	src := t.TempDir()
	for i, name := range nastyNames {
		p := src + "/" + name
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte{byte(i)}, 0o600); err != nil {
			t.Fatalf("write %q: %v", name, err)
		}
	}
	want := mustHash(t, os.DirFS(src))
	dst := filepath.Join(t.TempDir(), "copy")
	if err := tree.Copy(dst, os.DirFS(src), tree.CopyOptions{UID: -1, GID: -1}); err != nil {
		t.Fatal(err)
	}
	if got := mustHash(t, os.DirFS(dst)); got != want {
		t.Errorf("the copy has another hash")
	}
	for i, name := range nastyNames {
		got, err := os.ReadFile(dst + "/" + name)
		if err != nil {
			t.Errorf("copy: %v", err)
			continue
		}
		if diff := cmp.Diff([]byte{byte(i)}, got); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", name, diff)
		}
	}
}

// FuzzHash holds Hash to its word on names and targets nobody thought of:
// what it accepts can be copied, and the copy has the same hash.
func FuzzHash(f *testing.F) {
	for _, n := range nastyNames {
		f.Add(n, n, []byte(n))
	}
	f.Add("a/l", "../../x", []byte("x"))
	f.Fuzz(func(t *testing.T, name, target string, data []byte) {
		m := fstest.MapFS{
			"f/" + name: {Data: data, Mode: 0o644},
			"l/" + name: {Data: []byte(target), Mode: fs.ModeSymlink | 0o777},
		}
		for n := range m {
			if !fs.ValidPath(n) {
				return
			}
		}
		want, err := tree.Hash(m)
		if err != nil {
			return
		}
		dst := filepath.Join(t.TempDir(), "copy")
		if err := tree.Copy(dst, m, tree.CopyOptions{UID: -1, GID: -1}); err != nil {
			t.Skip(err) // a name or target that the file system refuses
		}
		if got := mustHash(t, os.DirFS(dst)); got != want {
			t.Errorf("copy of %q, %q has another hash", name, target)
		}
	})
}

func TestCopy(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dst := filepath.Join(t.TempDir(), "copy")
	opt := tree.CopyOptions{UID: -1, GID: -1}
	if os.Getuid() == 0 {
		opt = tree.CopyOptions{UID: 1234, GID: 2345}
	}
	m := base()
	m["empty"] = &fstest.MapFile{Mode: fs.ModeDir | 0o700}
	m["run.sh"].Mode = 0o4755 | fs.ModeSetuid
	m[".git/HEAD"] = &fstest.MapFile{}
	if err := tree.Copy(dst, m, opt); err != nil {
		t.Fatal(err)
	}
	if got, want := mustHash(t, os.DirFS(dst)), mustHash(t, m); got != want {
		t.Errorf("the copy has hash %s, want %s", got, want)
	}
	got := map[string]fs.FileMode{}
	err := filepath.WalkDir(dst, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dst, p)
		if d.Type() != fs.ModeSymlink {
			got[rel] = info.Mode()
		}
		if st := info.Sys().(*syscall.Stat_t); opt.UID >= 0 && (st.Uid != 1234 || st.Gid != 2345) {
			t.Errorf("%s: owner %d:%d, want 1234:2345", rel, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{
		".": fs.ModeDir | 0o755, "empty": fs.ModeDir | 0o755, "lib": fs.ModeDir | 0o755,
		"lib/a.js": 0o644, "manifest.json": 0o644, "run.sh": 0o755,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modes (-want +got)\n%s", diff)
	}
	if target, err := os.Readlink(dst + "/lib/current"); target != "a.js" {
		t.Errorf("lib/current -> %q (%v), want a.js", target, err)
	}
	err = tree.Copy(dst, m, opt)
	checkError(t, "Copy onto itself", err, "the folder is not empty")
}

func TestCopyDoesNotFollowDst(t *testing.T) {
	err := tree.Copy(t.TempDir()+"/none/copy", base(), tree.CopyOptions{UID: -1, GID: -1})
	checkError(t, "Copy", err, "no such file or directory")
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err = tree.Copy(file, base(), tree.CopyOptions{UID: -1, GID: -1})
	checkError(t, "Copy", err, "not a directory")
}

func TestHasher(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("no identities here: every file is read")
	}
	dir := t.TempDir()
	long := time.Now().Add(-time.Hour)
	write := func(name, data string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "one")
	write("b", "two")
	var h tree.Hasher
	check := func(what string) {
		t.Helper()
		for range 2 {
			got, err := h.Hash(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			if want := mustHash(t, os.DirFS(dir)); got != want {
				t.Errorf("%s: Hasher says %s, Hash %s", what, got, want)
			}
		}
	}
	check("fresh")
	if err := os.Chtimes(dir+"/a", long, long); err != nil {
		t.Fatal(err)
	}
	check("old mtime")
	write("a", "ONE") // same size, and then the same mtime: only the ctime tells
	if err := os.Chtimes(dir+"/a", long, long); err != nil {
		t.Fatal(err)
	}
	check("same size and mtime")
	if err := os.Rename(dir+"/b", dir+"/a"); err != nil {
		t.Fatal(err)
	}
	check("renamed over")
}

func BenchmarkHash(b *testing.B) {
	dir := b.TempDir()
	for i := range 200 {
		name := filepath.Join(dir, string(rune('a'+i%26)), strings.Repeat("x", 1+i/26))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, 20_000), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(2100 * time.Millisecond) // young files are not remembered
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.Hash(os.DirFS(dir)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		var h tree.Hasher
		for b.Loop() {
			if _, err := h.Hash(os.DirFS(dir)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
