// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	yaml "go.yaml.in/yaml/v4"
)

// benchManifest is a manifest with most features, different for each i.
func benchManifest(i int) []byte {
	return fmt.Appendf(nil, `# Agent %[1]d
container: docker.io/library/node:20-%[1]d
about: Orchestrates the work of agent %[1]d and answers questions about it
preinstall: scripts/bootstrap.sh
install:
  - npm install express body-parser
  - npm run build
postinstall: npm run seed
update: npm update
agent: node server.js --id %[1]d
cli: node repl.js
env:
  LOG_LEVEL: info
  API_PORT: 8080
  DATABASE_URL: null
  CACHE_%[1]d:
    varName: CACHE_URL
    default: redis://cache:6379
    required: "yes"
enable:
  - database
  - cache global
  - logger devel utils
  - explorer no-wait as explorer%[1]d
repos:
  utils: https://example.org/org/utils.git
volumes:
  ./data/%[1]d: /var/lib/data
  ./models: /models:ro
ports:
  - "8080:7000"
  - 127.0.0.1:9090:9090
health:
  liveness: {script: live.sh, interval: 2, timeout: 5, failureThreshold: 5}
  readiness: {script: ready.sh, timeout: "5"}
profiles:
  default:
    env: {LOG_LEVEL: warn}
  dev:
    env: {LOG_LEVEL: debug}
    install: npm install
`, i)
}

func yamlNodes(b *testing.B, src []byte) {
	l, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		b.Fatal(err)
	}
	for {
		var n yaml.Node
		if err := l.Load(&n); err == io.EOF {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode compares the cost of one manifest: the plain YAML decode to
// nodes as the floor, ours when the document is known, and ours when it is new.
func BenchmarkDecode(b *testing.B) {
	src := benchManifest(1)
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			yamlNodes(b, src)
		}
	})
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		opts := Options{Kind: KindManifest, Cache: NewCache()}
		for b.Loop() {
			if _, ds := DecodeFile("manifest.yaml", src, opts); ds.HasErrors() {
				b.Fatal(ds)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ds := DecodeFile("manifest.yaml", src, Options{Kind: KindManifest}); ds.HasErrors() {
				b.Fatal(ds)
			}
		}
	})
}
