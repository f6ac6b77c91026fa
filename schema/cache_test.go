// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// known reports whether the cache holds the one manifest of a source.
func known(t *testing.T, c *Cache, src, profile string) bool {
	t.Helper()
	docs, ds := ParseYAML("manifest.yaml", []byte(src))
	if len(ds) > 0 || len(docs) != 1 {
		t.Fatal(ds)
	}
	return c.has(mustDefinitions().cacheKeyOf(KindManifest, profile, docs[0]))
}

func TestCache(t *testing.T) {
	c := NewCache()
	decode := func(src string) Diagnostics {
		_, ds := DecodeFile("manifest.yaml", []byte(src), Options{Kind: KindManifest, Cache: c})
		return ds
	}
	const good, moved, other, bad = "container: x\n", "# moved\n\ncontainer:   x\n", "container: y\n", "container: x\ninstal: y\n"
	if ds := decode(good); len(ds) > 0 {
		t.Fatal(ds)
	}
	if !known(t, c, good, "") || !known(t, c, moved, "") {
		t.Error("an accepted document, or the same with other comments, is not known")
	}
	if known(t, c, other, "") || known(t, c, good, "dev") {
		t.Error("another document or another profile is known")
	}
	for range 2 {
		if ds := decode(bad); !ds.HasErrors() {
			t.Error("a refused document is accepted")
		}
	}
	if known(t, c, bad, "") {
		t.Error("a refused document is known")
	}
	// What is checked in Go is checked for known documents as well.
	const port = "container: x\nports: [99999]\n"
	for range 2 {
		if ds := decode(port); !ds.HasErrors() {
			t.Error("a bad port is accepted")
		}
	}

	if !c.Changed() {
		t.Error("nothing to write after new documents")
	}
	file := c.Bytes()
	if c.Changed() {
		t.Error("something to write after Bytes")
	}
	fresh := NewCache()
	if err := fresh.Load(file); err != nil || !known(t, fresh, good, "") || fresh.Changed() {
		t.Errorf("after loading: %v", err)
	}
	if !bytes.Equal(fresh.Bytes(), file) {
		t.Error("loaded content is written differently")
	}
	foreign := bytes.Clone(file)
	foreign[len(cacheMagic)] ^= 1
	empty := NewCache()
	if err := empty.Load(foreign); err != nil || known(t, empty, good, "") {
		t.Errorf("entries of other definitions are used (%v)", err)
	}
	for _, damaged := range [][]byte{nil, []byte("x"), file[:len(file)-1], file[:len(cacheMagic)+3]} {
		if err := NewCache().Load(damaged); err == nil {
			t.Errorf("Load of %d damaged bytes: no error", len(damaged))
		}
	}
	var none *Cache
	none.add(cacheKey{})
	if none.has(cacheKey{}) {
		t.Error("a nil cache remembers")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := NewCache()
	c.perAge = 8
	key := func(i int) cacheKey { return cacheKey([]byte(fmt.Sprintf("%016d", i))) }
	for i := range 1000 {
		c.add(key(i))
		c.has(key(0)) // stays in use
	}
	if n := len(c.young) + len(c.old); n > 16 {
		t.Errorf("%d entries, want at most 16", n)
	}
	if !c.has(key(0)) || !c.has(key(999)) || c.has(key(500)) {
		t.Error("the entries in use are not those that stayed")
	}
}

func TestConcurrentDecode(t *testing.T) {
	c := NewCache()
	files := corpus(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, f := range files {
				DecodeFile(f.name, f.src, Options{Kind: f.kind, Cache: c})
			}
		})
	}
	wg.Wait()
}

// Decoding must not keep anything of a document but what it returns.
func TestMemoryIsBounded(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1_000
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	c := NewCache()
	decode := func(i int) {
		if _, ds := DecodeFile("manifest.yaml", benchManifest(i), Options{Kind: KindManifest, Cache: c}); ds.HasErrors() {
			t.Fatal(ds)
		}
	}
	for i := range 100 { // what is built once
		decode(i)
	}
	before := heap()
	for i := range n {
		decode(i)
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes over %d manifests", grown, n)
	}
}
