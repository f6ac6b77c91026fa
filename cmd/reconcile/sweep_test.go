// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
)

func TestSweepCopies(t *testing.T) {
	store, err := reconcile.OpenStore(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made := map[string]string{
		"used": filepath.Join(dir, "a", "aaaaaaaaaaaa"), "old": filepath.Join(dir, "a", "bbbbbbbbbbbb"),
		"gone": filepath.Join(dir, "b", "cccccccccccc"),
	}
	for _, path := range made {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	spec := plan.Spec{Container: &plan.ContainerSpec{Mounts: []plan.Mount{
		{Type: plan.MountCopy, Source: filepath.Join(dir, "a"), TreeHash: "aaaaaaaaaaaa0000", Target: "/code"},
	}}}
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutSpec(spec.Digest(), raw); err != nil {
		t.Fatal(err)
	}
	known := plan.Object{ID: plan.ID{Kind: plan.Manifest, Name: "a"}, Digest: spec.Digest()}
	exists := func(name string) bool { _, err := os.Stat(made[name]); return err == nil }

	unknown := plan.Object{ID: plan.ID{Kind: plan.Manifest, Name: "b"}, Digest: "v1:0"}
	unsure := []plan.Observed{
		{Objects: []plan.Object{known, unknown}},
		{Objects: []plan.Object{known}, Incomplete: []plan.Reason{{Code: plan.CodeUnknown}}},
	}
	for _, o := range unsure {
		if err := sweepCopies(dir, store, o); err != nil {
			t.Fatal(err)
		}
		if !exists("used") || !exists("old") || !exists("gone") {
			t.Fatal("a copy is gone while it is not certain what is mounted")
		}
	}
	if err := sweepCopies(dir, store, plan.Observed{Objects: []plan.Object{known}}); err != nil {
		t.Fatal(err)
	}
	if !exists("used") || exists("old") || exists("gone") {
		t.Errorf("used %v, old %v, gone %v", exists("used"), exists("old"), exists("gone"))
	}
	if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
		t.Error("the empty folder of an instance stays")
	}
}
