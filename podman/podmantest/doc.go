// SPDX-License-Identifier: Apache-2.0

// Package podmantest gives tests a Podman of their own: a real service in fresh
// mount, network and process namespaces, with its storage in memory. Nothing of
// it can be seen from outside, and nothing of it outlives the test binary.
//
// A package that wants it hands its TestMain over:
//
//	func TestMain(m *testing.M) { podmantest.Main(m) }
//
//	func TestRun(t *testing.T) {
//		rt, err := podman.Open(t.Context(), podman.Options{URL: podmantest.Socket(t)})
//		image := podmantest.Image(t, "app", podmantest.ImageOptions{Changes: []string{`CMD ["/bin/tool","pause"]`}})
//		...
//	}
//
// The service is `podman` from PATH, or the binary that RECONCILE_TEST_PODMAN
// names. Where it cannot be had, Main fails; only under -short are the tests
// that ask for a [Socket] skipped.
//
// All tests of a binary share the service: they name what they make after
// themselves and remove it.
package podmantest
