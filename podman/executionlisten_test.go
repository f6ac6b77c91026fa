// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/specgen"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// relayed is a stage on which the host is heard by a relay.
func relayed(t testing.TB) *stage {
	s := newStage(t, func(o *podman.Options) {
		withHelper(t, new(hookLogs))(o)
		o.RunDir = channelDir(t)
	})
	s.Executions = s.rt.Executions(podman.ExecutionOptions{Workspace: s.d.Workspace, Root: s.d.Root, Relay: true})
	return s
}

func TestListenByRelay(t *testing.T) {
	s := relayed(t)
	t.Run("Conformance", func(t *testing.T) {
		dispatchtest.Run(t, dispatchtest.Target{
			Runtime: s.Executions,
			Launch:  func(_ *testing.T, script string) plan.Launch { return s.launch(script) },
			Missing: func(*testing.T) plan.Launch {
				return with(s.launch(dispatchtest.Cat), func(l *plan.Launch, c *plan.ContainerSpec) {
					c.Image, l.Image = "localhost/nowhere:latest", "sha256:"+strings.Repeat("0", 64)
				})
			},
			Exists: func(t *testing.T, handle string) bool {
				there, err := containers.Exists(podmantest.Conn(t), handle, nil)
				must(t, err)
				return there
			},
			Volume: func(t *testing.T, bytes int64) string { return volumeOf(t, bytes) },
		})
	})
}
