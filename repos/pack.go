// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // it is git's own
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	packHeader  = 12 // PACK, version, number of objects
	packTrailer = sha1.Size
)

// storeThin stores a pack whose deltas may be against objects that are here
// already. Only such packs are small when a shallow mirror asks for the next
// commit: without leave to send one, a server sends all files again.
//
// go-git cannot index a thin pack, so the objects that it leaves out are put in
// front of it; deltas within the pack name their bases by distance, which stays.
func storeThin(store *filesystem.Storage, dir string, r io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Join(dir, "objects", "pack"), "tmp_pack_")
	if err != nil {
		return fmt.Errorf("%w: %w", errMirror, err)
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}()
	size, err := io.Copy(f, r)
	if err != nil {
		return err
	}
	count, bases, err := scan(f, store)
	if err != nil || count == 0 {
		return err
	}
	if len(bases) == 0 {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return packfile.UpdateObjectStorage(store, f)
	}
	head, err := front(store, bases, count)
	if err != nil {
		return err
	}
	body := io.NewSectionReader(f, packHeader, size-packHeader-packTrailer)
	return packfile.UpdateObjectStorage(store, &sealed{r: io.MultiReader(head, body), sum: sha1.New()})
}

// scan reads a pack through and returns the number of its objects and the bases
// of its deltas that are in the store.
func scan(f io.ReadSeeker, store *filesystem.Storage) (count uint32, bases []plumbing.Hash, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, nil, err
	}
	s := packfile.NewScanner(f)
	_, count, err = s.Header()
	if err != nil {
		if errors.Is(err, packfile.ErrEmptyPackfile) {
			return 0, nil, nil
		}
		return 0, nil, err
	}
	found := map[plumbing.Hash]bool{}
	for range count {
		h, err := s.NextObjectHeader()
		if err != nil {
			return 0, nil, err
		}
		if h.Type == plumbing.REFDeltaObject && !found[h.Reference] && store.HasEncodedObject(h.Reference) == nil {
			found[h.Reference] = true
		}
	}
	if _, err := s.Checksum(); err != nil { // reads the last object to its end
		return 0, nil, err
	}
	bases = slices.Collect(maps.Keys(found))
	plumbing.HashesSort(bases)
	return count, bases, nil
}

// front is the header of a pack and the bases, which come before count objects.
func front(store *filesystem.Storage, bases []plumbing.Hash, count uint32) (io.Reader, error) {
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, []uint32{2, count + uint32(len(bases))}) // a buffer takes all
	for _, base := range bases {
		o, err := store.EncodedObject(plumbing.AnyObject, base)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errMirror, err)
		}
		if err := entryOf(&b, o); err != nil {
			return nil, fmt.Errorf("%w: %w", errMirror, err)
		}
	}
	return &b, nil
}

// entryOf writes a whole object as packs have it: type and size, seven bits a
// byte but for the first, then the compressed content.
func entryOf(b *bytes.Buffer, o plumbing.EncodedObject) (err error) {
	size := uint64(o.Size())
	first := byte(o.Type())<<4 | byte(size&0x0f)
	for size >>= 4; size > 0; size >>= 7 {
		b.WriteByte(first | 0x80)
		first = byte(size & 0x7f)
	}
	b.WriteByte(first)
	r, err := o.Reader()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	z := zlib.NewWriter(b)
	if _, err := io.Copy(z, r); err != nil {
		return err
	}
	return z.Close()
}

// sealed appends the checksum to what it reads.
type sealed struct {
	r   io.Reader
	sum interface {
		io.Writer
		Sum(b []byte) []byte
	}
	tail []byte
	done bool
}

func (s *sealed) Read(p []byte) (int, error) {
	if !s.done {
		n, err := s.r.Read(p)
		_, _ = s.sum.Write(p[:n]) // a hash takes all
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		s.done, s.tail = true, s.sum.Sum(nil)
		if n > 0 {
			return n, nil
		}
	}
	if len(s.tail) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.tail)
	s.tail = s.tail[n:]
	return n, nil
}
