// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"reconcile/tree"
)

// TestPlacedFiles holds a folder that is said to be elsewhere to be the same
// files, named as those of the other place.
func TestPlacedFiles(t *testing.T) {
	dir := t.TempDir()
	agent := filepath.Join(dir, "agents", "web")
	if err := os.MkdirAll(agent, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"manifest.yaml": "container: a\n", "run.sh": "true\n"} {
		if err := os.WriteFile(filepath.Join(agent, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("run.sh", filepath.Join(agent, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	p, done, err := openPlaced(dir, "/srv/acme")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, err := fs.ReadFile(p, "out"); err == nil {
		t.Error("a link led out of the folder")
	}
	if err := os.Remove(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(p, "agents/web/manifest.yaml", "agents/web/link"); err != nil {
		t.Error(err)
	}
	sub, err := fs.Sub(p, "agents/web")
	if err != nil {
		t.Fatal(err)
	}
	want, err := tree.Hash(os.DirFS(agent))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tree.Hash(sub); err != nil || got != want {
		t.Errorf("hash %s, %v; want %s", got, err, want)
	}
	src, ok := sub.(interface{ Source(string) (string, error) })
	if !ok {
		t.Fatal("a folder of it cannot be named")
	}
	if got, err := src.Source("."); err != nil || got != "/srv/acme/agents/web" {
		t.Errorf("it is named %q, %v", got, err)
	}
}
