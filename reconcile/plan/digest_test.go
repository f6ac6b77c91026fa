// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// TestDigestIsFrozen compares digests with those in testdata/digest. A
// difference recreates every object of every user: a new form needs a new
// version, and the old one must stay computable.
func TestDigestIsFrozen(t *testing.T) {
	files, err := filepath.Glob("../../testdata/digest/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Digest string
				Spec   plan.Spec
			}
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			if got := want.Spec.DigestAs(want.Digest); got != want.Digest {
				t.Errorf("digest %s, want %s", got, want.Digest)
			}
		})
	}
}

func TestDigestSeesEveryField(t *testing.T) {
	base := plan.Spec{Container: &plan.ContainerSpec{Image: "img:1", Main: plan.Process{Args: []string{"a", "b"}}}}
	others := map[string]plan.Spec{
		"image":  {Container: &plan.ContainerSpec{Image: "img:2", Main: plan.Process{Args: []string{"a", "b"}}}},
		"args":   {Container: &plan.ContainerSpec{Image: "img:1", Main: plan.Process{Args: []string{"b", "a"}}}},
		"helper": {Container: &plan.ContainerSpec{Image: "img:1", Main: plan.Process{Args: []string{"a", "b"}}, Helper: true}},
		"kind":   {Volume: &plan.VolumeSpec{}},
	}
	for name, other := range others {
		if other.Digest() == base.Digest() {
			t.Errorf("%s does not count", name)
		}
	}
}

func TestDigestAs(t *testing.T) {
	s := plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge"}}
	if got := s.DigestAs(s.Digest()); got != s.Digest() {
		t.Errorf("in its own version: %s, want %s", got, s.Digest())
	}
	if old := "v0:abc"; s.DigestAs(old) == old || plan.KnownDigest(old) {
		t.Errorf("version v0 is known")
	}
	if !plan.KnownDigest(s.Digest()) || plan.KnownDigest("v1") || plan.KnownDigest("") {
		t.Error("KnownDigest is wrong about v1")
	}
}

// Where the files of a copy come from does not count, and what was labelled
// before that was so is still what it was.
func TestDigestOfCopies(t *testing.T) {
	of := func(m plan.Mount) plan.Spec {
		return plan.Spec{Container: &plan.ContainerSpec{Image: "i", Mounts: []plan.Mount{m}}}
	}
	copied := plan.Mount{Type: plan.MountCopy, Source: "/s", Target: "/code", From: "/w/a", TreeHash: "ab"}
	here := of(copied)
	copied.From = "git+file:///m/1.git#aa"
	there := of(copied)
	copied.TreeHash = "cd"
	changed := of(copied)
	if here.Digest() != there.Digest() || here.Digest() == changed.Digest() {
		t.Errorf("digests: folder %s, mirror %s, other files %s", here.Digest(), there.Digest(), changed.Digest())
	}
	copied.TreeHash = ""
	unknown := of(copied)
	copied.From = "/w/a"
	if of(copied).Digest() == unknown.Digest() {
		t.Error("without a hash of the files their place does not count")
	}
	const old = "v1:96e32d0d1a7cca0a5c9f8a3a0a4ee3c1b58f4f8e4ea8b9a3d6a7a9b3a2c1d0e9"
	if here.DigestAs(old) == there.DigestAs(old) || here.DigestAs(old) == here.Digest() {
		t.Error("v1 is not what it was")
	}
	if again := here.DigestAs(here.Digest()); again != here.Digest() {
		t.Errorf("in its own version: %s, want %s", again, here.Digest())
	}
}

func TestInputs(t *testing.T) {
	s := plan.Spec{Container: &plan.ContainerSpec{Image: "img:1", Env: []plan.EnvVar{
		{Name: "A", Secret: "secret:z"}, {Name: "B", Value: "x"}, {Name: "C", Secret: "env:a"}, {Name: "D", Secret: "secret:z"},
	}}}
	want := []plan.Input{
		{Kind: plan.InputImage, Name: "img:1"},
		{Kind: plan.InputSecret, Name: "env:a"},
		{Kind: plan.InputSecret, Name: "secret:z"},
	}
	if diff := cmp.Diff(want, s.Inputs()); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
	want = []plan.Input{{Kind: plan.InputSecret, Name: "env:a"}}
	if diff := cmp.Diff(want, plan.Spec{Secret: &plan.SecretSpec{Ref: "env:a"}}.Inputs()); diff != "" {
		t.Errorf("secret (-want +got):\n%s", diff)
	}
	if got := (plan.Spec{Volume: &plan.VolumeSpec{}}).Inputs(); len(got) != 0 {
		t.Errorf("volume: %v", got)
	}
}
