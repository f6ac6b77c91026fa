// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Listen has the host heard in a network, see dispatch.Runtime.
func (x *Executions) Listen(_ context.Context, _ string) ([]net.Listener, []netip.AddrPort, error) {
	return nil, nil, errors.New("the host cannot be heard in networks of Podman")
}
