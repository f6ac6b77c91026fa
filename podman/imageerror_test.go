// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// TestImageErrors: what no further try mends is told from what one may.
func TestImageErrors(t *testing.T) {
	reg := podmantest.Registry(t)
	ref, digest := reg.Push(t, "kept:1", version("image errors"))
	nothing := "@sha256:" + strings.Repeat("0", 64)
	foreign := platformOnly(t, reg.Host+"/foreign:1", "s390x")
	refusing := podmantest.Registry(t)
	private, privateDigest := refusing.Push(t, "private:1", version("image errors, private"))
	refusing.Require("user", "pass")
	failing := podmantest.Registry(t)
	failed, failedDigest := failing.Push(t, "failed:1", version("image errors, failing"))
	failing.Down(true)
	command := tool("pause")
	for name, tt := range map[string]struct {
		c       plan.ContainerSpec
		forGood bool
		want    string
	}{
		"unknown digest":     {plan.ContainerSpec{Image: reg.Host + "/kept" + nothing, Main: command}, true, "pull "},
		"unknown name":       {plan.ContainerSpec{Image: reg.Host + "/nothing" + nothing, Main: command}, true, "pull "},
		"unknown tag":        {plan.ContainerSpec{Image: reg.Host + "/kept:9", Main: command}, true, "MANIFEST_UNKNOWN"},
		"denied":             {plan.ContainerSpec{Image: strings.TrimSuffix(private, ":1") + "@" + privateDigest, Main: command}, true, "pull "},
		"another platform":   {plan.ContainerSpec{Image: foreign, Main: command}, true, "pull "},
		"not on this host":   {plan.ContainerSpec{Image: "localhost/none:1", Main: command}, true, "localhost/none:1"},
		"no reference":       {plan.ContainerSpec{Image: "NO:such:thing", Main: command}, true, "NO:such:thing"},
		"no user":            {plan.ContainerSpec{Image: toolImage(t), Main: command, User: "nobody-at-all", Mounts: []plan.Mount{{Type: plan.MountDir, Source: t.TempDir() + "/d", Target: "/d"}}}, true, `user "nobody-at-all" of the image`},
		"no command":         {plan.ContainerSpec{Image: podmantest.Image(t, "without-command", podmantest.ImageOptions{Changes: []string{"CMD []"}}), Main: plan.Process{ImageCmd: true}}, true, "NoEntrypoint"},
		"out of order":       {plan.ContainerSpec{Image: strings.TrimSuffix(failed, ":1") + "@" + failedDigest, Main: command}, false, "pull "},
		"nobody there":       {plan.ContainerSpec{Image: "127.0.0.1:1/x/y" + nothing, Main: command}, false, "pull "},
		"nobody there (tag)": {plan.ContainerSpec{Image: "127.0.0.1:1/x/y:1", Main: command}, false, "look up"},
		"all is well":        {plan.ContainerSpec{Image: strings.TrimSuffix(ref, ":1") + "@" + digest, Main: command}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, forgetful)
			id := b.want("a", tt.c)
			_, err := b.try(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id})
			if err == nil && tt.want == "" {
				return
			}
			_, forGood := errors.AsType[*plan.ImageError](err)
			if err == nil || forGood != tt.forGood || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("for good: %t, want %t; error %v", forGood, tt.forGood, err)
			}
		})
	}
}

// platformOnly pushes an image for one platform and returns its reference.
func platformOnly(t *testing.T, ref, architecture string) string {
	t.Helper()
	tag, err := name.ParseReference(ref)
	must(t, err)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: empty.Image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
	})
	must(t, remote.WriteIndex(tag, index))
	return ref
}
