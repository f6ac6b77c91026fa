// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"github.com/containers/podman/v5/pkg/bindings/network"
	nettypes "go.podman.io/common/libnetwork/types"
)

// hearing is the host as it is to be heard in a network.
type hearing struct {
	workspace, root string
	network         string
	session         string // of a relay
	port            uint16 // that it should be, which the Runtime has; 0 = any
	log             *slog.Logger
}

// hear listens in a network. The addresses are those at which containers find the
// listeners.
func (r *Runtime) hear(ctx context.Context, h hearing) ([]net.Listener, []netip.AddrPort, error) {
	if r.remote {
		return nil, nil, fmt.Errorf("listen in the network %s: Podman at %s is on another host, which does not reach this one", h.network, redact(r.url))
	}
	ctx = r.with(ctx)
	subnets, err := r.subnets(ctx, h.network)
	if err != nil {
		return nil, nil, err
	}
	if h.port, err = r.metadataPort(); err != nil {
		return nil, nil, err
	}
	relay, err := r.relays(ctx)
	if err != nil {
		return nil, nil, err
	}
	listen := listenAtGateways
	if relay {
		listen = r.listenRelayed
	}
	ls, at, err := listen(ctx, h, subnets)
	if err == nil {
		r.mu.Lock()
		r.heard[h.network] = heardIn{workspace: h.workspace, subnets: subnets, listeners: ls}
		r.mu.Unlock()
	}
	return ls, at, err
}

// heardIn is a network in which the host is heard, as it was then.
type heardIn struct {
	workspace string
	subnets   []subnet
	listeners []net.Listener
}

// hearAnew ends the listeners in networks of a workspace that have been made anew
// with other addresses: whoever has them finds that they are closed, and listens
// again.
func (r *Runtime) hearAnew(workspace string, now []nettypes.Network) {
	r.mu.Lock()
	var ended []net.Listener
	for _, n := range now {
		was, ok := r.heard[n.Name]
		if ok && was.workspace == workspace && !slices.Equal(was.subnets, subnetsOf(n)) {
			ended = append(ended, was.listeners...)
			delete(r.heard, n.Name)
		}
	}
	r.mu.Unlock()
	closeAll(ended)
}

// rootless reports whether bridges are where this host cannot be reached from: in
// the network namespace of an ordinary user.
func (r *Runtime) rootless(ctx context.Context) (bool, error) {
	host, err := r.host(ctx)
	return host.rootless, err
}

// subnet is one of a network, the first of its family.
type subnet struct {
	prefix  netip.Prefix
	gateway netip.Addr // of the bridge, which is the host's
}

// subnets are those of a network, at most one of each family, IPv4 first.
func (r *Runtime) subnets(ctx context.Context, name string) ([]subnet, error) {
	held, err := network.Inspect(ctx, name, nil)
	if notFound(err) {
		return nil, fmt.Errorf("there is no network %s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, r.explain("inspect network "+name, err)
	}
	out := subnetsOf(held.Network)
	if len(out) == 0 {
		return nil, fmt.Errorf("listen in the network %s: it has no gateway", name)
	}
	return out, nil
}

func subnetsOf(n nettypes.Network) []subnet {
	families := map[bool]subnet{}
	for _, s := range n.Subnets {
		prefix, err := netip.ParsePrefix(s.Subnet.String())
		gateway, ok := netip.AddrFromSlice(s.Gateway)
		if err != nil || !ok {
			continue
		}
		six := prefix.Addr().Is6()
		if _, twice := families[six]; !twice {
			families[six] = subnet{prefix.Masked(), gateway.Unmap()}
		}
	}
	var out []subnet
	for _, six := range []bool{false, true} {
		if s, ok := families[six]; ok {
			out = append(out, s)
		}
	}
	return out
}

// listenAtGateways listens at the addresses that bridges have, or will have: there
// is none before the first container.
func listenAtGateways(ctx context.Context, h hearing, subnets []subnet) (ls []net.Listener, at []netip.AddrPort, err error) {
	defer func() {
		if err != nil {
			closeAll(ls)
			ls, at = nil, nil
		}
	}()
	for _, s := range subnets {
		l, err := listenAtGateway(ctx, h, s.gateway)
		if err != nil {
			return ls, at, fmt.Errorf("listen in the network %s: %w", h.network, err)
		}
		ls = append(ls, l)
		bound, err := netip.ParseAddrPort(l.Addr().String())
		if err != nil {
			return ls, at, fmt.Errorf("listen in the network %s: %w", h.network, err)
		}
		at = append(at, netip.AddrPortFrom(s.gateway, bound.Port()))
	}
	return ls, at, nil
}

func listenAtGateway(ctx context.Context, h hearing, gateway netip.Addr) (net.Listener, error) {
	family := "tcp4"
	if gateway.Is6() {
		family = "tcp6"
	}
	c := net.ListenConfig{Control: freeBind}
	listen := func(port uint16) (net.Listener, error) {
		return c.Listen(ctx, family, net.JoinHostPort(gateway.String(), strconv.Itoa(int(port))))
	}
	l, err := listen(h.port)
	if !errors.Is(err, syscall.EADDRINUSE) || h.port == 0 {
		return l, err
	}
	if l, err = listen(0); err == nil {
		h.log.Warn("the port of the metadata service is taken: DaemonAgents have another one than it listens at",
			"network", h.network, "taken", netip.AddrPortFrom(gateway, h.port), "listen", l.Addr())
	}
	return l, err
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}
