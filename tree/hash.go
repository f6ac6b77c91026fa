// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// version begins every hash, so that another way of hashing is another hash.
const version = "reconcile tree 1\n"

// Hash returns the hash of the folder fsys as 64 lower-case hexadecimal digits.
// An error names the entry that cannot be read or cannot be part of a tree.
func Hash(fsys fs.FS) (string, error) {
	return hashTree(fsys, func(e entry) ([sha256.Size]byte, error) { return hashFile(fsys, e.path) })
}

func hashTree(fsys fs.FS, sum func(entry) ([sha256.Size]byte, error)) (string, error) {
	entries, err := list(fsys)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	io.WriteString(h, version)
	for _, e := range entries {
		h.Write([]byte{byte(e.kind)})
		writeSized(h, e.path)
		switch e.kind {
		case link:
			writeSized(h, e.target)
		case file, executable:
			s, err := sum(e)
			if err != nil {
				return "", fmt.Errorf("read %q: %w", e.path, unwrapPath(err))
			}
			h.Write(s[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// writeSized makes the concatenation unambiguous whatever s holds.
func writeSized(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	io.WriteString(h, s)
}

func hashFile(fsys fs.FS, name string) (sum [sha256.Size]byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
