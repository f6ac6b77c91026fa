// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// No part of a file is acted on while somebody writes it.
func TestFileBeingWritten(t *testing.T) {
	files := map[string]string{
		"workspace.yaml":         "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec:\n  enable:\n    - a\n    - b\n",
		"agents/a/manifest.yaml": "container: localhost/a:1\nagent: run\nenable:\n  - c\n",
		"agents/b/manifest.json": `{"container": "localhost/b:1", "agent": "run"}`,
		"agents/c/manifest.yaml": "container: localhost/c:1\nagent: run\n",
		"other.yaml":             "apiVersion: reconcile/v1alpha1\nkind: Unknown\n",
		"notes.yaml":             "title: nothing of ours\n",
		"data.json":              `{"lines": "` + strings.Repeat("x", 2*plainData) + `"}`,
		".reconcileignore":       "data\n",
	}
	for _, tc := range []struct {
		file  string
		keep  int // bytes that are there already; -1 = all
		fatal bool
		calm  bool // it is nothing to wait for
	}{
		{file: "workspace.yaml", keep: 0, fatal: true},
		{file: "workspace.yaml", keep: -7, fatal: true}, // a valid one, which enables less
		{file: "workspace.yaml", keep: -1, fatal: true},
		{file: "agents/a/manifest.yaml", keep: 0, fatal: true},
		{file: "agents/a/manifest.yaml", keep: 41, fatal: true}, // a valid one, which enables nothing
		{file: "agents/b/manifest.json", keep: 10, fatal: true},
		{file: "other.yaml", keep: -1, fatal: true},
		{file: "other.yaml", keep: 0},
		{file: "notes.yaml", keep: -1},
		{file: ".reconcileignore", keep: 2},
		{file: "data.json", keep: -1, calm: true},
	} {
		t.Run(tc.file, func(t *testing.T) {
			onEach(t, func(t *testing.T, dir string) {
				for name, text := range files {
					write(t, filepath.Join(dir, name), text)
				}
				must(t, os.Remove(filepath.Join(dir, "other.yaml")))
				load := func() (Result, string) {
					tree, ds, err := Load(t.Context(), Options{Dir: dir, StateDir: "/var/lib/reconcile"})
					must(t, err)
					r := tree.Resolve()
					var said strings.Builder
					for _, d := range append(ds, r.Diagnostics...) {
						said.WriteString(d.String() + "\n")
					}
					return r, said.String()
				}
				if r, said := load(); r.Fatal || len(r.Desired.Partial) > 0 || r.LookAgain != 0 {
					t.Fatalf("without a writer: fatal %v, partial %v, look again %v\n%s", r.Fatal, r.Desired.Partial, r.LookAgain, said)
				}
				text := files[tc.file]
				if tc.keep >= 0 {
					text = text[:tc.keep]
				} else {
					text = text[:len(text)+tc.keep+1]
				}
				f, err := os.Create(filepath.Join(dir, tc.file))
				must(t, err)
				defer f.Close()
				_, err = f.WriteString(text)
				must(t, err)
				r, said := load()
				if tc.calm {
					if len(r.Desired.Partial) > 0 || r.LookAgain != 0 || r.Fatal {
						t.Errorf("fatal %v, partial %v, look again %v\n%s", r.Fatal, r.Desired.Partial, r.LookAgain, said)
					}
					return
				}
				if len(r.Desired.Partial) == 0 || r.LookAgain == 0 || tc.fatal && !r.Fatal {
					t.Errorf("fatal %v, partial %v, look again %v\n%s", r.Fatal, r.Desired.Partial, r.LookAgain, said)
				}
				want := tc.file + ":1:1: warning: " + summaryWriting + "\n    somebody has it open for writing; nothing is deleted until it is closed\n"
				if tc.fatal {
					want = tc.file + ":1:1: error: " + summaryWriting + "\n    somebody has it open for writing; nothing is done until it is closed\n"
				}
				if !strings.Contains(said, want) {
					t.Errorf("diagnostics:\n%swant among them:\n%s", said, want)
				}
				_, err = f.WriteString(files[tc.file][len(text):])
				must(t, err)
				must(t, f.Close())
				if r, said := load(); len(r.Desired.Partial) > 0 || r.LookAgain != 0 || strings.Contains(said, summaryWriting) {
					t.Errorf("when it is closed: partial %v, look again %v\n%s", r.Desired.Partial, r.LookAgain, said)
				}
			})
		})
	}
}

// Asking disturbs nobody: whoever opens the file at that moment gets it.
func TestBeingWrittenDoesNotDisturb(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		file := filepath.Join(dir, "file.yaml")
		write(t, file, "x")
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 2000 {
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					t.Errorf("open for writing: %v", err)
					return
				}
				if !openForWriting(file) {
					t.Error("a file that is open for writing is not known to be")
				}
				f.Close()
			}
		})
		for range 2000 {
			openForWriting(file)
		}
		wg.Wait()
		if openForWriting(file) {
			t.Error("a file that nobody has open is said to be written")
		}
	})
}

// leaseless is a file of which the kernel does not tell who has it open.
type leaseless struct {
	*os.File
	meanwhile func() // between the first look and the second
	looked    int
}

func (l *leaseless) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func (l *leaseless) Stat() (os.FileInfo, error) {
	if l.looked++; l.looked == 2 && l.meanwhile != nil {
		l.meanwhile()
	}
	return l.File.Stat()
}

func TestBeingWrittenWithoutLeases(t *testing.T) {
	for _, tc := range []struct {
		name    string
		age     time.Duration
		written bool
		want    bool
	}{
		{"an old file", time.Minute, false, false},
		{"an old file that is written to later", time.Minute, true, false},
		{"a file of the future", -time.Minute, false, false},
		{"a new file", 0, false, false},
		{"a new file that is still written to", 0, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file.yaml")
			write(t, file, "x")
			synctest.Test(t, func(t *testing.T) {
				must(t, os.Chtimes(file, time.Time{}, time.Now().Add(-tc.age)))
				f, err := os.Open(file)
				must(t, err)
				defer f.Close()
				l := &leaseless{File: f}
				if tc.written {
					l.meanwhile = func() { appendTo(t, file, "x") }
				}
				if got := BeingWritten(l); got != tc.want {
					t.Errorf("being written: %v, want %v", got, tc.want)
				}
			})
		})
	}
}
