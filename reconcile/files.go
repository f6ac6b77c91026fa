// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"reconcile/atomicfile"
)

// maxFileName is the longest file name that escapeName returns. File systems
// take 255 bytes; the rest is for a suffix and a temporary prefix.
const maxFileName = 180

// nameSum is how many bytes of a name that was cut are its hash.
const nameSum = 1 + 32

// escapeName makes one file name of the parts, one name for each list of parts
// on every file system: lower-case letters, digits, '-', '_' and inner dots
// stay, other bytes are %xx, parts are joined by '+', and what is too long is
// cut and told apart by a hash.
func escapeName(parts ...string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('+')
		}
		for j := range len(part) {
			c := part[j]
			plain := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' && b.Len() > 0
			if plain {
				b.WriteByte(c)
				continue
			}
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	name := b.String()
	if name == "" {
		return "%"
	}
	if len(name) <= maxFileName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxFileName-nameSum] + "~" + hex.EncodeToString(sum[:16])
}

// makeDir makes dir and its parents for the owner alone. The entry of dir in
// its parent is on disk when it returns.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

// readDir lists dir, sorted by name; a folder that is not there is empty.
func readDir(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return entries, nil
}

// durable replaces a file of the store, and returns when the new one is on disk.
func (s *Store) durable(path string, b []byte) error {
	return atomicfile.Write(path, b, atomicfile.Options{Sync: true, Fill: s.fill})
}

// forget removes a file of the store, if it is there, and returns when that is on
// disk.
func (s *Store) forget(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// quick replaces a file that may be lost.
func (s *Store) quick(path string, b []byte) error {
	return atomicfile.Write(path, b, atomicfile.Options{Fill: s.fill})
}
