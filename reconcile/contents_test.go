// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestStoreContents(t *testing.T) {
	dir := t.TempDir()
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	long, longer := strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20+1)
	for text, kept := range map[string]bool{
		"": true, "größer\r\n": true, long: true, longer: false, "a\x00b": false, "\xff": false,
	} {
		if err := store.PutContent(digestOf(text), []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, ok := store.Content(digestOf(text))
		if ok != kept || kept && string(got) != text {
			t.Errorf("%.9q: %t, want %t", text, ok, kept)
		}
	}
	archive, err := reconcile.OpenArchive(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := archive.Content(digestOf(long)); !ok || string(got) != long {
		t.Error("the archive does not have what the store keeps")
	}
	files, err := filepath.Glob(filepath.Join(dir, "cache", "files", "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, %v; want 3", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want it for the owner alone", f, info.Mode(), err)
		}
		if err := os.WriteFile(f, bytes.Repeat([]byte("y"), 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := store.Content(digestOf(long)); ok {
		t.Error("what is not what was kept is taken for it")
	}
	if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
		t.Fatal(err)
	}
	if err := store.PutContent(digestOf("a"), []byte("a")); err != nil {
		t.Errorf("after the cache was removed: %v", err)
	}
	readOnly, err := reconcile.OpenStore(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := readOnly.PutContent(digestOf("b"), []byte("b")); err == nil {
		t.Error("a store that is only read was written to")
	}
}

// withFile gives a task a file.
func withFile(r plan.Resource, text string) plan.Resource {
	c := *r.Spec.Container
	c.Mounts = []plan.Mount{{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{{Path: "task.md", Digest: digestOf(text)}}}}
	r.Spec.Container = &c
	return r
}

// TestPassKeepsContents: the files of the last run stay, so that what becomes of
// them can be shown, and nothing of what is sealed is ever written.
func TestPassKeepsContents(t *testing.T) {
	dir := t.TempDir()
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	rt := reconciletest.New(reconciletest.Options{Owner: store.Owner()})
	rt.AddImage(testImage, "sha256:a1")
	wants := func(text, version string) plan.Desired {
		r := withFile(task("a", "exit", "0"), text)
		r.Run.Key = keyOf(version)
		r.Spec.Container.SecretFiles = []plan.SecretFile{{Ref: "doc:default/keys/key", Target: "/run/key", Mode: 0o400}}
		d := desired(r)
		d.Contents = map[string][]byte{digestOf(text): []byte(text)}
		d.Sealed = map[string]plan.Sealed{"doc:default/keys/key": {Format: plan.SealedPlain, Data: []byte("hunter2")}}
		return d
	}
	settle := func(d plan.Desired) {
		t.Helper()
		for range 3 {
			if err := pass(t, rt, store, d, plan.Options{}).Outcome.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	settle(wants("first", "1"))
	p, o, err := reconcile.DryRun(t.Context(), rt, store, wants("second", "2"), plan.Options{Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Changes) != 1 || !bytes.Contains(p.Changes[0].Before, []byte(digestOf("first"))) || len(o.Specs) == 0 {
		t.Errorf("changes %+v", p.Changes)
	}
	settle(wants("second", "2"))
	for _, c := range containers(rt, taskID("a")) {
		rt.Remove(c.Handle)
	}
	settle(wants("second", "2"))
	for text, want := range map[string]bool{"first": false, "second": true} {
		if _, ok := store.Content(digestOf(text)); ok != want {
			t.Errorf("%s is kept: %t, want %t", text, ok, want)
		}
	}
	// Without a container it is known what the last run was made of.
	p, _, err = reconcile.DryRun(t.Context(), rt, store, wants("third", "3"), plan.Options{Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Changes) != 1 || !bytes.Contains(p.Changes[0].Before, []byte(digestOf("second"))) {
		t.Errorf("changes %+v", p.Changes)
	}
	// They go with the Task, once it is known to be gone.
	partly := desired(task("b", "exit", "0"))
	partly.Partial = []plan.Reason{{Code: plan.CodePartial, Text: "a.yaml cannot be read", Origin: "a.yaml:1:1"}}
	edited := task("b", "exit", "0") // so that something is done
	edited.Run.Key = keyOf("2")
	for _, d := range []plan.Desired{partly, desired(edited)} {
		settle(d)
		if _, ok := store.Content(digestOf("second")); ok != (len(d.Partial) > 0) {
			t.Errorf("%v: the file of a is kept: %t", d.Partial, ok)
		}
	}
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("hunter2")) {
			t.Errorf("%s has what is sealed", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStoreForgets(t *testing.T) {
	dir := t.TempDir()
	store, err := reconcile.OpenStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	keep := plan.Record{ID: cronID("c"), Kind: plan.RecordRun, Key: "1", Data: map[string]string{"phase": "Completed"}}
	gone := keep
	gone.Key = "2"
	for _, r := range []plan.Record{keep, gone} {
		if err := store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	gone.Forget = true
	for range 2 {
		if err := store.Put(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	records, err := store.Load()
	if err != nil || len(records.Records) != 1 || records.Records[0].Key != "1" {
		t.Errorf("records %+v, %v", records.Records, err)
	}
	readOnly, err := reconcile.OpenStore(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	keep.Forget = true
	if err := readOnly.Put(t.Context(), keep); err == nil {
		t.Error("a store that is only read forgot a record")
	}
}
