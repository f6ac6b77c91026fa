// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
)

// The cache of a store may be deleted at any time, also while it is in use.
// What is missing or damaged in it reads as absent, never as an error:
//
//	cache/specs/DIGEST.json  specs, for before → after
//	cache/files/DIGEST       texts that specs name, see contents.go
//	cache/blobs/NAME         bytes that other packages keep
//	cache/history.jsonl      the last passes, see history.go
//	cache/converged.json     IDs that existed after the last pass
//	cache/failures.json      what failed in the last passes, see lastfailures.go

// PutSpec keeps the spec with the digest as JSON.
func (s *Store) PutSpec(digest string, spec json.RawMessage) error {
	if s.readOnly {
		return fmt.Errorf("put spec: %w", errReadOnly)
	}
	path := s.specFile(digest)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := s.putCache(path, spec); err != nil {
		return fmt.Errorf("put spec: %w", err)
	}
	return nil
}

// Specs returns the specs with the digests, as far as they are known.
func (s *Store) Specs(digests []string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, digest := range digests {
		b, err := os.ReadFile(s.specFile(digest))
		if err == nil && json.Valid(b) {
			out[digest] = b
		}
	}
	return out
}

// KeepSpecs forgets every spec but those with the digests, and the contents that
// none of these names.
func (s *Store) KeepSpecs(digests []string) error {
	if s.readOnly {
		return fmt.Errorf("keep specs: %w", errReadOnly)
	}
	keep := map[string]bool{}
	for _, digest := range digests {
		keep[filepath.Base(s.specFile(digest))] = true
	}
	entries, err := readDir(s.specsDir())
	if err != nil {
		return fmt.Errorf("keep specs: %w", err)
	}
	for _, e := range entries {
		if keep[e.Name()] || strings.HasPrefix(e.Name(), atomicfile.TempPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(s.specsDir(), e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep specs: %w", err)
		}
	}
	if err := s.keepContents(s.Specs(digests)); err != nil {
		return fmt.Errorf("keep contents: %w", err)
	}
	return nil
}

// Converged returns the IDs that existed after the last pass, sorted.
func (s *Store) Converged() []plan.ID {
	b, err := os.ReadFile(s.convergedFile())
	if err != nil {
		return nil
	}
	var ids []plan.ID
	if err := json.Unmarshal(b, &ids); err != nil {
		return nil
	}
	slices.SortFunc(ids, plan.ID.Compare)
	return ids
}

// PutConverged keeps the IDs that exist after a pass.
func (s *Store) PutConverged(ids []plan.ID) error {
	if s.readOnly {
		return fmt.Errorf("put converged: %w", errReadOnly)
	}
	sorted := slices.SortedFunc(slices.Values(ids), plan.ID.Compare)
	b, err := json.Marshal(slices.Compact(sorted))
	if err != nil {
		return fmt.Errorf("put converged: %w", err)
	}
	if err := s.putCache(s.convergedFile(), b); err != nil {
		return fmt.Errorf("put converged: %w", err)
	}
	return nil
}

// Blob returns the bytes kept under the name; nil when there are none.
func (s *Store) Blob(name string) []byte {
	b, err := os.ReadFile(s.blobFile(name))
	if err != nil {
		return nil
	}
	return b
}

// PutBlob keeps bytes under the name. A power cut may leave none of them, so
// what they mean must be checked when they come back.
func (s *Store) PutBlob(name string, b []byte) error {
	if s.readOnly {
		return fmt.Errorf("put %s: %w", name, errReadOnly)
	}
	if err := s.putCache(s.blobFile(name), b); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

func (s *Store) cacheDir() string      { return filepath.Join(s.dir, "cache") }
func (s *Store) specsDir() string      { return filepath.Join(s.dir, "cache", "specs") }
func (s *Store) blobsDir() string      { return filepath.Join(s.dir, "cache", "blobs") }
func (s *Store) convergedFile() string { return filepath.Join(s.cacheDir(), "converged.json") }
func (s *Store) specFile(digest string) string {
	return filepath.Join(s.specsDir(), escapeName(digest)+".json")
}

func (s *Store) blobFile(name string) string { return filepath.Join(s.blobsDir(), escapeName(name)) }

// putCache writes a file of the cache, whose folder may have been deleted.
func (s *Store) putCache(path string, b []byte) error {
	err := s.quick(path, b)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return s.quick(path, b)
}
