// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"strings"
	"testing"

	"reconcile/podman/podmantest"
)

func TestLookUp(t *testing.T) {
	registry := podmantest.Registry(t)
	app, appDigest := registry.Push(t, "app:1", podmantest.ImageOptions{})
	tool, toolDigest := registry.Push(t, "org/tool:v2", podmantest.ImageOptions{Changes: []string{"ENV A=b"}})
	const fixed = "example.org/x:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	refs := []string{app, registry.Host + "/none:1", "localhost/mine:latest", tool, "Not An Image", fixed}
	digests, errs := LookUp(t.Context(), refs, LookUpOptions{})
	want := []struct{ digest, problem string }{
		{appDigest, ""},
		{"", "/none:1"},
		{"", "is in no registry"},
		{toolDigest, ""},
		{"", "Not An Image"},
		{fixed[len("example.org/x:1@"):], ""},
	}
	for i, w := range want {
		switch {
		case digests[i] != w.digest:
			t.Errorf("%s: digest %q, want %q", refs[i], digests[i], w.digest)
		case (errs[i] != nil) != (w.problem != ""), errs[i] != nil && !strings.Contains(errs[i].Error(), w.problem):
			t.Errorf("%s: error %v, want one with %q", refs[i], errs[i], w.problem)
		}
	}
	if asked := strings.Join(registry.Requests(), "\n"); strings.Contains(asked, "mine") {
		t.Errorf("a local image was asked for:\n%s", asked)
	}
}
