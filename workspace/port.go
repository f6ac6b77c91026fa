// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"net/netip"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const loopback = "127.0.0.1"

// portClaim is a port of the host that an instance wants.
type portClaim struct {
	by   plan.ID
	port plan.Port
	pos  schema.Pos
}

// portsOf lists the ports of an instance; without any, the one it listens on,
// at a port of the host that is chosen later.
func (r *resolver) portsOf(i *instance, listens uint16) []plan.Port {
	var ports []plan.Port
	for _, p := range i.agent.manifest.Ports {
		port := plan.Port{HostIP: p.HostIP, HostPort: p.Host, Container: p.Container, Protocol: p.Protocol}
		if port.HostIP == "" {
			port.HostIP = loopback
		}
		ports = append(ports, port)
		if port.HostPort != 0 {
			r.ports = append(r.ports, portClaim{i.id(), port, p.Pos})
		}
	}
	if len(ports) == 0 {
		ports = []plan.Port{{HostIP: loopback, Container: listens, Protocol: "tcp"}}
	}
	return ports
}

// checkPorts reports ports of the host that two instances want.
func (r *resolver) checkPorts() {
	type key struct {
		port     uint16
		protocol string
	}
	taken := map[key][]portClaim{}
	for _, c := range r.ports {
		k := key{c.port.HostPort, c.port.Protocol}
		for _, first := range taken[k] {
			if !overlap(first.port.HostIP, c.port.HostIP) {
				continue
			}
			where := fmt.Sprintf("%s has it at %s", first.by.Name, first.pos)
			if first.pos == c.pos {
				where = first.by.Name + ", an instance of the same agent, has it"
			}
			r.report.fail(c.pos, "host port is taken", "give them different ports of the host", "%s wants %d/%s; %s", c.by.Name, c.port.HostPort, c.port.Protocol, where)
			break
		}
		taken[k] = append(taken[k], c)
	}
}

// overlap reports whether one port can not be bound at both addresses. The
// unspecified IPv6 address takes the IPv4 ones as well.
func overlap(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX != nil || errY != nil {
		return a == b
	}
	x, y = x.Unmap(), y.Unmap()
	switch {
	case x == y:
		return true
	case x.IsUnspecified() && x.Is6(), y.IsUnspecified() && y.Is6():
		return true
	}
	return x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}
