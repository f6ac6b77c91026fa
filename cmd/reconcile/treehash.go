// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"strings"
	"sync"

	"reconcile/tree"
)

// folderHashes hashes folders, and those of commits once. The zero value is ready;
// it is safe for concurrent use.
type folderHashes struct {
	tree.Hasher
	mu    sync.Mutex
	known map[string]string // what names a folder of a commit by its content → hash
}

// maxFolderHashes bounds the memory to some 4 MB.
const maxFolderHashes = 1 << 14

// Hash returns what tree.Hash returns.
func (h *folderHashes) Hash(files fs.FS) (string, error) {
	s, ok := files.(interface {
		Source(dir string) (string, error)
	})
	if !ok {
		return h.Hasher.Hash(files)
	}
	content, err := s.Source(".")
	if err != nil || !strings.HasPrefix(content, "git+") {
		return h.Hasher.Hash(files) // a folder, whose content may be another next time
	}
	h.mu.Lock()
	sum, known := h.known[content]
	h.mu.Unlock()
	if known {
		return sum, nil
	}
	if sum, err = h.Hasher.Hash(files); err != nil {
		return "", err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known) >= maxFolderHashes {
		h.known = map[string]string{}
	}
	h.known[content] = sum
	return sum, nil
}
