// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"reconcile/schema"
	"reconcile/tree"
)

// manyAgents is a workspace of n enabled agents with ordinary manifests.
func manyAgents(b *testing.B, n int) (dir string, files []string) {
	b.Helper()
	dir = b.TempDir()
	var enable strings.Builder
	for i := range n {
		name := fmt.Sprintf("agent-%04d", i)
		file := filepath.Join(dir, "agents", name, "manifest.yaml")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		manifest := fmt.Sprintf(`container: ghcr.io/acme/agent-%d:1.%d
about: agent number %d of many
agent: node server.js --name %s
env:
  LOG_LEVEL: info
  API_PORT: 8080
  DATABASE_URL: {varName: DB_%d, default: "postgres://localhost/db%d"}
  SHARED: null
volumes:
  data/%s: /data
ports: ["%d:7000"]
`, i%50, i, i, name, i%10, i, name, 20000+i)
		if i > 0 {
			manifest += fmt.Sprintf("enable: [agent-%04d no-wait]\n", i/2)
		}
		if err := os.WriteFile(file, []byte(manifest), 0o644); err != nil {
			b.Fatal(err)
		}
		files = append(files, file)
		fmt.Fprintf(&enable, "    - %s\n", name)
	}
	src := "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: many}\nspec:\n  vars: {SHARED: x}\n  enable:\n" + enable.String()
	if err := os.WriteFile(filepath.Join(dir, "workspace.yaml"), []byte(src), 0o644); err != nil {
		b.Fatal(err)
	}
	return dir, files
}

func loadMany(b *testing.B, dir string, cache *schema.Cache, hasher *tree.Hasher) {
	b.Helper()
	t, ds, err := Load(b.Context(), Options{Dir: dir, StateDir: "/var/lib/reconcile", Cache: cache, Hash: hasher.Hash})
	if err != nil {
		b.Fatal(err)
	}
	res := t.Resolve()
	if all := append(ds, res.Diagnostics...); len(all) > 0 {
		b.Fatal(all[0])
	}
	if len(res.Desired.Resources) != 1001 {
		b.Fatalf("%d resources", len(res.Desired.Resources))
	}
}

// BenchmarkThousand loads and resolves 1,000 manifests. floor is nothing but
// reading and decoding the same files as YAML.
func BenchmarkThousand(b *testing.B) {
	dir, files := manyAgents(b, 1000)
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			for _, file := range files {
				src, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				var v any
				if err := yaml.Unmarshal(src, &v); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("warm", func(b *testing.B) {
		cache := schema.NewCache()
		loadMany(b, dir, cache, &tree.Hasher{})
		for b.Loop() {
			loadMany(b, dir, cache, &tree.Hasher{})
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			loadMany(b, dir, nil, &tree.Hasher{})
		}
	})
}
