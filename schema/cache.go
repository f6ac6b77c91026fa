// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Cache remembers which documents CUE accepted, by their content, kind and
// profile and the digest of the definitions, so that an unchanged document is
// not checked again; nor are the layers that its active profile hides, which
// had no problems then. It holds at most 2 × 64 Ki entries of 16 bytes; entries
// that are not asked for go first. A nil *Cache remembers nothing. It is safe
// for concurrent use.
type Cache struct {
	mu        sync.Mutex
	young     map[cacheKey]struct{}
	old       map[cacheKey]struct{} // the young ones of before; asked for again, they return
	perAge    int
	unwritten bool
}

type cacheKey [16]byte

const cacheEntries = 64 << 10

// NewCache returns an empty cache.
func NewCache() *Cache {
	return &Cache{young: map[cacheKey]struct{}{}, old: map[cacheKey]struct{}{}, perAge: cacheEntries}
}

func (c *Cache) has(k cacheKey) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.young[k]; ok {
		return true
	}
	if _, ok := c.old[k]; !ok {
		return false
	}
	c.keep(k)
	return true
}

func (c *Cache) add(k cacheKey) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwritten = true
	c.keep(k)
}

func (c *Cache) keep(k cacheKey) {
	if len(c.young) >= c.perAge {
		c.old, c.young = c.young, make(map[cacheKey]struct{}, c.perAge/4)
	}
	c.young[k] = struct{}{}
}

// Changed reports whether Bytes would return something else than what was
// loaded or returned last.
func (c *Cache) Changed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unwritten
}

const cacheMagic = "reconcile schema cache 1\n"

// Bytes returns the content for a file: a header, the digest of the
// definitions, and the entries in order.
func (c *Cache) Bytes() []byte {
	d := mustDefinitions()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unwritten = false
	all := maps.Clone(c.young)
	maps.Copy(all, c.old)
	keys := slices.SortedFunc(maps.Keys(all), func(a, b cacheKey) int { return bytes.Compare(a[:], b[:]) })
	out := append([]byte(cacheMagic), d.digest[:]...)
	for _, k := range keys {
		out = append(out, k[:]...)
	}
	return out
}

// Load adds what Bytes returned. Entries made with other definitions are left
// out; content that Bytes cannot have returned is an error, and nothing of it
// is used.
func (c *Cache) Load(b []byte) error {
	rest, ok := bytes.CutPrefix(b, []byte(cacheMagic))
	if !ok || len(rest) < sha256.Size {
		return fmt.Errorf("load schema cache: unknown format")
	}
	d := mustDefinitions()
	digest, rest := rest[:sha256.Size], rest[sha256.Size:]
	if len(rest)%len(cacheKey{}) != 0 || len(rest)/len(cacheKey{}) > 2*cacheEntries {
		return fmt.Errorf("load schema cache: damaged")
	}
	if !bytes.Equal(digest, d.digest[:]) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range slices.Chunk(rest, len(cacheKey{})) {
		c.keep(cacheKey(k))
	}
	return nil
}

// cacheKeyOf identifies a document as written, for one kind and profile.
func (d *definitions) cacheKeyOf(kind Kind, profile string, n *Node) cacheKey {
	b := make([]byte, 0, 4096)
	b = append(b, d.digest[:]...)
	b = fmt.Appendf(b, "%s %q\n", kind, profile)
	sum := sha256.Sum256(n.appendIdentity(b))
	return cacheKey(sum[:16])
}
