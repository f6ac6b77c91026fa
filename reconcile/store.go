// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
)

// Store is the record store of one workspace: a folder of small files.
//
//	data/owner         id of this store, 32 hex digits
//	data/accepted      JSON list of owners and roots taken over
//	data/metadata-port see Store.MetadataPort
//	data/records/*     one JSON plan.Record each
//	cache/             may be deleted at any time, see cache.go
//
// Every change below data is on disk before the method returns. A file that
// cannot be understood is named in an error and left alone. The methods may be
// called concurrently; of several processes only the one that holds the
// workspace's lock may write.
type Store struct {
	dir      string
	readOnly bool
	owner    string
	fill     func(f *os.File, b []byte) error // see atomicfile.Options
	records  recordFiles

	mu     sync.Mutex // one writer of accepted and of history at a time
	passes int        // the highest number that a pass has had
}

// errReadOnly answers a write to a store that was opened to be read.
var errReadOnly = errors.New("record store is open for reading only")

const (
	ownerBytes    = 16
	maxOwnerFile  = 1 << 10
	maxRecordFile = 1 << 20
)

// OpenStore opens the record store in dir, usually STATE/workspaces/NAME. With
// readOnly nothing is ever created or written, and a store that does not exist
// is an empty one without an owner. Otherwise the caller holds the workspace's
// lock, and the store is made when it is missing.
func OpenStore(dir string, readOnly bool) (*Store, error) {
	s := &Store{dir: dir, readOnly: readOnly}
	if !readOnly {
		if err := s.make(); err != nil {
			return nil, fmt.Errorf("open record store: %w", err)
		}
	}
	owner, err := s.readOwner()
	if err != nil {
		return nil, fmt.Errorf("open record store: %w", err)
	}
	if owner == "" && !readOnly {
		if owner, err = s.makeOwner(); err != nil {
			return nil, fmt.Errorf("open record store: %w", err)
		}
	}
	s.owner = owner
	return s, nil
}

// Owner is the random id of this store, which everything made under it
// carries; "" for a store that was opened for reading and does not exist.
func (s *Store) Owner() string { return s.owner }

// Load returns every record. The error joins one error for each file that cannot
// be read, with its path; the records are those of all other files, and their maps
// are not to be written to.
func (s *Store) Load() (plan.Records, error) {
	out := plan.Records{Owner: s.owner}
	accepted, acceptedErr := s.accepted()
	out.Accepted = accepted
	errs := []error{acceptedErr}

	dir := s.recordsDir()
	entries, err := readDir(dir)
	if err != nil {
		return out, fmt.Errorf("load records: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), atomicfile.TempPrefix) {
			names = append(names, e.Name())
		}
	}
	records, unread := s.records.read(dir, names)
	slices.SortFunc(records, compareRecords)
	out.Records = records
	return out, errors.Join(append(errs, unread...)...)
}

// LoadOf returns the records of one ID, as [Store.Load] does. Files of others are not
// read.
func (s *Store) LoadOf(id plan.ID) (plan.Records, error) {
	out := plan.Records{Owner: s.owner}
	dir := s.recordsDir()
	entries, err := readDir(dir)
	if err != nil {
		return out, fmt.Errorf("load records of %s: %w", id, err)
	}
	begin := escapeName(id.String(), "")
	begin = begin[:min(len(begin), maxFileName-nameSum)]
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), begin) {
			names = append(names, e.Name())
		}
	}
	records, unread := new(recordFiles).read(dir, names)
	out.Records = slices.DeleteFunc(records, func(r plan.Record) bool { return r.ID.Compare(id) != 0 })
	slices.SortFunc(out.Records, compareRecords)
	return out, errors.Join(unread...)
}

// Put writes r in place of an earlier record of the same ID, kind and key, or, when
// it is to be forgotten, removes that.
func (s *Store) Put(ctx context.Context, r plan.Record) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put record of %s: %w", r.ID, err)
	}
	if s.readOnly {
		return fmt.Errorf("put record of %s: %w", r.ID, errReadOnly)
	}
	if r.Forget {
		if err := s.forget(s.recordFile(r)); err != nil {
			return fmt.Errorf("forget record of %s: %w", r.ID, err)
		}
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("put record of %s: %w", r.ID, err)
	}
	if err := s.durable(s.recordFile(r), append(b, '\n')); err != nil {
		return fmt.Errorf("put record of %s: %w", r.ID, err)
	}
	return nil
}

// Accept remembers that objects with these owners or roots were taken over by
// root.
func (s *Store) Accept(root string, ids ...string) error {
	if s.readOnly {
		return fmt.Errorf("accept objects: %w", errReadOnly)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, err := s.accepted()
	if err != nil {
		return fmt.Errorf("accept objects: %w", err)
	}
	all := slices.Concat(have, ids)
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(id string) bool { return id == "" || id == s.owner || id == root })
	if slices.Equal(all, have) {
		return nil
	}
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("accept objects: %w", err)
	}
	if err := s.durable(s.acceptedFile(), append(b, '\n')); err != nil {
		return fmt.Errorf("accept objects: %w", err)
	}
	return nil
}

func (s *Store) dataDir() string    { return filepath.Join(s.dir, "data") }
func (s *Store) recordsDir() string { return filepath.Join(s.dir, "data", "records") }
func (s *Store) ownerFile() string  { return filepath.Join(s.dir, "data", "owner") }
func (s *Store) recordFile(r plan.Record) string {
	parts := []string{r.ID.String(), string(r.Kind)}
	if r.Key != "" {
		parts = append(parts, r.Key)
	}
	return filepath.Join(s.recordsDir(), escapeName(parts...)+".json")
}
func (s *Store) acceptedFile() string { return filepath.Join(s.dir, "data", "accepted") }

func (s *Store) make() error {
	for _, dir := range []string{s.dataDir(), s.recordsDir(), s.specsDir(), s.contentsDir(), s.blobsDir()} {
		if err := makeDir(dir); err != nil {
			return err
		}
		if err := atomicfile.Clean(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readOwner() (string, error) {
	b, err := readSmall(s.ownerFile(), maxOwnerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	owner := strings.TrimSpace(string(b))
	if raw, err := hex.DecodeString(owner); err != nil || len(raw) != ownerBytes {
		return "", fmt.Errorf("%s is damaged: want %d hex digits; restore it from a backup, or remove it to start with a new id (existing instances are then held until --accept-lost-records)",
			s.ownerFile(), 2*ownerBytes)
	}
	return owner, nil
}

func (s *Store) makeOwner() (string, error) {
	raw := make([]byte, ownerBytes)
	rand.Read(raw) // never fails: crypto/rand ends the program instead
	owner := hex.EncodeToString(raw)
	return owner, s.durable(s.ownerFile(), []byte(owner+"\n"))
}

func (s *Store) accepted() ([]string, error) {
	b, err := readSmall(s.acceptedFile(), maxRecordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	if err := json.Unmarshal(b, &ids); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", s.acceptedFile(), err)
	}
	return ids, nil
}

func readRecord(path string) (plan.Record, error) {
	b, err := readSmall(path, maxRecordFile)
	if err != nil {
		return plan.Record{}, err
	}
	var r plan.Record
	if err := json.Unmarshal(b, &r); err != nil {
		return plan.Record{}, fmt.Errorf("record %s is damaged: %w", path, err)
	}
	if r.ID.Name == "" || r.Kind == "" {
		return plan.Record{}, fmt.Errorf("record %s is damaged: it names no id or no kind", path)
	}
	return r, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is damaged: larger than %d bytes", path, limit)
	}
	return b, nil
}

func compareRecords(a, b plan.Record) int {
	return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}
