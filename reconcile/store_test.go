// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
)

func openStore(t *testing.T, dir string, readOnly bool) *Store {
	t.Helper()
	s, err := OpenStore(dir, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func portsOf(name string) plan.Record {
	return plan.Record{
		ID: plan.ID{Kind: plan.Manifest, Name: name}, Kind: plan.RecordPorts,
		At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: map[string]string{"80/tcp": "40001"},
	}
}

// files lists every file below dir with its content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStoreKeepsRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "workspaces", "acme")
	s := openStore(t, dir, false)
	if len(s.Owner()) != 32 {
		t.Errorf("owner %q, want 32 hex digits", s.Owner())
	}
	restarts := plan.Record{ID: portsOf("a").ID, Kind: plan.RecordRestarts, Key: "x", Data: map[string]string{"count": "1"}}
	long := portsOf(strings.Repeat("Ä/..", 200))
	long.ID.Name = strings.ReplaceAll(long.ID.Name, "/", "-")
	longer := long
	longer.ID.Name += "-"
	for _, r := range []plan.Record{restarts, portsOf("a"), portsOf("b"), long, longer} {
		if err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	restarts.Data = map[string]string{"count": "2"}
	if err := s.Put(t.Context(), restarts); err != nil {
		t.Fatal(err)
	}
	if err := s.Accept("here", "root-1", "here", "owner-0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Accept("here", "owner-0", ""); err != nil {
		t.Fatal(err)
	}

	got, err := openStore(t, dir, true).Load()
	if err != nil {
		t.Fatal(err)
	}
	want := plan.Records{
		Owner:    s.Owner(),
		Accepted: []string{"owner-0", "root-1"},
		Records:  []plan.Record{portsOf("a"), restarts, portsOf("b"), long, longer},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	again := openStore(t, dir, false)
	if again.Owner() != s.Owner() {
		t.Errorf("owner changed from %s to %s", s.Owner(), again.Owner())
	}
}

func TestStoreReadOnlyWritesNothing(t *testing.T) {
	state := t.TempDir()
	dir := filepath.Join(state, "workspaces", "acme")
	s := openStore(t, dir, true)
	got, err := s.Load()
	if err != nil || got.Owner != "" || len(got.Records) != 0 {
		t.Errorf("load %+v, %v; want an empty store without owner", got, err)
	}
	if key, err := HostKey(state, true); key != nil || err != nil {
		t.Errorf("host key %v, %v; want none", key, err)
	}
	if s.Specs([]string{"v1:x"})["v1:x"] != nil || s.Converged() != nil || s.Blob("b") != nil {
		t.Error("the cache of no store is not empty")
	}
	for name, err := range map[string]error{
		"Put":          s.Put(t.Context(), portsOf("a")),
		"Accept":       s.Accept("here", "o"),
		"PutSpec":      s.PutSpec("v1:x", json.RawMessage("{}")),
		"KeepSpecs":    s.KeepSpecs(nil),
		"PutConverged": s.PutConverged(nil),
		"PutBlob":      s.PutBlob("b", nil),
	} {
		if !errors.Is(err, errReadOnly) {
			t.Errorf("%s: %v, want %v", name, err, errReadOnly)
		}
	}
	entries, err := os.ReadDir(state)
	if err != nil || len(entries) != 0 {
		t.Errorf("state folder has %v, %v; want nothing", entries, err)
	}
}

func TestStoreCache(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, false)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ids := []plan.ID{portsOf("b").ID, portsOf("a").ID, portsOf("b").ID}
	check(s.PutSpec("v1:aa", json.RawMessage(`{"a":1}`)))
	check(s.PutSpec("v1:bb", json.RawMessage(`{"b":1}`)))
	check(s.PutConverged(ids))
	check(s.PutBlob("validation", []byte("bytes")))

	wantSpecs := map[string]json.RawMessage{"v1:aa": json.RawMessage(`{"a":1}`), "v1:bb": json.RawMessage(`{"b":1}`)}
	if diff := cmp.Diff(wantSpecs, s.Specs([]string{"v1:aa", "v1:bb", "v1:cc"})); diff != "" {
		t.Errorf("specs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]plan.ID{ids[1], ids[0]}, s.Converged()); diff != "" {
		t.Errorf("converged (-want +got):\n%s", diff)
	}
	if got := string(s.Blob("validation")); got != "bytes" {
		t.Errorf("blob %q", got)
	}

	check(s.KeepSpecs([]string{"v1:bb"}))
	if got := s.Specs([]string{"v1:aa", "v1:bb"}); len(got) != 1 || got["v1:bb"] == nil {
		t.Errorf("specs after keeping bb: %v", got)
	}

	t.Run("torn files read as absent", func(t *testing.T) {
		for name := range files(t, filepath.Join(dir, "cache")) {
			if err := os.WriteFile(filepath.Join(dir, "cache", name), []byte(`{"a`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.Specs([]string{"v1:bb"})) != 0 || s.Converged() != nil {
			t.Error("a torn file was believed")
		}
	})
	t.Run("deleted while open", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
			t.Fatal(err)
		}
		check(s.KeepSpecs(nil))
		check(s.PutSpec("v1:aa", json.RawMessage(`{}`)))
		check(s.PutConverged(ids))
		check(s.PutBlob("validation", nil))
		if len(s.Specs([]string{"v1:aa"})) != 1 {
			t.Error("the spec was not kept")
		}
	})
}

func TestStoreDamage(t *testing.T) {
	tests := []struct {
		name, file, content string
		open                bool // the damage shows at once
		want                string
	}{
		{"record", "data/records/manifest%2fa+ports.json", `{"id":"manifest/a","ki`, false, "is damaged: unexpected end of JSON input"},
		{"empty record", "data/records/manifest%2fa+ports.json", ``, false, "is damaged"},
		{"record of nothing", "data/records/manifest%2fa+ports.json", `{}`, false, "names no id or no kind"},
		{"record of an unknown kind of resource", "data/records/manifest%2fa+ports.json", `{"id":"widget/a","kind":"ports"}`, false, "unknown kind"},
		{"accepted", "data/accepted", `[`, false, "is damaged"},
		{"owner", "data/owner", "zz\n", true, "is damaged: want 32 hex digits"},
		{"empty owner", "data/owner", "", true, "is damaged: want 32 hex digits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, false)
			for _, name := range []string{"a", "b"} {
				if err := s.Put(t.Context(), portsOf(name)); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, filepath.FromSlash(tt.file))
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := files(t, dir)
			s, err := OpenStore(dir, false)
			var got plan.Records
			if !tt.open {
				if err != nil {
					t.Fatal(err)
				}
				got, err = s.Load()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that names %s and says %q", err, path, tt.want)
			}
			if !tt.open && (len(got.Records) == 0 || got.Records[len(got.Records)-1].ID != portsOf("b").ID) {
				t.Errorf("records %v, want at least the undamaged one", got.Records)
			}
			if diff := cmp.Diff(before, files(t, dir)); diff != "" {
				t.Errorf("the store changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestStoreDiskFull(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, false)
	if err := s.Put(t.Context(), portsOf("a")); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	s.fill = func(f *os.File, b []byte) error {
		if _, err := f.Write(b[:len(b)/2]); err != nil {
			return err
		}
		return &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	r := portsOf("a")
	r.Data = map[string]string{"80/tcp": "5"}
	for name, err := range map[string]error{
		"manifest%2fa+ports.json": s.Put(t.Context(), r),
		"accepted":                s.Accept("here", "x"),
		"converged.json":          s.PutConverged([]plan.ID{r.ID}),
	} {
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that names %s and says no space left", err, name)
		}
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("the store changed (-before +after):\n%s", diff)
	}
}

func TestStoreRemovesInterruptedWrites(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, false)
	torn := filepath.Join(s.recordsDir(), atomicfile.TempPrefix+"1")
	if err := os.WriteFile(torn, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); err != nil {
		t.Errorf("load beside an interrupted write: %v", err)
	}
	openStore(t, dir, false)
	if _, err := os.Stat(torn); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat interrupted write: %v, want that it is gone", err)
	}
}

func TestStorePutAfterCancel(t *testing.T) {
	s := openStore(t, t.TempDir(), false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, portsOf("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want %v", err, context.Canceled)
	}
}

func TestEscapeName(t *testing.T) {
	tests := []struct {
		parts []string
		want  string
	}{
		{[]string{"manifest/a", "ports", ""}, "manifest%2fa+ports+"},
		{[]string{"manifest/A"}, "manifest%2f%41"},
		{[]string{".."}, "%2e."},
		{[]string{".tmp-x"}, "%2etmp-x"},
		{[]string{"a+b", "c"}, "a%2bb+c"},
		{[]string{"a", "b+c"}, "a+b%2bc"},
		{[]string{"é\x00%"}, "%c3%a9%00%25"},
		{[]string{""}, "%"},
	}
	for _, tt := range tests {
		if got := escapeName(tt.parts...); got != tt.want {
			t.Errorf("escapeName(%q) = %q, want %q", tt.parts, got, tt.want)
		}
	}
	a, b := escapeName(strings.Repeat("x", 5000)), escapeName(strings.Repeat("x", 5001))
	if a == b || len(a) > maxFileName || len(b) > maxFileName {
		t.Errorf("long names %q and %q: want two, of at most %d bytes", a, b, maxFileName)
	}
}

func TestHostKey(t *testing.T) {
	state := filepath.Join(t.TempDir(), "reconcile")
	keys := make(chan string)
	for range 8 {
		go func() {
			key, err := HostKey(state, false)
			if err != nil {
				t.Errorf("host key: %v", err)
			}
			keys <- string(key)
		}()
	}
	first := <-keys
	for range 7 {
		if k := <-keys; k != first {
			t.Error("two makers got two keys")
		}
	}
	if len(first) != hostKeyBytes {
		t.Errorf("%d bytes, want %d", len(first), hostKeyBytes)
	}
	if key, err := HostKey(state, true); err != nil || string(key) != first {
		t.Errorf("read again: %v, same key %t", err, string(key) == first)
	}

	path := filepath.Join(state, "data", "hostkey")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := HostKey(state, false); err == nil || !strings.Contains(err.Error(), "can be read by others (mode 0644)") {
		t.Errorf("open key: %v", err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := HostKey(state, false); err == nil || !strings.Contains(err.Error(), "is damaged: 5 bytes, want 32") {
		t.Errorf("short key: %v", err)
	}
}

// TestStoreLoadsOne: what is recorded of others is neither read nor returned.
func TestStoreLoadsOne(t *testing.T) {
	s := openStore(t, t.TempDir(), false)
	long := strings.Repeat("x", maxFileName)
	ids := []plan.ID{
		{Kind: plan.TaskAgent, Name: "a"},
		{Kind: plan.TaskAgent, Name: "a-b"},
		{Kind: plan.TaskAgent, Namespace: "lab", Name: "a"},
		{Kind: plan.TaskAgent, Name: long},
		{Kind: plan.TaskAgent, Name: long + "y"},
	}
	for _, id := range ids {
		for _, key := range []string{"00002", "00001"} {
			if err := s.Put(t.Context(), plan.Record{ID: id, Kind: plan.RecordRevision, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, id := range append(ids, plan.ID{Kind: plan.TaskAgent, Namespace: plan.DefaultNamespace, Name: "a"}) {
		got, err := s.LoadOf(id)
		if err != nil || got.Owner != s.Owner() || len(got.Records) != 2 {
			t.Fatalf("%s: got %+v, %v", id, got, err)
		}
		for i, key := range []string{"00001", "00002"} {
			if r := got.Records[i]; r.ID.Compare(id) != 0 || r.Key != key {
				t.Errorf("%s: record %d is %+v", id, i, r)
			}
		}
	}
	damaged := s.recordFile(plan.Record{ID: ids[0], Kind: plan.RecordRevision, Key: "00002"})
	if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadOf(ids[0]); err == nil || len(got.Records) != 1 {
		t.Errorf("with a damaged file: %+v, %v", got, err)
	}
	if got, err := s.LoadOf(ids[1]); err != nil || len(got.Records) != 2 {
		t.Errorf("with a damaged file of another: %+v, %v", got, err)
	}
}
