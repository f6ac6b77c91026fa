// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/rogpeppe/go-internal/testscript"

	"reconcile/podman/podmantest"
)

// registryEnv names where the real images are: REGISTRY[/FOLDER], docker.io/library
// for one. Podman and containers must reach the network then, so the lab is in
// the host's.
const registryEnv = podmantest.RegistryEnv

// A standIn takes the place of a registry's image of the same reference: same
// shell, entrypoint and places of files, with small scripts from testdata/standins
// for its programs.
type standIn struct {
	folder  string
	tags    []string // NAME:TAG of docker.io/library
	changes []string
}

var standInImages = []standIn{
	{folder: "alpine", tags: []string{"alpine:latest"}, changes: []string{`CMD ["/bin/sh"]`}},
	{folder: "node", tags: []string{"node:20", "node:18", "node:18-alpine"}, changes: []string{`ENTRYPOINT ["docker-entrypoint.sh"]`, `CMD ["node"]`}},
	{folder: "python", tags: []string{"python:3.11", "python:3.12-slim"}, changes: []string{`CMD ["python3"]`}},
	{folder: "postgres", tags: []string{"postgres:15"}, changes: []string{`ENTRYPOINT ["docker-entrypoint.sh"]`, `CMD ["postgres"]`, "EXPOSE 5432"}},
}

const hub = "docker.io/library/"

// standIns makes the images under the references of those that they stand for,
// which only the lab's Podman sees.
func standIns(t *testing.T) {
	t.Helper()
	for _, s := range standInImages {
		opt := podmantest.ImageOptions{
			Busybox: true, NoTool: true, Files: map[string]string{},
			Changes: append([]string{"ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, s.changes...),
		}
		dir := filepath.Join("../../testdata/standins", s.folder)
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			opt.Files[strings.TrimPrefix(path, dir)] = string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		tagHub(t, podmantest.Image(t, "standin/"+s.folder, opt), s.tags)
	}
}

// tagHub puts references of docker.io/library on an image.
func tagHub(t *testing.T, ref string, tags []string) {
	t.Helper()
	for _, tag := range tags {
		name, version, _ := strings.Cut(tag, ":")
		if err := images.Tag(podmantest.Conn(t), ref, version, hub+name, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScriptRegistry runs the scripts about the examples of other formats with the images
// that they name. They take minutes, and need a network.
func TestScriptRegistry(t *testing.T) {
	registry := os.Getenv(registryEnv)
	if registry == "" {
		t.Skipf("%s is not set; TestScript runs the same with images that stand in", registryEnv)
	}
	podmantest.Socket(t)
	for _, s := range standInImages {
		for _, tag := range s.tags {
			ref := strings.TrimSuffix(registry, "/") + "/" + tag
			opt := new(images.PullOptions).WithQuiet(true)
			if strings.HasPrefix(registry, "127.0.0.1:") {
				opt = opt.WithSkipTLSVerify(true)
			}
			if _, err := images.Pull(podmantest.Conn(t), ref, opt); err != nil {
				t.Fatal(err)
			}
			tagHub(t, ref, []string{tag})
		}
	}
	files, err := filepath.Glob("../../testdata/script/seed*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	runScripts(t, testscript.Params{Files: files})
}
