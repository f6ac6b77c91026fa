// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"reconcile/repos"
	"reconcile/repos/repostest"
	"reconcile/tree"
)

// counted is a file system that counts what is opened, with the name of its
// content.
type counted struct {
	fs.FS
	source func(string) (string, error)
	opened *int
}

func (c counted) Open(name string) (fs.File, error) {
	*c.opened++
	return c.FS.Open(name)
}

func (c counted) Source(dir string) (string, error) { return c.source(dir) }

// The content of a commit's folder is read once, that of a folder each time.
func TestFolderHashes(t *testing.T) {
	r := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	var h folderHashes
	var opened int
	hash := func(commit string) string {
		t.Helper()
		repo, err := repos.Open(r.Dir)
		if err != nil {
			t.Fatal(err)
		}
		files, err := repo.FS(commit)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tree.Hash(files)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Hash(counted{files, files.Source, &opened})
		if err != nil || got != want {
			t.Errorf("hash %s, %v; want %s", got, err, want)
		}
		return got
	}
	first := r.Commit(t, repostest.Commit{Files: map[string]string{"a": "1", "b/c": "2"}})
	one := hash(first)
	before := opened
	if hash(first); opened != before || before == 0 {
		t.Errorf("opened %d files, and then %d more", before, opened-before)
	}
	if hash(r.Commit(t, repostest.Commit{Files: map[string]string{"a": "3"}})) == one {
		t.Error("two contents have one hash")
	}

	dir := t.TempDir()
	writeSecretFile(t, filepath.Join(dir, "a"), "1")
	folder := counted{os.DirFS(dir), func(string) (string, error) { return dir, nil }, &opened}
	was, err := h.Hash(folder)
	if err != nil {
		t.Fatal(err)
	}
	writeSecretFile(t, filepath.Join(dir, "a"), "2")
	if now, err := h.Hash(folder); err != nil || now == was {
		t.Errorf("an edit of a folder is not seen: %v", err)
	}
}
