// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"crypto/sha256"
	"io/fs"
	"sync"
	"time"
)

const (
	// maxCached bounds the memory of a Hasher to some 20 MB.
	maxCached = 1 << 17
	// settled is how old a change must be before a file's identity is trusted:
	// two writes within one tick of the kernel's clock leave the same times.
	settled = 2 * time.Second
)

// Hasher hashes like [Hash] and remembers the content hashes of files, so that
// a folder that did not change costs a stat of each file. The zero value is
// ready; it is safe for concurrent use.
//
// A file is known by device, inode, size and the times of its last write and
// last status change. Where the file system does not tell them, every file is
// read.
type Hasher struct {
	mu   sync.Mutex
	sums map[identity][sha256.Size]byte
}

// identity tells one state of one file from every other.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns since 1970
}

// Hash returns what [Hash] returns.
func (h *Hasher) Hash(fsys fs.FS) (string, error) {
	now := time.Now()
	return hashTree(fsys, func(e entry) ([sha256.Size]byte, error) {
		id, ok := identify(e.info)
		if !ok {
			return hashFile(fsys, e.path)
		}
		if sum, ok := h.lookup(id); ok {
			return sum, nil
		}
		sum, err := hashFile(fsys, e.path)
		if err != nil {
			return sum, err
		}
		if changed := time.Unix(0, max(id.mtime, id.ctime)); now.Sub(changed) > settled {
			h.store(id, sum)
		}
		return sum, nil
	})
}

func (h *Hasher) lookup(id identity) ([sha256.Size]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum, ok := h.sums[id]
	return sum, ok
}

func (h *Hasher) store(id identity, sum [sha256.Size]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sums == nil || len(h.sums) >= maxCached {
		h.sums = map[identity][sha256.Size]byte{}
	}
	h.sums[id] = sum
}
