// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/images"

	"reconcile/podman/podmantest"
)

// Every example is right, converges, has nothing to do the second time, and
// goes away again.
func TestExamples(t *testing.T) {
	examples := os.DirFS("../../examples")
	entries, err := fs.ReadDir(examples, ".")
	if err != nil || len(entries) == 0 {
		t.Fatalf("examples: %v, %v", entries, err)
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			ws := t.TempDir()
			files, err := fs.Sub(examples, e.Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(ws, files); err != nil {
				t.Fatal(err)
			}
			state := filepath.Join(t.TempDir(), "state")
			var out, said bytes.Buffer
			command := func(args ...string) {
				t.Helper()
				out.Reset()
				said.Reset()
				args = append(args, "-C", ws, "--state-dir", state)
				if code := run(t.Context(), args, stdio{strings.NewReader(""), &out, &said}); code != exitOK {
					t.Fatalf("reconcile %q: exit code %d\n%s%s", args, code, &out, &said)
				}
			}
			command("validate")
			if testing.Short() {
				return
			}
			for name, opt := range map[string]podmantest.ImageOptions{"shell": {Busybox: true}, "empty": {NoTool: true}} {
				repo := "localhost/quickstart/" + name
				if err := images.Tag(podmantest.Conn(t), podmantest.Image(t, "quickstart/"+name, opt), "1", repo, nil); err != nil {
					t.Fatal(err)
				}
			}
			podman := "--podman=" + podmantest.Socket(t)
			defer command("destroy", "--yes", "--volumes", podman)
			command(podman)
			command("--dry-run", podman)
			if !strings.Contains(out.String(), "\nnothing to do (") {
				t.Errorf("the second plan is not empty:\n%s", &out)
			}
			command(podman)
		})
	}
}
