// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// TestStoreReadsWhatChanged: a file of a record is read once, and again whenever
// somebody may have written it since.
func TestStoreReadsWhatChanged(t *testing.T) {
	dir := t.TempDir()
	s, other := openStore(t, dir, false), openStore(t, dir, false)
	put := func(s *Store, name, port string) plan.Record {
		t.Helper()
		r := portsOf(name)
		r.Data = map[string]string{"80/tcp": port}
		if err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := put(s, "a", "40001"), put(s, "b", "40002")
	file := s.recordFile(a)
	age := func(ago time.Duration) {
		t.Helper()
		at := time.Now().Add(-ago).Truncate(time.Second)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	swap := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, want ...plan.Record) {
		t.Helper()
		got, err := s.Load()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if diff := cmp.Diff(want, got.Records); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("at first", a, b)

	age(time.Hour)
	check("of an hour ago", a, b)
	swap("40001", "49999")
	age(time.Hour + time.Minute)
	a.Data = map[string]string{"80/tcp": "49999"}
	check("edited in place", a, b)

	at, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	swap("49999", "48888")
	if err := os.Chtimes(file, at.ModTime(), at.ModTime()); err != nil {
		t.Fatal(err)
	}
	check("with nothing to show for it: not read", a, b)

	a = put(other, "a", "40003")
	check("written by another process", a, b)
	swap("40003", "40004")
	a.Data = map[string]string{"80/tcp": "40004"}
	check("written a moment after it was read", a, b)

	gone := a
	gone.Forget = true
	if err := other.Put(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	check("forgotten", b)
	if len(s.records.known) > 1 {
		t.Errorf("%d files are remembered, want at most that of b", len(s.records.known))
	}
}

// TestStoreListedAndGone: what is forgotten while the others are read is no error.
func TestStoreListedAndGone(t *testing.T) {
	dir := t.TempDir()
	var f recordFiles
	if rs, errs := f.read(dir, []string{"gone.json"}); len(rs)+len(errs) > 0 {
		t.Errorf("read %v, %v, want nothing", rs, errs)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "there.json")); err != nil {
		t.Fatal(err)
	}
	if rs, errs := f.read(dir, []string{"there.json"}); len(rs) != 0 || len(errs) != 1 {
		t.Errorf("read %v, %v, want one error", rs, errs)
	}
}

// BenchmarkLoad reads the records of 10,000 runs. floor lists and looks at their
// files.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	s, err := OpenStore(dir, false)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		rs := plan.RunState{
			Key: "330a25751e5a", Name: "task", Order: 1, Phase: plan.RunCompleted, Digest: "v1:e0aafdb18266",
			Inputs:  map[string]string{"image:localhost/agent:1": "sha256:e0aafdb18266"},
			Started: time.Now(), Finished: time.Now(), Container: "e0aafdb18266",
		}
		r := rs.Record(plan.ID{Kind: plan.Task, Name: fmt.Sprintf("task-%d", i)}, time.Now())
		if err := s.Put(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(s.recordFile(r), old, old); err != nil {
			b.Fatal(err)
		}
	}
	load := func(b *testing.B, s *Store) {
		if got, err := s.Load(); err != nil || len(got.Records) != 10_000 {
			b.Fatal(len(got.Records), err)
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			s.records.known = nil
			load(b, s)
		}
	})
	b.Run("again", func(b *testing.B) {
		load(b, s)
		for b.Loop() {
			load(b, s)
		}
	})
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			entries, err := os.ReadDir(s.recordsDir())
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range entries {
				if _, err := e.Info(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
