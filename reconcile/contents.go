// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
)

// maxContent bounds what is kept of files, in bytes each.
const maxContent = 1 << 20

// PutContent keeps a text with the digest, sha256:HEX, so that a later plan can
// show what becomes of it. What is no text, or is longer than 1 MiB, is not kept.
func (s *Store) PutContent(digest string, b []byte) error {
	if s.readOnly {
		return fmt.Errorf("put content: %w", errReadOnly)
	}
	if len(b) > maxContent || !isText(b) {
		return nil
	}
	path := s.contentFile(digest)
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(b)) {
		return nil
	}
	if err := s.putCache(path, b); err != nil {
		return fmt.Errorf("put content: %w", err)
	}
	return nil
}

// Content returns the text with the digest. It reports false when that is not
// kept, or is not any more what was kept.
func (s *Store) Content(digest string) ([]byte, bool) {
	b, err := readSmall(s.contentFile(digest), maxContent)
	if err != nil || contentDigest(b) != digest {
		return nil, false
	}
	return b, true
}

// keepContents forgets every content but those that the kept specs name.
func (s *Store) keepContents(specs map[string]json.RawMessage) error {
	entries, err := readDir(s.contentsDir())
	if err != nil || len(entries) == 0 {
		return err
	}
	keep := map[string]bool{}
	for _, raw := range specs {
		var spec plan.Spec
		if err := json.Unmarshal(raw, &spec); err != nil {
			continue
		}
		for _, f := range filesOf(spec) {
			keep[filepath.Base(s.contentFile(f.Digest))] = true
		}
	}
	for _, e := range entries {
		if keep[e.Name()] || strings.HasPrefix(e.Name(), atomicfile.TempPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(s.contentsDir(), e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *Store) contentsDir() string { return filepath.Join(s.dir, "cache", "files") }
func (s *Store) contentFile(digest string) string {
	return filepath.Join(s.contentsDir(), escapeName(digest))
}

// putContents keeps the files that r is made of.
func putContents(k Keeper, d plan.Desired, r plan.Resource) error {
	for _, f := range filesOf(r.Spec) {
		b, known := d.Contents[f.Digest]
		if !known {
			continue
		}
		if err := k.PutContent(f.Digest, b); err != nil {
			return err
		}
	}
	return nil
}

// filesOf returns the files with a content that a spec names.
func filesOf(s plan.Spec) []plan.File {
	if s.Container == nil {
		return nil
	}
	var out []plan.File
	for _, m := range s.Container.Mounts {
		out = append(out, m.Files...)
	}
	return slices.DeleteFunc(out, func(f plan.File) bool { return f.Digest == "" })
}

func contentDigest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func isText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }
