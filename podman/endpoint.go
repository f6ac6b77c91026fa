// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/reconcile/plan"
)

// servicePort is where an agent listens whose environment names no PORT.
const servicePort = 7000

// Endpoint returns the host:port at which this host reaches the service of the
// container id with the handle: a published port, or the container's address on
// its network.
func (r *Runtime) Endpoint(ctx context.Context, id plan.ID, handle string) (string, error) {
	if r.remote {
		return "", errors.New("its container runs on another machine")
	}
	c, err := containers.Inspect(r.with(ctx), handle, nil)
	if notFound(err) {
		return "", errors.New("its container is gone")
	}
	if err != nil {
		return "", r.explain("inspect the container of "+id.String(), err)
	}
	if obj, ours := plan.ParseLabels(c.Config.Labels); !ours || obj.ID.Compare(id) != 0 {
		return "", fmt.Errorf("the container is not that of %s", id)
	}
	if c.State == nil || !c.State.Running {
		return "", errors.New("its container does not run")
	}
	return endpoint(c)
}

func endpoint(c *define.InspectContainerData) (string, error) {
	port := servicePort
	for _, v := range c.Config.Env {
		if text, ok := strings.CutPrefix(v, "PORT="); ok {
			n, err := strconv.ParseUint(text, 10, 16)
			if err != nil || n == 0 {
				return "", errors.New("the PORT of its container is no port")
			}
			port = int(n)
		}
	}
	if c.NetworkSettings == nil {
		return "", errors.New("its container has no network")
	}
	if at := published(c.NetworkSettings.Ports[strconv.Itoa(port)+"/tcp"]); at != "" {
		return at, nil
	}
	own := c.Config.Labels[labelNetwork]
	for name, n := range c.NetworkSettings.Networks {
		address := cmp.Or(n.IPAddress, n.GlobalIPv6Address)
		if address != "" && (own == "" || name == own) {
			return net.JoinHostPort(address, strconv.Itoa(port)), nil
		}
	}
	return "", fmt.Errorf("its container publishes no port for %d, and has no address that this host reaches", port)
}

// published is the address of one of the host's ports; loopback's are preferred.
func published(list []define.InspectHostPort) string {
	var addresses []netip.AddrPort
	for _, p := range list {
		port, err := strconv.ParseUint(p.HostPort, 10, 16)
		if err != nil || port == 0 {
			continue
		}
		ip, err := netip.ParseAddr(p.HostIP)
		switch {
		case p.HostIP == "" || err == nil && ip.IsUnspecified() && ip.Is4():
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		case err != nil:
			continue
		case ip.IsUnspecified():
			ip = netip.IPv6Loopback()
		}
		addresses = append(addresses, netip.AddrPortFrom(ip, uint16(port)))
	}
	if len(addresses) == 0 {
		return ""
	}
	slices.SortStableFunc(addresses, func(a, b netip.AddrPort) int {
		rank := func(x netip.AddrPort) int {
			if x.Addr().IsLoopback() {
				return 0
			}
			return 1
		}
		return cmp.Compare(rank(a), rank(b))
	})
	return addresses[0].String()
}
