// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"net"
	"net/netip"
)

// Listen has the host heard in a network, see dispatch.Runtime: at the gateways of
// the network, which are the host's, or by a relay. Who else reaches a gateway, from
// other networks and from the host, is told apart by the address that it comes from.
func (x *Executions) Listen(ctx context.Context, network string) ([]net.Listener, []netip.AddrPort, error) {
	ls, at, err := x.rt.hear(ctx, hearing{
		workspace: x.opt.Workspace, root: x.opt.Root, network: network, session: x.relays, log: x.opt.Log,
	})
	if err != nil {
		return nil, nil, oneLine(err)
	}
	return ls, at, nil
}
