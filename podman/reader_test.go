// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/network"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// TestReaderCannotWrite: even whoever had the runtime inside of a Reader could
// not write over its connections.
func TestReaderCannotWrite(t *testing.T) {
	r, err := OpenReader(t.Context(), Options{URL: podmantest.Socket(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Observe(t.Context(), plan.Desired{Workspace: "read-only", Root: "/r"}); err != nil {
		t.Errorf("observe: %v", err)
	}
	create := func() error {
		_, err := network.Create(r.rt.with(t.Context()), &nettypes.Network{Name: "of-a-reader"})
		return err
	}
	const want = "this connection is for looking only"
	if err := create(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("create network: %v, want %q", err, want)
	}
	if err := r.rt.reopen(t.Context(), r.rt.link.Load()); err != nil {
		t.Fatal(err)
	}
	if err := create(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("create network over the next connection: %v, want %q", err, want)
	}
	ctx, done, err := r.rt.fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, err := network.Remove(ctx, "of-a-reader", nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("remove network over a fresh connection: %v, want %q", err, want)
	}
}
