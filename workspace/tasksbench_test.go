// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/schema"
)

// manyTasks is a workspace of n Tasks with three contexts each: one of the Agent
// and two of their own, of 30 Contexts.
func manyTasks(b *testing.B, n int) (dir string, files []string) {
	b.Helper()
	dir = b.TempDir()
	write := func(name, text string) {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		files = append(files, file)
	}
	var contexts strings.Builder
	for i := range 30 {
		fmt.Fprintf(&contexts, `---
apiVersion: kubetask.io/v1alpha1
kind: Context
metadata: {name: c%d}
spec: {type: ConfigMap, configMap: {name: m, key: k%d}}
`, i, i)
	}
	contexts.WriteString("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n")
	for i := range 30 {
		fmt.Fprintf(&contexts, "  k%d: |\n%s", i, strings.Repeat("    # A line of what everybody has to keep in mind.\n", 40))
	}
	write("contexts.yaml", contexts.String())
	write("agent.yaml", `apiVersion: kubetask.io/v1alpha1
kind: Agent
metadata: {name: default}
spec:
  agentImage: example.org/agent:1
  contexts: [{name: c0}]
  credentials: [{name: token, secretRef: {name: github, key: token}, env: GITHUB_TOKEN}]
`)
	for i := range n {
		write(fmt.Sprintf("task-%04d.yaml", i), fmt.Sprintf(`apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: task-%d}
spec:
  description: |
    Update the dependencies of the service %d, run its tests, and open a pull request.
  timeout: 30m
  contexts:
    - {name: c%d}
    - {name: c%d, mountPath: guides/guide.md}
`, i, i, 1+i%29, 1+i%28))
	}
	return dir, files
}

// BenchmarkThousandTasks resolves 1,000 Tasks with three contexts each. decode is
// the floor: reading and decoding their files; load has both.
func BenchmarkThousandTasks(b *testing.B) {
	dir, files := manyTasks(b, 1000)
	opt := Options{Dir: dir, Name: "many", StateDir: "/var/lib/reconcile", Cache: schema.NewCache()}
	load := func() *Tree {
		t, ds, err := Load(b.Context(), opt)
		if err != nil || len(ds) > 0 {
			b.Fatal(err, ds)
		}
		return t
	}
	loaded := load() // fills the cache
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			for _, file := range files {
				src, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				if _, ds := schema.DecodeFile(filepath.Base(file), src, schema.Options{Cache: opt.Cache}); len(ds) > 0 {
					b.Fatal(ds)
				}
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			load()
		}
	})
	b.Run("resolve", func(b *testing.B) {
		for b.Loop() {
			res := loaded.Resolve()
			if len(res.Diagnostics) > 0 || len(res.Desired.Resources) != 1001 {
				b.Fatal(len(res.Desired.Resources), res.Diagnostics)
			}
		}
	})
}
