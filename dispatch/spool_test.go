// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

// What is written comes out as it was, in whatever pieces and whenever it is read,
// in memory or not; nothing is left in the folder.
func TestSpool(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		s := &spool{dir: dir, limit: 16 << 20}
		want := make([]byte, rnd.IntN(4<<20))
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		var got bytes.Buffer
		var wg sync.WaitGroup
		flushes := 0
		read := func() {
			if err := s.drain(t.Context(), &got, func() { flushes++ }); err != nil {
				t.Error(err)
			}
		}
		if early := seed%2 == 0; early {
			wg.Go(read)
		}
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(300<<10))
			if m, err := s.Write(rest[:n]); m != n || err != nil {
				t.Fatal(m, err)
			}
			rest = rest[n:]
		}
		s.end(nil)
		if seed%2 == 1 {
			read()
			if flushes > 0 {
				t.Error("what is whole is not waited for")
			}
		}
		wg.Wait()
		if !bytes.Equal(got.Bytes(), want) || s.written() != int64(len(want)) {
			t.Fatalf("seed %d: %d bytes, want %d", seed, got.Len(), len(want))
		}
		s.discard()
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("left %v, %v", entries, err)
		}
	}
}

// What a reader keeps up with has no limit; what waits has.
func TestSpoolLimit(t *testing.T) {
	over := 0
	s := &spool{dir: t.TempDir(), limit: 2 << 20, over: func() { over++ }}
	piece := make([]byte, 1<<20)
	buf := make([]byte, 3<<20)
	for range 10 {
		_, _ = s.Write(piece)
		_, _ = s.Write(piece)
		for total := 0; total < 2<<20; {
			n, _, err := s.next(buf)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	if s.file == nil || s.size != 0 || over != 0 {
		t.Errorf("file %v, %d bytes, %d times over", s.file != nil, s.size, over)
	}
	for range 3 {
		if n, err := s.Write(piece); n != len(piece) || err != nil {
			t.Error(n, err)
		}
	}
	_, _ = s.Write(piece)
	s.end(nil)
	if !errors.Is(s.failed(), errTooMuch) || over != 1 {
		t.Errorf("%v, %d times over", s.failed(), over)
	}
	if n, err := io.Copy(io.Discard, reader{s}); n != 2<<20 || !errors.Is(err, errTooMuch) {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := (&spool{memory: piece, size: 1 << 20, limit: 2 << 20}).all(10); !errors.Is(err, errTooMuch) {
		t.Errorf("all of too much: %v", err)
	}
	s.discard()
	_, _ = s.Write(piece)
	if s.memory != nil {
		t.Error("it keeps what is written after it was dropped")
	}

	// A folder that is not there fails the reader, not the writer.
	bad := &spool{dir: t.TempDir() + "/none", limit: 4 << 20}
	_, _ = bad.Write(make([]byte, 3<<20))
	bad.end(nil)
	if err := bad.drain(t.Context(), io.Discard, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&spool{}).drain(gone, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that is gone: %v", err)
	}
}

type reader struct{ s *spool }

func (r reader) Read(p []byte) (int, error) {
	n, wait, err := r.s.next(p)
	if n == 0 && err == nil && wait == nil {
		err = io.EOF
	}
	return n, err
}
