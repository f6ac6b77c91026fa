// SPDX-License-Identifier: Apache-2.0

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, o := range []Options{{}, {Sync: true}, {Perm: 0o644}} {
		os.Remove(path)
		for _, content := range []string{"old", "new and longer", ""} {
			if err := Write(path, []byte(content), o); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != content {
				t.Errorf("%+v: got %q, %v; want %q", o, got, err, content)
			}
		}
		want := o.Perm
		if want == 0 {
			want = 0o600
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%+v: mode %v, %v; want %v", o, info.Mode(), err, want)
		}
	}
}

// A file keeps the permissions that somebody gave it.
func TestWriteKeepsMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o664); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ perm, want fs.FileMode }{{0, 0o664}, {0o640, 0o640}} {
		if err := Write(path, []byte("x"), Options{Perm: c.perm}); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != c.want {
			t.Errorf("%v: mode %v, %v; want %v", c.perm, info.Mode(), err, c.want)
		}
	}
}

// A write that fails leaves the old content and nothing else.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Write(path, []byte("old"), Options{}); err != nil {
		t.Fatal(err)
	}
	full := func(f *os.File, b []byte) error {
		if _, err := f.Write(b[:1]); err != nil {
			return err
		}
		return &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	err := Write(path, []byte("new"), Options{Fill: full, Sync: true})
	if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), TempPrefix) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want that there is no space for %s", err, path)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("got %q, %v; want the old content", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v; want one file", entries, err)
	}
	if err := Write(filepath.Join(dir, "none", "file"), nil, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the folder is not there", err)
	}
}

func TestClean(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{TempPrefix + "123", "file"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(Clean(dir), Clean(filepath.Join(dir, "none"))); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "file" {
		t.Errorf("left %v, %v; want file", entries, err)
	}
}
