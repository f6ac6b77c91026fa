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
)

// maxFileName is the longest file name that escapeName returns. File systems
// take 255 bytes; the rest is for a suffix and a temporary prefix.
const maxFileName = 180

// tempPrefix starts the names of files that are not yet written to the end.
// No escaped name starts with a dot, so the two never meet.
const tempPrefix = ".tmp-"

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
	return name[:maxFileName-33] + "~" + hex.EncodeToString(sum[:16])
}

// fileWriter writes files so that a reader sees the old content or the new
// one, whatever happens in between.
type fileWriter struct {
	// fill writes b to f; a seam for disks that are full.
	fill func(f *os.File, b []byte) error
}

func fillFile(f *os.File, b []byte) error {
	_, err := f.Write(b)
	return err
}

// durable replaces path by b and returns when that would survive a power cut.
func (w fileWriter) durable(path string, b []byte) error {
	if err := w.replace(path, b, true); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// quick replaces path by b; a power cut may leave an empty file.
func (w fileWriter) quick(path string, b []byte) error { return w.replace(path, b, false) }

func (w fileWriter) replace(path string, b []byte, sync bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
				err = pe.Err // the path it names is the temporary one
			}
			err = fmt.Errorf("write %s: %w", path, err)
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := w.fill(f, b); err != nil {
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
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
	return syncDir(filepath.Dir(dir))
}

// removeTemps removes what an interrupted write left in dir.
func removeTemps(dir string) error {
	entries, err := readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove interrupted write: %w", err)
		}
	}
	return nil
}

// readDir lists dir, sorted by name; a folder that is not there is empty.
func readDir(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return entries, nil
}
