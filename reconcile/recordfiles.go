// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"reconcile/reconcile/plan"
)

// recordFiles remembers what the files of records say, so that only those that are
// new or others than before are read: the records of Tasks are kept for ever.
type recordFiles struct {
	mu    sync.Mutex
	known map[string]knownRecord // by path
}

// knownRecord is what a file said. Nobody writes to its maps.
type knownRecord struct {
	info   fs.FileInfo // before it was read
	record plan.Record
}

// settled is how old a file is whose next change shows in its time, on whatever file
// system.
const settled = 2 * time.Second

// read returns the records in dir whose files have these names, save for those that
// are gone by now. The errors are one for each file that cannot be read.
func (f *recordFiles) read(dir string, names []string) (records []plan.Record, errs []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := make(map[string]knownRecord, len(names))
	now := time.Now()
	for _, name := range names {
		path := filepath.Join(dir, name)
		k, err := f.readOne(path)
		if err != nil {
			if _, gone := os.Lstat(path); !errors.Is(gone, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		if now.Sub(k.info.ModTime()) > settled {
			known[path] = k
		}
		records = append(records, k.record)
	}
	f.known = known
	return records, errs
}

func (f *recordFiles) readOne(path string) (knownRecord, error) {
	info, err := os.Stat(path)
	if err != nil {
		return knownRecord{}, err
	}
	if k, ok := f.known[path]; ok && sameFile(k.info, info) {
		return k, nil
	}
	r, err := readRecord(path)
	return knownRecord{info, r}, err
}

// sameFile reports whether a file is the one of before, and has not been written
// since.
func sameFile(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}
